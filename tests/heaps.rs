//! VMs on heaps: who has a Luau state, and what is handed on with one.

mod common;

use std::num::NonZeroUsize;

use bevy::prelude::*;
use bevy_luau_os::Value;
use bevy_luau_os::prelude::*;
use common::{ended, process, ticks, until_ended};

/// Each VM on a heap of its own.
fn app(workers: usize) -> App {
    common::app_with(LuauOsPlugin {
        vms_per_heap: 1,
        workers: NonZeroUsize::new(workers),
        ..common::plugin()
    })
}

fn persistent_vms(app: &mut App, count: usize) -> Vec<Entity> {
    app.world_mut().spawn_batch((0..count).map(|_| Vm::persistent())).collect()
}

fn runtime(app: &App) -> &LuauRuntime {
    app.world().resource()
}

/// How the processes ended, in that order.
fn results(app: &App) -> Vec<Outcome> {
    ended(app).processes.iter().map(|exit| exit.outcome.clone()).collect()
}

/// Bytes of a state with one process.
fn state_bytes() -> usize {
    let mut app = app(1);
    let vm = common::vm(&mut app);
    process(&mut app, vm, "while true do end");
    ticks(&mut app, 2);
    runtime(&app).heap_bytes()
}

#[test]
fn processes_that_come_and_go_run_in_few_states() {
    for workers in [1, 4] {
        let mut app = app(workers);
        for vm in persistent_vms(&mut app, 200) {
            process(&mut app, vm, "local t = {} for i = 1, 5 do t[i] = i end return #t");
        }
        until_ended(&mut app, 200);
        assert_eq!(results(&app), vec![Outcome::Finished(vec![Value::Number(5.0)]); 200]);
        assert!(runtime(&app).heap_count() >= 200);
        let (bytes, one) = (runtime(&app).heap_bytes(), state_bytes());
        assert!(bytes < (workers + 20) * one, "{bytes} bytes in 200 heaps, {one} in one");
    }
}

#[test]
fn processes_that_live_on_keep_their_state() {
    let mut app = app(2);
    let lives_on = "mine = process.args[1] task.wait(0.5) return mine, process.args[1]";
    let is_short = "mine = process.args[1] return mine, process.args[1]";
    for (i, vm) in persistent_vms(&mut app, 60).into_iter().enumerate() {
        let script = Script::new("test", if i % 3 == 0 { lives_on } else { is_short });
        app.world_mut().spawn((Process::new(script).with_args([i as f64]), ProcessOf(vm)));
    }
    until_ended(&mut app, 60);
    for outcome in results(&app) {
        let Outcome::Finished(values) = outcome else { panic!("{outcome:?}") };
        assert_eq!(values[0], values[1], "its own, not another's");
    }
}

#[test]
fn nothing_of_a_process_is_handed_on_with_its_state() {
    let mut app = app(1);
    let script = "local seen = { leak, shared, math.leak, string.leak }
        leak, shared = true, {}
        pcall(function() math.leak = true end)
        pcall(function() string.leak = true end)
        signal.connect('x', function() end)
        for i = 1, 3 do coroutine.wrap(function() coroutine.yield() end)() end
        process.exit(#seen, next(seen) == nil, math.random())";
    for vm in persistent_vms(&mut app, 30) {
        process(&mut app, vm, script);
    }
    until_ended(&mut app, 30);
    let mut drawn = Vec::new();
    for outcome in results(&app) {
        let Outcome::Finished(values) = outcome else { panic!("{outcome:?}") };
        assert_eq!(values[..2], [Value::Number(0.0), Value::Boolean(true)]);
        let Value::Number(number) = values[2] else { panic!("{values:?}") };
        assert!(!drawn.contains(&number), "each process has random numbers of its own");
        drawn.push(number);
    }
}

#[test]
fn a_vm_that_gave_its_state_away_goes_on_with_another() {
    let mut app = app(1);
    let vms = persistent_vms(&mut app, 10);
    for round in 1..=5 {
        for &vm in &vms {
            process(&mut app, vm, "made = {} for i = 1, 100 do made[i] = { i } end return process.pid");
        }
        until_ended(&mut app, round * vms.len());
        for &vm in &vms {
            let vm = app.world().get::<Vm>(vm).expect("it is persistent");
            assert_eq!(runtime(&app).vm_bytes(vm), Some(0), "it has no process");
        }
    }
    let pids =
        results(&app).into_iter().filter(|outcome| *outcome == Outcome::Finished(vec![Value::Number(5.0)]));
    assert_eq!(pids.count(), vms.len(), "PIDs are not used twice");
}

#[test]
fn coroutines_that_a_process_left_are_not_counted_for_the_next() {
    let mut app = app(1);
    let limits = VmLimits::from(Limits { coroutines: 8, ..default() });
    let leaves = "for i = 1, 7 do coroutine.create(function() end) end return coroutine.running() ~= nil";
    let vms: Vec<Entity> =
        (0..40).map(|_| app.world_mut().spawn((Vm::persistent(), limits.clone())).id()).collect();
    for round in 1..=3 {
        for &vm in &vms {
            process(&mut app, vm, leaves);
        }
        until_ended(&mut app, round * vms.len());
    }
    let finished = Outcome::Finished(vec![Value::Boolean(true)]);
    assert!(results(&app).iter().all(|outcome| *outcome == finished), "{:?}", results(&app));
}
