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
