//! Memory: what VMs and isolates take, and when garbage is collected.

use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::Value;
use bevy_luau_os::prelude::*;

use crate::common::{
    self, NOTHING, SPIN, info, metrics, persistent_vm, persistent_vms, process, results, runtime, ticks,
    until_ended, vm,
};

#[test]
fn vm_memory_is_known_exactly() {
    let mut app = common::app();
    let (small, large) = (vm(&mut app), vm(&mut app));
    process(&mut app, small, SPIN);
    process(&mut app, large, "local b = buffer.create(1000000) while true do end");
    ticks(&mut app, 4);
    let bytes = |vm| {
        let vm = app.world().get::<Vm>(vm).expect("alive");
        runtime(&app).vm_bytes(vm).expect("started")
    };
    assert!(bytes(small) < 4_000, "{}", bytes(small));
    assert!((1_000_000..1_004_000).contains(&bytes(large)), "{}", bytes(large));
}

#[test]
fn garbage_of_endless_loops_is_collected() {
    let mut app = common::app();
    for _ in 0..20 {
        let vm = vm(&mut app);
        process(&mut app, vm, "while true do local garbage = { 1, 2, 3 } end");
    }
    ticks(&mut app, 300);
    let bytes = runtime(&app).isolate_bytes();
    assert!(metrics(&app).gc_time > Duration::ZERO);
    assert!(bytes < 20_000_000, "{bytes} bytes");
}

#[test]
fn memory_of_ended_processes_comes_back() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let hoard = "t = {} for i = 1, 2000 do t[i] = { i } end";
    for _ in 0..3 {
        process(&mut app, vm, hoard);
    }
    ticks(&mut app, 40);
    let bytes = |app: &App| runtime(app).isolate_bytes();
    let after_three = bytes(&app);
    for round in 1..=30 {
        for _ in 0..3 {
            process(&mut app, vm, hoard);
        }
        until_ended(&mut app, 3 + 3 * round);
    }
    assert!(bytes(&app) < 3 * after_three, "{after_three} bytes became {}", bytes(&app));
}

#[test]
fn scripts_that_are_never_used_again_do_not_pile_up() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let mut bytes = Vec::new();
    for round in 0..40 {
        for i in 0..50 {
            let source = format!("return {round}, {i} -- {}", "local x = 1 ".repeat(200));
            process(&mut app, vm, &source);
        }
        ticks(&mut app, 2);
        bytes.push(runtime(&app).isolate_bytes());
    }
    assert!(bytes[39] < 3 * bytes[5], "{bytes:?}");
}

#[test]
fn a_collection_of_all_isolates_leaves_what_lives() {
    let mut app = common::app_with(LuauOsPlugin { vms_per_isolate: 1, ..common::plugin() });
    for vm in persistent_vms(&mut app, 20) {
        // Too little garbage for a tick to collect it.
        let hoard = "live = table.create(1000, 0) garbage = table.create(5000, 0) garbage = nil task.wait(60) \
                     return #live";
        process(&mut app, vm, hoard);
    }
    ticks(&mut app, 5);
    let before = runtime(&app).isolate_bytes();
    let live = app.world_mut().resource_mut::<LuauRuntime>().collect_garbage();
    let after = runtime(&app).isolate_bytes();
    // A value takes 16 bytes. Luau takes two pages for the stacks that it makes smaller.
    assert!(after <= before - 20 * (80_000 - 2 * 16_384), "{after} bytes of {before}");
    assert!((20 * 16_000..after).contains(&live), "{live} bytes of {after}");
    ticks(&mut app, 60 * 61);
    assert_eq!(results(&app), vec![Outcome::Finished(vec![Value::Number(1000.0)]); 20]);
}

#[test]
fn garbage_takes_little_more_memory_than_what_lives() {
    // Either is so short that a collection takes many ticks.
    for budget in [NOTHING, Duration::from_micros(500)] {
        let mut app = common::app_with(LuauOsPlugin { budget: TickBudget::Time(budget), ..common::plugin() });
        for vm in persistent_vms(&mut app, 600) {
            let state = "local live = table.create(500, 0) while true do live[1] = { 1, 2, 3, 4 } end";
            process(&mut app, vm, state);
        }
        let mut most = 0;
        for _ in 0..3_000 {
            ticks(&mut app, 1);
            most = most.max(runtime(&app).isolate_bytes());
        }
        let live = app.world_mut().resource_mut::<LuauRuntime>().collect_garbage();
        // 2 for each isolate, and what is free in Luau's pages. With so few processes, each of which spreads what it has
        // last made over as much garbage, that is half as much again, or several times as much where the budget is so
        // short. Where an isolate may grow with its garbage, it is 100 times.
        let times = most as f64 / live as f64;
        assert!((1.5..8.0).contains(&times), "{most} bytes are {times} times the {live} that live");
    }
}

#[test]
fn a_large_isolate_is_collected_in_steps_over_many_ticks() {
    let mut app = common::app_with(LuauOsPlugin {
        budget: TickBudget::Time(NOTHING),
        quantum: 10_000,
        ..common::plugin()
    });
    let limits = Limits { memory_bytes: 64 << 20, time_per_tick: Duration::from_secs(1), ..default() };
    let vm = app.world_mut().spawn((Vm::new(), VmLimits::from(limits))).id();
    // Some 30 MB that live, and garbage without end.
    let hoard = "local live = {} for i = 1, 300000 do live[i] = { i, i } end while true do local garbage = { 1, 2 } \
                 end";
    process(&mut app, vm, hoard);
    for _ in 0..20_000 {
        app.update();
        if runtime(&app).isolate_bytes() > 40 << 20 {
            break;
        }
    }
    assert!(runtime(&app).isolate_bytes() > 40 << 20, "{} bytes", runtime(&app).isolate_bytes());
    // A whole collection would be over with its tick.
    let (mut in_a_row, mut most_in_a_row, mut most_bytes) = (0, 0, 0);
    for _ in 0..5_000 {
        let gc_time = metrics(&app).gc_time;
        app.update();
        in_a_row = if metrics(&app).gc_time > gc_time { in_a_row + 1 } else { 0 };
        most_in_a_row = most_in_a_row.max(in_a_row);
        most_bytes = most_bytes.max(runtime(&app).isolate_bytes());
    }
    assert!(most_in_a_row > 100, "{most_in_a_row} ticks");
    assert!(most_bytes < 100 << 20, "{most_bytes} bytes");
}

/// A large isolate whose collection takes many ticks, two small ones of 30 processes that make garbage, and two endless
/// loops. A process of each.
fn app_with_garbage(budget: Duration) -> (App, [Entity; 4]) {
    let mut app = common::app_with(LuauOsPlugin {
        budget: TickBudget::Time(budget),
        vms_per_isolate: 1,
        quantum: 2_000,
        ..common::plugin()
    });
    let limits = Limits { memory_bytes: 256 << 20, time_per_tick: Duration::from_secs(1), ..default() };
    let limits = VmLimits::from(limits);
    let mut spawn = |source: &str, count: usize| {
        let vm = app.world_mut().spawn((Vm::new(), limits.clone())).id();
        (0..count).map(|_| process(&mut app, vm, source)).last().expect("one or more")
    };
    let garbage = "while true do local garbage = { 1, 2 } end";
    let large = format!("local live = {{}} for i = 1, 300000 do live[i] = {{ i, i }} end {garbage}");
    let large = spawn(&large, 1);
    let small = [(); 2].map(|()| spawn(garbage, 30));
    let [_, spinner] = [(); 2].map(|()| spawn(SPIN, 1));
    ticks(&mut app, 1_000);
    (app, [large, small[0], small[1], spinner])
}

/// The slices of processes and the passes, in so many ticks.
fn slices_and_passes(app: &mut App, processes: [Entity; 4], count: usize) -> ([u64; 4], u64) {
    let counts = |app: &App| (processes.map(|process| info(app, process).cpu.slices), metrics(app).passes);
    let (slices, passes) = counts(app);
    ticks(app, count);
    let (slices_now, passes_now) = counts(app);
    (std::array::from_fn(|i| slices_now[i] - slices[i]), passes_now - passes)
}

#[test]
fn isolates_that_have_to_be_collected_hold_up_no_others() {
    // With the second one the small isolates are collected in the middle of their pass, if that fits into it.
    for budget in [NOTHING, Duration::from_millis(1)] {
        let (mut app, processes) = app_with_garbage(budget);
        let (slices, passes) = slices_and_passes(&mut app, processes, 2_000);
        let [_, some, more, spinner] = slices;
        let least = some.min(more);
        assert!(least > 10, "they starve: {slices:?}");
        // On a fast machine nobody has to wait for long if there is time. Without, a tick has one slice, and a pass of more
        // than sixty ticks leaves the collector time for some of what is to be waited for.
        assert!(budget > NOTHING || 2 * spinner > 3 * least, "all wait for two isolates: {slices:?}");
        assert!(passes.abs_diff(spinner) <= 2, "{spinner} slices in {passes} passes");
    }
}
