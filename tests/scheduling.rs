//! Ticks, passes, budgets, isolates.

mod common;

use std::num::NonZeroUsize;
use std::time::Duration;

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{LuauOsDiagnosticsPlugin, ProcessInfo};
use common::{metrics, process, ticks, until_ended, vm};

const SPIN: &str = "while true do end";

fn spinners(app: &mut App, count: usize) -> Vec<Entity> {
    (0..count)
        .map(|_| {
            let vm = vm(app);
            process(app, vm, SPIN)
        })
        .collect()
}

fn info(app: &App, process: Entity) -> ProcessInfo {
    let process = app.world().get::<Process>(process).expect("alive");
    app.world().resource::<LuauRuntime>().process_info(process).expect("admitted")
}

#[test]
fn every_process_gets_one_slice_in_a_tick() {
    let mut app = common::app();
    let processes = spinners(&mut app, 1000);
    ticks(&mut app, 2);
    for _ in 0..5 {
        let before: Vec<_> = processes.iter().map(|&process| info(&app, process).cpu.slices).collect();
        app.update();
        assert_eq!(metrics(&app).last_tick_resumes, 1000);
        for (&process, before) in processes.iter().zip(before) {
            assert_eq!(info(&app, process).cpu.slices, before + 1);
        }
    }
}

#[test]
fn the_quantum_is_counted_in_safepoints() {
    for quantum in [2, 7, 1000] {
        let mut app = common::app_with(LuauOsPlugin { quantum, ..common::plugin() });
        let process = spinners(&mut app, 1)[0];
        ticks(&mut app, 4);
        let cpu = info(&app, process).cpu;
        assert_eq!(cpu.safepoints, cpu.slices * u64::from(quantum));
    }
}

#[test]
fn a_pass_goes_on_in_the_next_tick_when_the_budget_is_used_up() {
    let mut app = common::app_with(LuauOsPlugin {
        quantum: 20_000,
        budget: TickBudget::Time(Duration::from_millis(5)),
        ..common::plugin()
    });
    let processes = spinners(&mut app, 600);
    let slices = |app: &App| -> Vec<u64> {
        let runtime = app.world().resource::<LuauRuntime>();
        let process = |&process| app.world().get::<Process>(process).expect("alive");
        let slices = |process| runtime.process_info(process).map_or(0, |info| info.cpu.slices);
        processes.iter().map(process).map(slices).collect()
    };
    // Starting them is spread over ticks, too.
    while slices(&app).contains(&0) {
        app.update();
    }
    // Counting begins where a pass ends.
    let budget = app.world().resource::<LuauRuntime>().budget();
    app.world_mut().resource_mut::<LuauRuntime>().set_budget(TickBudget::Unlimited);
    app.update();
    app.world_mut().resource_mut::<LuauRuntime>().set_budget(budget);
    let at_first = slices(&app);
    let mut interrupted = 0;
    for _ in 0..60 {
        app.update();
        let since: Vec<u64> = slices(&app).iter().zip(&at_first).map(|(now, then)| now - then).collect();
        let (least, most) = (since.iter().min().unwrap(), since.iter().max().unwrap());
        assert!(most - least <= 1, "{least} to {most} slices");
        interrupted += u32::from(metrics(&app).last_tick_resumes < 600);
    }
    assert!(interrupted > 10, "600 slices of 20,000 safepoints fitted into 5 ms {interrupted} times");
}

#[test]
fn long_scripts_are_compiled_in_the_background() {
    let mut app = common::app_with(LuauOsPlugin {
        budget: TickBudget::Time(Duration::from_millis(50)),
        ..common::plugin()
    });
    let (long, short) = ("x = 1\n".repeat(30_000), "return 1");
    let [first, second] = [&long, short].map(|source| {
        let vm = vm(&mut app);
        process(&mut app, vm, source)
    });
    ticks(&mut app, 2); // the first frame has no tick
    assert_eq!(common::state(&app, first), ProcessState::New);
    assert!(!common::exists(&app, second));
    common::until_ended(&mut app, 2);
    // Without a budget it is started in its first tick.
    let mut app = common::app();
    let vm = vm(&mut app);
    let process = process(&mut app, vm, &long);
    ticks(&mut app, 2);
    assert!(!common::exists(&app, process), "straight code has no safepoint");
}

#[test]
fn even_the_smallest_budget_makes_progress_and_other_systems_are_not_charged() {
    for budget in [Duration::from_nanos(1), Duration::from_millis(2)] {
        let mut app = common::app_with(LuauOsPlugin { budget: TickBudget::Time(budget), ..common::plugin() });
        let slow = || std::thread::sleep(Duration::from_millis(4));
        app.add_systems(FixedUpdate, slow.in_set(LuauOsSystems::Wake));
        for i in 0..20 {
            let vm = vm(&mut app);
            process(&mut app, vm, &format!("for i = 1, 3000 do end return {i}"));
        }
        until_ended(&mut app, 20);
    }
}

#[test]
fn work_beyond_the_maximum_of_a_frame_is_left_out_and_counted_late() {
    let mut app = common::app();
    app.insert_resource(TimeUpdateStrategy::FixedTimesteps(5));
    ticks(&mut app, 1);
    let before = metrics(&app).clone();
    app.update();
    assert_eq!(metrics(&app).ticks - before.ticks, 2);
    assert!(metrics(&app).late_ticks - before.late_ticks >= 3);
}

#[test]
fn all_layouts_give_the_same_results() {
    let outcomes = |vms_per_isolate, workers| {
        let mut app = common::app_with(LuauOsPlugin {
            vms_per_isolate,
            workers: NonZeroUsize::new(workers),
            quantum: 5,
            ..common::plugin()
        });
        for i in 0..40 {
            let vm = vm(&mut app);
            process(
                &mut app,
                vm,
                &format!("local s = {i} for i = 1, 20 do s += i * math.random(3) end return s"),
            );
            process(
                &mut app,
                vm,
                "return coroutine.wrap(function() for i = 1, 9 do coroutine.yield(i) end end)()",
            );
        }
        let mut ended: Vec<_> = until_ended(&mut app, 80)
            .iter()
            .map(|exit| (exit.entity, exit.pid.get(), exit.cpu, exit.lifetime, format!("{:?}", exit.outcome)))
            .collect();
        ended.sort_by_key(|exit| exit.0);
        let isolates = app.world().resource::<LuauRuntime>().isolate_count();
        (ended, isolates)
    };
    let (expected, isolates) = outcomes(usize::MAX, 1);
    assert_eq!(isolates, 1, "one state for everything");
    for (vms_per_isolate, workers) in [(1, 1), (3, 2), (255, 4)] {
        let (ended, isolates) = outcomes(vms_per_isolate, workers);
        assert_eq!(ended, expected, "{vms_per_isolate} VMs an isolate, {workers} workers");
        assert!(isolates >= workers && isolates >= 40_usize.div_ceil(vms_per_isolate));
    }
}

#[test]
fn two_runs_of_the_same_app_are_the_same() {
    let run = || {
        let mut app = common::app_with(LuauOsPlugin { seed: 9, quantum: 3, ..common::plugin() });
        for _ in 0..50 {
            let vm = vm(&mut app);
            process(
                &mut app,
                vm,
                "local s = 0 for i = 1, math.random(30) do s += math.random() end return s, os.clock()",
            );
        }
        until_ended(&mut app, 50).iter().map(|exit| format!("{exit:?}")).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn vm_memory_is_known_exactly() {
    let mut app = common::app();
    let (small, large) = (vm(&mut app), vm(&mut app));
    process(&mut app, small, "while true do end");
    process(&mut app, large, "local b = buffer.create(1000000) while true do end");
    ticks(&mut app, 4);
    let bytes = |vm| {
        let vm = app.world().get::<Vm>(vm).expect("alive");
        app.world().resource::<LuauRuntime>().vm_bytes(vm).expect("started")
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
    let bytes = app.world().resource::<LuauRuntime>().isolate_bytes();
    assert!(metrics(&app).gc_time > Duration::ZERO);
    assert!(bytes < 20_000_000, "{bytes} bytes");
}

#[test]
fn diagnostics_are_measured() {
    use bevy::diagnostic::{DiagnosticPath, DiagnosticsPlugin, DiagnosticsStore};
    let mut app = common::app();
    app.add_plugins((DiagnosticsPlugin, LuauOsDiagnosticsPlugin));
    spinners(&mut app, 10);
    ticks(&mut app, 5);
    let store = app.world().resource::<DiagnosticsStore>();
    let value =
        |path: DiagnosticPath| store.get(&path).and_then(|diagnostic| diagnostic.value()).expect("measured");
    type Paths = LuauOsDiagnosticsPlugin;
    assert_eq!(value(Paths::VMS), 10.0);
    assert_eq!(value(Paths::PROCESSES), 10.0);
    assert_eq!(value(Paths::RUNNABLE), 10.0);
    assert_eq!(value(Paths::RESUMES), 10.0);
    assert!(value(Paths::TICK_TIME) > 0.0 && value(Paths::HEAP_BYTES) > 0.0);
    assert!(value(Paths::GC_TIME) >= 0.0 && value(Paths::LATE_TICKS) >= 0.0);
}

#[test]
#[should_panic(expected = "LuauOsPlugin::quantum is 1; it must be at least 2")]
fn a_setting_out_of_range_is_explained() {
    App::new().add_plugins((MinimalPlugins, LuauOsPlugin { quantum: 1, ..default() }));
}

#[test]
fn a_large_heap_is_collected_in_steps_over_many_ticks() {
    let mut app = common::app_with(LuauOsPlugin {
        budget: TickBudget::Time(Duration::from_micros(500)),
        quantum: 10_000,
        ..common::plugin()
    });
    let limits = Limits { memory_bytes: 64 << 20, ..default() };
    let vm = app.world_mut().spawn((Vm::new(), VmLimits::from(limits))).id();
    // Some 30 MB that live, and garbage without end.
    let hoard = "local live = {} for i = 1, 300000 do live[i] = { i, i } end while true do local garbage = { 1, 2 } end";
    process(&mut app, vm, hoard);
    let runtime = |app: &App| app.world().resource::<LuauRuntime>().isolate_bytes();
    for _ in 0..20_000 {
        app.update();
        if runtime(&app) > 40 << 20 {
            break;
        }
    }
    assert!(runtime(&app) > 40 << 20, "{} bytes", runtime(&app));
    // A whole collection would be over with its tick.
    let (mut in_a_row, mut most_in_a_row, mut most_bytes) = (0, 0, 0);
    for _ in 0..5_000 {
        let gc_time = metrics(&app).gc_time;
        app.update();
        in_a_row = if metrics(&app).gc_time > gc_time { in_a_row + 1 } else { 0 };
        most_in_a_row = most_in_a_row.max(in_a_row);
        most_bytes = most_bytes.max(runtime(&app));
    }
    assert!(most_in_a_row > 5, "{most_in_a_row} ticks");
    assert!(most_bytes < 100 << 20, "{most_bytes} bytes");
}

#[test]
fn heaps_that_have_to_be_collected_hold_up_no_others() {
    let mut app = common::app_with(LuauOsPlugin {
        budget: TickBudget::Time(Duration::from_millis(1)),
        vms_per_isolate: 1,
        quantum: 2_000,
        ..common::plugin()
    });
    let limits = Limits { memory_bytes: 256 << 20, time_per_tick: Duration::from_secs(1), ..default() };
    let limits = VmLimits::from(limits);
    // A collection of the first isolate takes many ticks. The other two are collected in the middle of each pass.
    let garbage = "while true do local garbage = { 1, 2 } end";
    let hoard = format!("local live = {{}} for i = 1, 300000 do live[i] = {{ i, i }} end {garbage}");
    let large = app.world_mut().spawn((Vm::new(), limits.clone())).id();
    let large = process(&mut app, large, &hoard);
    let (mut others, mut spinner) = (Vec::new(), None);
    for _ in 0..2 {
        let vm = app.world_mut().spawn((Vm::new(), limits.clone())).id();
        others.extend((0..30).map(|_| process(&mut app, vm, garbage)));
    }
    for _ in 0..2 {
        let vm = app.world_mut().spawn((Vm::new(), limits.clone())).id();
        spinner = Some(process(&mut app, vm, SPIN));
    }
    let spinner = spinner.expect("one of two");
    ticks(&mut app, 1_000);
    let slices = |app: &App, process| info(app, process).cpu.slices;
    let before = [large, others[0], others[30], spinner].map(|process| slices(&app, process));
    let passes = metrics(&app).passes;
    ticks(&mut app, 3_000);
    let after = [large, others[0], others[30], spinner].map(|process| slices(&app, process));
    let got: Vec<u64> = std::iter::zip(after, before).map(|(after, before)| after - before).collect();
    let passes = metrics(&app).passes - passes;
    let [_, some, more, spinner] = got[..] else { unreachable!() };
    let least = some.min(more);
    assert!(least > 50, "they starve: {got:?}");
    // On a fast machine nobody has to wait for long.
    assert!(spinner > 2_000 || 2 * spinner > 3 * least, "all wait for two isolates: {got:?}");
    assert!(passes.abs_diff(spinner) <= 2, "{spinner} slices in {passes} passes");
}
