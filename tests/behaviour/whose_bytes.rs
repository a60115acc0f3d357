//! Nobody pays for what an isolate shares, or for what others hold.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::common::{self, process, results, until_ended};

/// An app whose VMs are all on one isolate.
fn app(quantum: u32) -> App {
    common::app_with(LuauOsPlugin { quantum, vms_per_isolate: 255, ..common::plugin() })
}

fn vm_with(app: &mut App, memory_bytes: usize) -> Entity {
    app.world_mut().spawn((Vm::new(), VmLimits::from(Limits { memory_bytes, ..default() }))).id()
}

/// Holds so many strings that nobody else has.
fn hoard(strings: u32) -> String {
    format!(
        "local t = {{}}
        for i = 1, {strings} do
            t[i] = process.address .. '/' .. i
            if i % 20 == 0 then task.wait() end
        end
        task.wait(1)
        return #t"
    )
}

fn assert_all_finished(app: &App) {
    let killed: Vec<_> =
        results(app).into_iter().filter(|outcome| !matches!(outcome, Outcome::Finished(_))).collect();
    assert!(killed.is_empty(), "{} of them: {:?}", killed.len(), killed[0]);
}

#[test]
fn many_vms_with_some_thousand_strings_each_fill_the_table_of_strings() {
    for quantum in [1_000, 7] {
        let mut app = app(quantum);
        for _ in 0..255 {
            let vm = common::vm(&mut app);
            process(&mut app, vm, &hoard(2_300));
        }
        until_ended(&mut app, 255);
        assert_all_finished(&app);
    }
}

#[test]
fn the_table_of_strings_grows_to_more_than_the_vms_may_have() {
    let mut app = app(1_000);
    for _ in 0..255 {
        let vm = vm_with(&mut app, 192 << 10);
        process(&mut app, vm, &hoard(1_100));
    }
    until_ended(&mut app, 255);
    assert_all_finished(&app);
}

#[test]
fn who_makes_the_string_with_which_the_table_grows_is_refused_nothing() {
    // In one slice, so that the table cannot be grown before it.
    let mut app = app(10_000_000);
    for _ in 0..120 {
        let vm = vm_with(&mut app, 192 << 10);
        let source = "local t = {} for i = 1, 1100 do t[i] = process.address .. '/' .. i end
            local kept = t[1] t = nil task.wait(0.2) return kept";
        process(&mut app, vm, source);
    }
    until_ended(&mut app, 120);
    assert_all_finished(&app);
}

#[test]
fn a_newcomer_does_not_pay_for_what_another_left_in_its_memory_category() {
    let mut app = app(100_000);
    // The strings of the first are still held by the second when it has gone.
    let strings = "local t = {} for i = 1, 5000 do t[i] = 'kept ' .. i end";
    let first = common::vm(&mut app);
    process(&mut app, first, &format!("{strings} task.wait(0.2)"));
    common::ticks(&mut app, 3);
    let second = common::vm(&mut app);
    process(&mut app, second, &format!("{strings} task.wait(1e6) print(t)"));
    for _ in 0..253 {
        let vm = common::vm(&mut app);
        process(&mut app, vm, "task.wait(1e6)");
    }
    until_ended(&mut app, 1);
    // All memory categories are taken but that of the first.
    let source = "local t for i = 1, 300 do t = table.create(50, i) task.wait() end return #t";
    let newcomer = vm_with(&mut app, 128 << 10);
    process(&mut app, newcomer, source);
    let exits = until_ended(&mut app, 2);
    assert!(matches!(exits[1].outcome, Outcome::Finished(_)), "{:?}", exits[1].outcome);
}

#[test]
fn a_flood_of_signals_ends_nobody() {
    let mut app = app(1_000);
    let vm = vm_with(&mut app, 1 << 20);
    let source =
        "local n = 0 signal.connect('flood', function(text) n += #text task.wait(1e6) print(text) end)
        task.wait(1) process.exit(n)";
    process(&mut app, vm, source);
    common::ticks(&mut app, 3);
    for number in 0..50 {
        for part in 0..10 {
            let payload = format!("{number} {part} {}", "x".repeat(60_000));
            app.world_mut().commands().broadcast_signal("flood", payload);
        }
        common::ticks(&mut app, 1);
    }
    let exits = until_ended(&mut app, 1);
    let Outcome::Finished(values) = &exits[0].outcome else { panic!("{:?}", exits[0].outcome) };
    assert!(values[0].as_f64().is_some_and(|bytes| bytes > 500_000.0), "{values:?}");
}
