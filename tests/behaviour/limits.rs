//! What a VM may use, and what happens beyond that.

use std::num::NonZeroUsize;
use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{KillReason, Value};

use crate::common::{self, SPIN, info, runtime};

fn vm_with(app: &mut App, limits: Limits) -> Entity {
    app.world_mut().spawn((Vm::new(), VmLimits::from(limits))).id()
}

/// Runs `source` on a VM with these limits, beside a process that must not notice.
fn outcome(app: &mut App, limits: Limits, source: &str) -> Outcome {
    let before = common::ended(app).processes.len();
    let neighbour = common::vm(app);
    let neighbour = common::process(app, neighbour, "local s = 0 for i = 1, 100000 do s += i end return s");
    let vm = vm_with(app, limits);
    let process = common::process(app, vm, source);
    common::until_ended(app, before + 2);
    let outcome = |process| common::exit(app, process).expect("it ended").outcome.clone();
    assert_eq!(outcome(neighbour), Outcome::Finished(vec![Value::Number(5000050000.0)]));
    outcome(process)
}

fn killed(outcome: Outcome) -> KillReason {
    match outcome {
        Outcome::Killed(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_vm_that_holds_too_much_memory_loses_the_process_that_wants_more() {
    let mut app = common::app();
    let limits = Limits { memory_bytes: 1 << 20, ..default() };
    for source in [
        "local t = {} while true do t[#t + 1] = buffer.create(2^16) end",
        "local t = {} while true do t[#t + 1] = {} end",
        "local t = {} while true do pcall(function() for i = 1, 1e9 do t[i] = {} end end) end",
        "local s = 'x' while true do s ..= s end",
        "local t = table.create(2^22, 1) while true do end",
        "local function f() return pcall(string.rep, 'x', 2^24) end while true do f() end",
        "local function d(...) return d(1, ...) end d()",
    ] {
        let KillReason::Memory { limit, used } = killed(outcome(&mut app, limits.clone(), source)) else {
            panic!("{source}")
        };
        assert!(limit == 1 << 20 && used > limit, "{source}: {used} of {limit}");
    }
}

#[test]
fn garbage_does_not_count_as_memory() {
    let mut app = common::app();
    let limits = Limits { memory_bytes: 256 * 1024, ..default() };
    let source = "local kept for i = 1, 20000 do kept = table.create(64, i) end return kept[64]";
    let Outcome::Finished(values) = outcome(&mut app, limits, source) else { panic!() };
    assert_eq!(values[0].as_f64(), Some(20000.0));
}

#[test]
fn what_a_killed_process_held_is_given_back() {
    let mut app = common::app();
    let vm = vm_with(&mut app, Limits { memory_bytes: 1 << 20, ..default() });
    let survivor = common::process(&mut app, vm, "local n = 0 while true do n += 1 end");
    common::process(&mut app, vm, "local t = {} while true do t[#t + 1] = buffer.create(2^16) end");
    common::until_ended(&mut app, 1);
    common::ticks(&mut app, 5);
    let bytes = |app: &App| {
        let vm = app.world().get::<Vm>(vm).expect("alive");
        runtime(app).vm_bytes(vm).expect("it runs")
    };
    assert!(bytes(&app) <= (1 << 20) + (1 << 17), "{}", bytes(&app));
    // The survivor is not blamed, whatever garbage is left.
    common::ticks(&mut app, 50);
    assert!(common::exists(&app, survivor));
}

#[test]
fn one_slice_cannot_have_more_than_a_tick_can_bear() {
    let mut app = common::app();
    let limits = Limits { memory_bytes: 1 << 30, ..default() };
    let reason = killed(outcome(&mut app, limits, "local b = buffer.create(2^26) while true do end"));
    let KillReason::SliceMemory { limit, used } = reason else { panic!("{reason}") };
    // What the slice has freed is taken off.
    assert!(limit == 32 << 20 && used.abs_diff(1 << 26) < 1 << 17, "{used} bytes");
    assert!(reason.to_string().ends_with("of 33554432 (slice_bytes)"), "{reason}");
}

#[test]
fn a_vm_that_may_have_much_may_have_it_at_once() {
    let mut app = common::app();
    let limits = Limits { memory_bytes: 256 << 20, ..default() };
    let source =
        "local b = buffer.create(2^24) for i = 1, 9 do b = buffer.create(2^24) end return buffer.len(b)";
    let Outcome::Finished(values) = outcome(&mut app, limits, source) else { panic!() };
    assert_eq!(values[0].as_f64(), Some(f64::from(1 << 24)));
}

#[test]
fn coroutines_are_counted_and_garbage_is_not() {
    let mut app = common::app();
    let limits = Limits { coroutines: 50, ..default() };
    let hoard = "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end";
    let reason = killed(outcome(&mut app, limits.clone(), hoard));
    let KillReason::Coroutines { limit: 50, used } = reason else { panic!("{reason}") };
    assert!((51..60).contains(&used), "{used}");
    let inside = "while true do pcall(function() local t = {} while true do t[#t + 1] = coroutine.wrap(function() \
                  coroutine.yield() end) t[#t]() end end) end";
    assert!(matches!(killed(outcome(&mut app, limits.clone(), inside)), KillReason::Coroutines { .. }));
    let generators = "local n = 0 for i = 1, 3000 do for v in coroutine.wrap(function() coroutine.yield(1) end) do \
                      n += v end end return n";
    let Outcome::Finished(values) = outcome(&mut app, limits, generators) else { panic!() };
    assert_eq!(values[0].as_f64(), Some(3000.0));
}

#[test]
fn deep_recursion_ends_the_process() {
    let mut app = common::app();
    let limits = Limits { call_depth: 500, ..default() };
    for source in [
        "local function d() d() d() end d()",
        "while true do pcall(function() local function d() d() d() end d() end) end",
        "coroutine.wrap(function() local function d() d() d() end d() end)()",
    ] {
        let reason = killed(outcome(&mut app, limits.clone(), source));
        assert!(matches!(reason, KillReason::CallDepth { limit: 500, used: 501.. }), "{source}: {reason}");
    }
    let shallow = "local function d(n) if n > 0 then return 1 + d(n - 1) end return 0 end return d(400)";
    let Outcome::Finished(values) = outcome(&mut app, limits, shallow) else { panic!() };
    assert_eq!(values[0].as_f64(), Some(400.0));
}

#[test]
fn processes_beyond_the_limit_do_not_start() {
    let mut app = common::app();
    let vm = vm_with(&mut app, Limits { processes: 2, ..default() });
    for _ in 0..4 {
        common::process(&mut app, vm, SPIN);
    }
    let refused = common::until_ended(&mut app, 2).to_vec();
    for exit in &refused {
        assert_eq!(exit.outcome, Outcome::Killed(KillReason::Processes { limit: 2, used: 3 }));
        assert_eq!(exit.cpu.slices, 0);
    }
    common::ticks(&mut app, 3);
    assert_eq!(common::metrics(&app).processes(), 2);
    // There is room again when one has ended.
    let despawned = app.world().get::<Processes>(vm).expect("it has two").iter().next().expect("the first");
    app.world_mut().despawn(despawned);
    let next = common::process(&mut app, vm, SPIN);
    common::ticks(&mut app, 2);
    assert!(common::exists(&app, next));
}

#[test]
fn long_sources_do_not_start() {
    let mut app = common::app();
    let limits = Limits { source_bytes: 100, ..default() };
    let source = format!("return 1 --{}", "x".repeat(100));
    let used = source.len();
    let reason = killed(outcome(&mut app, limits, &source));
    assert_eq!(reason, KillReason::SourceSize { limit: 100, used });
}

#[test]
fn the_console_keeps_what_the_limit_says() {
    let mut app = common::app();
    let print = "for i = 1, 1000 do print(i) end while true do coroutine.yield() end";
    let (loud, silent) = (
        vm_with(&mut app, Limits { console_bytes: 20, ..default() }),
        vm_with(&mut app, Limits { console_bytes: 0, ..default() }),
    );
    common::process(&mut app, loud, print);
    common::process(&mut app, silent, print);
    common::ticks(&mut app, 20);
    let console = app.world().get::<VmConsole>(loud).expect("it printed");
    assert_eq!(console.text(), "96\n997\n998\n999\n1000\n");
    assert!(console.dropped_bytes() > 3000);
    assert!(app.world().get::<VmConsole>(silent).is_none());
}

#[test]
fn limits_can_be_changed_while_processes_run() {
    let mut app = common::app();
    let vm = common::vm(&mut app);
    let hold = "local b = buffer.create(2^20) while true do end";
    common::process(&mut app, vm, hold);
    common::ticks(&mut app, 5);
    assert_eq!(common::metrics(&app).processes(), 1);
    app.world_mut().entity_mut(vm).insert(VmLimits::from(Limits { memory_bytes: 1 << 19, ..default() }));
    let exits = common::until_ended(&mut app, 1);
    assert!(matches!(exits[0].outcome, Outcome::Killed(KillReason::Memory { limit: 0x80000, .. })));
}

#[test]
fn a_vm_that_takes_long_is_slowed_down_and_others_are_not() {
    let mut app = common::app_with(LuauOsPlugin {
        budget: TickBudget::Time(Duration::from_secs(10)),
        workers: NonZeroUsize::new(1),
        ..common::plugin()
    });
    // Each pass over so many holes takes long and is not interrupted.
    let slow = "local t = table.create(100000, 1) table.clear(t) while true do for _ in t do end end";
    let time_per_tick = Duration::from_micros(100);
    let processes = [(slow, time_per_tick), (SPIN, 10 * time_per_tick)].map(|(source, time_per_tick)| {
        let vm = vm_with(&mut app, Limits { time_per_tick, ..default() });
        common::process(&mut app, vm, source)
    });
    common::ticks(&mut app, 200);
    let [slow, fair] = processes.map(|process| info(&app, process).cpu);
    // What a slice took too much is paid for by the next ticks.
    assert!((15..=30).contains(&slow.time.as_millis()), "{slow:?}");
    assert!((190..=210).contains(&fair.time.as_millis()), "{fair:?}");
    assert!(slow.slices < fair.slices && fair.slices > 200, "{slow:?}, {fair:?}");
}

#[test]
fn a_lone_vm_gets_slice_after_slice_and_many_share_the_budget() {
    let time = |vms: usize| {
        let mut app = common::app_with(LuauOsPlugin {
            budget: TickBudget::Time(Duration::from_millis(20)),
            workers: NonZeroUsize::new(1),
            ..common::plugin()
        });
        let processes = common::spinners(&mut app, vms);
        common::ticks(&mut app, 5); // they do not all start in the first
        let used = |app: &App| processes.iter().map(|&process| info(app, process).cpu).collect::<Vec<_>>();
        let before = used(&app);
        common::ticks(&mut app, 50);
        let differences = used(&app).into_iter().zip(before);
        let (times, slices): (Vec<_>, Vec<_>) =
            differences.map(|(now, then)| (now.time - then.time, now.slices - then.slices)).unzip();
        (times.into_iter().sum::<Duration>(), slices)
    };
    let (alone, _) = time(1);
    assert!((45..=55).contains(&alone.as_millis()), "a millisecond in each tick: {alone:?}");
    let (shared, slices) = time(400);
    assert!(shared < Duration::from_millis(50 * 25), "the budget, and no more: {shared:?}");
    let (min, max) = (slices.iter().min(), slices.iter().max());
    assert!(max.zip(min).is_some_and(|(max, min)| max - min <= 2), "{slices:?}");
}

#[test]
fn without_a_budget_a_tick_has_as_many_passes_as_it_is_told() {
    let mut app = common::app_with(LuauOsPlugin { passes_per_tick: 5, ..common::plugin() });
    let [spins, waits, yields] =
        [SPIN, "while true do task.wait() end", "while true do coroutine.yield() end"].map(|source| {
            let vm = common::vm(&mut app);
            common::process(&mut app, vm, source)
        });
    common::ticks(&mut app, 1);
    let before = [spins, waits, yields].map(|process| info(&app, process).cpu.slices);
    common::ticks(&mut app, 10);
    let after = [spins, waits, yields].map(|process| info(&app, process).cpu.slices);
    assert_eq!([0, 1, 2].map(|i| after[i] - before[i]), [50, 10, 10]);
}

#[test]
fn vms_share_the_processor_whatever_the_number_of_their_processes() {
    let mut app = common::app_with(LuauOsPlugin { share: Share::PerVm, ..common::plugin() });
    let vms = [(1, 100), (40, 100), (40, 200)].map(|(processes, cpu_weight)| {
        let vm = vm_with(&mut app, Limits { cpu_weight, ..default() });
        (0..processes).for_each(|_| _ = common::process(&mut app, vm, SPIN));
        vm
    });
    common::ticks(&mut app, 101);
    let used = vms.map(|vm| {
        let vm = app.world().get::<Vm>(vm).expect("it is there");
        runtime(&app).vm_info(vm).expect("it has processes").cpu.safepoints
    });
    let share = |vm: usize| used[vm] as f64 / used[0] as f64;
    assert!((0.95..1.05).contains(&share(1)) && (1.9..2.1).contains(&share(2)), "{used:?}");
}
