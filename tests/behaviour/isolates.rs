//! VMs on isolates: who has a Luau state, and what is handed on with one.

use std::num::NonZeroUsize;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{KillReason, Value};

use crate::common::{self, SPIN, info, persistent_vms, process, results, runtime, ticks, until_ended};

/// Each VM on an isolate of its own.
fn app(workers: usize) -> App {
    common::app_with(LuauOsPlugin {
        vms_per_isolate: 1,
        workers: NonZeroUsize::new(workers),
        ..common::plugin()
    })
}

/// Bytes of a state with one process.
fn state_bytes() -> usize {
    let mut app = app(1);
    let vm = common::vm(&mut app);
    process(&mut app, vm, SPIN);
    ticks(&mut app, 2);
    runtime(&app).isolate_bytes()
}

/// Most isolates have no state any more: they have handed theirs over.
fn assert_states_are_few(app: &App) {
    let (isolates, bytes, one) = (runtime(app).isolate_count(), runtime(app).isolate_bytes(), state_bytes());
    assert!(bytes < isolates / 4 * one, "{bytes} bytes in {isolates} isolates, {one} in one");
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
        assert_states_are_few(&app);
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
fn nothing_of_a_process_is_handed_over_with_its_state() {
    let mut app = app(1);
    let script = "local seen = { leak, shared, math.leak }
        leak, shared = true, {}
        pcall(function() math.leak = true end)
        signal.connect('x', print)
        process.exit(#seen, next(seen) == nil, math.random())";
    for vm in persistent_vms(&mut app, 60) {
        process(&mut app, vm, script);
    }
    until_ended(&mut app, 60);
    assert_states_are_few(&app);
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
    let vms = persistent_vms(&mut app, 60);
    for round in 1..=5 {
        for &vm in &vms {
            process(&mut app, vm, "made = { process.pid } return made[1]");
        }
        until_ended(&mut app, round * vms.len());
        assert_states_are_few(&app);
        for &vm in &vms {
            let vm = app.world().get::<Vm>(vm).expect("it is persistent");
            assert_eq!(runtime(&app).vm_bytes(vm), Some(0), "it has no process");
        }
    }
    let last = Outcome::Finished(vec![Value::Number(5.0)]);
    assert_eq!(results(&app).iter().filter(|outcome| **outcome == last).count(), vms.len(), "PIDs go on");
}

#[test]
fn a_process_that_was_despawned_while_it_was_queued_holds_up_nobody() {
    let mut app = app(1);
    let vms = persistent_vms(&mut app, 33);
    // Each VM gets its isolate.
    vms.iter().for_each(|&vm| _ = process(&mut app, vm, "return 0"));
    until_ended(&mut app, 33);
    let watched = process(&mut app, vms[0], SPIN);
    // Every other isolate has a state, and processes that are queued when they go.
    let mut spinners = Vec::new();
    for &vm in vms[1..].iter().step_by(2) {
        spinners.extend((0..2).map(|_| process(&mut app, vm, SPIN)));
    }
    ticks(&mut app, 3);
    let slices = |app: &App| info(app, watched).cpu.slices;
    spinners.into_iter().rev().for_each(|spinner| assert!(app.world_mut().despawn(spinner)));
    for round in 1..=3 {
        for &vm in &vms[1..] {
            process(&mut app, vm, "return 1");
        }
        let before = slices(&app);
        until_ended(&mut app, 33 + round * 32);
        ticks(&mut app, 3);
        assert!(slices(&app) >= before + 3, "round {round}");
    }
}

#[test]
fn each_vm_of_an_isolate_is_held_to_its_own_limits() {
    let mut app = common::app();
    let silent = VmLimits::from(Limits { console_bytes: 0, memory_bytes: 512 << 10, ..default() });
    let vms: Vec<Entity> = (0..8)
        .map(|i| {
            app.world_mut()
                .spawn((Vm::persistent(), if i % 2 == 0 { silent.clone() } else { default() }))
                .id()
        })
        .collect();
    for &vm in &vms {
        process(&mut app, vm, "print('hello') local b = buffer.create(2 * 1024 * 1024) return buffer.len(b)");
    }
    until_ended(&mut app, 8);
    let outcomes = results(&app);
    let killed =
        outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Killed(KillReason::Memory { .. })));
    assert_eq!(killed.count(), 4, "{outcomes:?}");
    for (i, vm) in vms.into_iter().enumerate() {
        let console = app.world().get::<VmConsole>(vm).map(VmConsole::text);
        assert_eq!(console, (i % 2 == 1).then_some("hello\n"));
    }
}

#[test]
fn vms_that_are_not_told_apart_are_held_to_what_a_slice_may_have() {
    let plugin = LuauOsPlugin { vms_per_isolate: 1_000, ..common::plugin() };
    let mut app = common::app_with(plugin);
    let limits = VmLimits::from(Limits { memory_bytes: 512 << 10, ..default() });
    let vm = app.world_mut().spawn((Vm::new(), limits)).id();
    process(&mut app, vm, "return buffer.len(buffer.create(2 * 1024 * 1024))");
    until_ended(&mut app, 1);
    assert_eq!(results(&app), [Outcome::Finished(vec![Value::Number(2097152.0)])]);
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
