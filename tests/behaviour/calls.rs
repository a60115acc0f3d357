//! The game calls functions that scripts export.

use std::sync::Arc;

use bevy::prelude::*;
use bevy_luau_os::Value;
use bevy_luau_os::prelude::*;

use crate::common::{self, console, exit, info, persistent_vm, process, text, ticks};

/// What has become of calls, in order.
#[derive(Resource, Default)]
struct Calls(Vec<CallEnded>);

fn app() -> App {
    let mut app = common::app();
    app.init_resource::<Calls>()
        .add_observer(|call: On<CallEnded>, mut calls: ResMut<Calls>| calls.0.push(call.event().clone()));
    app
}

fn call<T: serde::Serialize>(app: &mut App, process: Entity, function: &str, args: T) -> CallId {
    let id = app.world_mut().commands().entity(process).call(function, args);
    app.world_mut().flush();
    id
}

fn ended(app: &mut App) -> Vec<CallEnded> {
    std::mem::take(&mut app.world_mut().resource_mut::<Calls>().0)
}

/// The one call that has ended.
#[track_caller]
fn result(app: &mut App) -> Result<Vec<Value>, CallError> {
    let [call]: [CallEnded; 1] = ended(app).try_into().expect("one call");
    call.result
}

#[test]
fn a_call_returns_in_the_tick_in_which_it_begins() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let shop = "
        local prices = { apples = 3 }
        host.export('price_of', function(what, count) return prices[what] * count, what end)";
    let shop = process(&mut app, vm, shop);
    ticks(&mut app, 3);
    assert!(common::exists(&app, shop), "a process that exports something lives on");
    let ids = [2, 5].map(|count| call(&mut app, shop, "price_of", ("apples", count)));
    ticks(&mut app, 1);
    let calls = ended(&mut app);
    assert_eq!(calls.iter().map(|call| call.id).collect::<Vec<_>>(), ids);
    assert_eq!(calls.iter().map(|call| call.to::<f32>()).collect::<Vec<_>>(), [Ok(6.0), Ok(15.0)]);
    assert_eq!(calls[0].to(), Ok((6, "apples".to_owned())));
    assert_eq!((calls[1].entity, &calls[1].function), (shop, &Arc::from("price_of")));
    assert!(matches!(calls[1].to::<String>(), Err(CallError::Results(_))));
}

#[test]
fn a_call_is_a_task_that_can_wait_and_is_preempted() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let slow = "
        host.export('wait', function(n) return n, math.round(task.wait(n) * 10) end)
        host.export('count', function(n) local sum = 0 for i = 1, n do sum += i end return sum end)";
    let slow = process(&mut app, vm, slow);
    ticks(&mut app, 2);
    call(&mut app, slow, "wait", 0.5);
    call(&mut app, slow, "count", 10_000);
    call(&mut app, slow, "wait", 0.1);
    ticks(&mut app, 5);
    assert!(ended(&mut app).is_empty());
    ticks(&mut app, 50);
    let mut calls = ended(&mut app);
    calls.sort_by_key(|call| call.id);
    let results: Vec<_> = calls.iter().map(|call| call.to::<f64>()).collect();
    assert_eq!(results, [Ok(0.5), Ok(50_005_000.0), Ok(0.1)]);
}

#[test]
fn errors_come_back_with_their_traceback_and_end_one_call() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let faulty = "
        local function inner() error('no such thing') end
        host.export('fail', function() inner() end)
        host.export('object', function() error({ code = 7 }) end)";
    let faulty = process(&mut app, vm, faulty);
    ticks(&mut app, 2);
    call(&mut app, faulty, "fail", ());
    call(&mut app, faulty, "object", ());
    ticks(&mut app, 2);
    let calls = ended(&mut app);
    let [Err(CallError::Failed(fail)), Err(CallError::Failed(object))] = [&calls[0].result, &calls[1].result]
    else {
        panic!("{calls:?}");
    };
    assert_eq!(&*fail.message, "test:2: no such thing");
    assert!(fail.traceback.contains("test:2 function inner\ntest:3"), "{}", fail.traceback);
    assert_eq!(fail.place.as_ref().map(|place| place.line), Some(2));
    assert_eq!(object.value, Some(Value::Table(vec![(text("code"), 7.into())])));
    assert_eq!(common::metrics(&app).tasks_failed, 0, "the game has been told already");
    assert_eq!(console(&app, vm), "");
    assert!(common::exists(&app, faulty));
}

#[test]
fn what_cannot_be_called_is_an_error() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let process =
        process(&mut app, vm, "host.export('a', print) host.export('b', function() process.exit() end)");
    ticks(&mut app, 2);
    call(&mut app, process, "c", ());
    ticks(&mut app, 1);
    assert_eq!(result(&mut app), Err(CallError::NoSuchFunction));
    call(&mut app, process, "a", u64::MAX);
    assert!(matches!(result(&mut app), Err(CallError::Arguments(why)) if why.contains("2^53")));
    call(&mut app, process, "b", ());
    call(&mut app, process, "a", ());
    ticks(&mut app, 2);
    let results: Vec<_> = ended(&mut app).into_iter().map(|call| call.result).collect();
    assert_eq!(results, [Err(CallError::ProcessEnded), Err(CallError::ProcessEnded)]);
    assert!(exit(&app, process).is_some());
    call(&mut app, process, "a", ());
    assert_eq!(result(&mut app), Err(CallError::ProcessEnded));
}

#[test]
fn results_that_cannot_be_copied_are_an_error_that_names_the_limit() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let large = "host.export('large', function() return 1, table.create(5000, 0) end)";
    let large = process(&mut app, vm, large);
    ticks(&mut app, 2);
    call(&mut app, large, "large", ());
    ticks(&mut app, 20);
    let Err(CallError::Results(why)) = result(&mut app) else { panic!("it is too large") };
    assert!(why.starts_with("result 2: ") && why.contains("1024 values"), "{why}");
}

#[test]
fn a_call_waits_for_a_process_that_has_not_started_or_is_still_busy() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let late = "for i = 1, 2e4 do end host.export('f', function(n) return n + 1 end)";
    let late = process(&mut app, vm, late);
    for n in 0..3 {
        call(&mut app, late, "f", n);
    }
    call(&mut app, late, "g", ());
    ticks(&mut app, 5);
    assert!(ended(&mut app).is_empty());
    ticks(&mut app, 30);
    let mut calls = ended(&mut app);
    calls.sort_by_key(|call| call.id);
    let results: Vec<_> = calls.iter().map(|call| call.to::<u32>()).collect();
    assert_eq!(results, [Ok(1), Ok(2), Ok(3), Err(CallError::NoSuchFunction)]);
}

#[test]
fn a_busy_process_has_some_time_to_export_a_function() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let busy = process(&mut app, vm, common::SPIN);
    call(&mut app, busy, "f", ());
    ticks(&mut app, 590);
    assert!(ended(&mut app).is_empty());
    ticks(&mut app, 20);
    assert_eq!(result(&mut app), Err(CallError::NoSuchFunction));
}

#[test]
fn calls_that_wait_are_bounded() {
    let mut app = app();
    let limits = VmLimits::from(Limits { calls: 3, tasks: 2, ..default() });
    let vm = app.world_mut().spawn((Vm::persistent(), limits)).id();
    let slow = process(&mut app, vm, "host.export('f', function(n) task.wait(0.1) return n end)");
    ticks(&mut app, 2);
    for n in 0..7 {
        call(&mut app, slow, "f", n);
    }
    ticks(&mut app, 1);
    let refused: Vec<_> = ended(&mut app).into_iter().map(|call| call.result).collect();
    assert_eq!(refused, [Err(CallError::TooManyCalls), Err(CallError::TooManyCalls)]);
    ticks(&mut app, 60);
    let results: Vec<_> = ended(&mut app).iter().map(|call| call.to::<u32>()).collect();
    assert_eq!(results, (0..5).map(Ok).collect::<Vec<_>>());
}

#[test]
fn every_call_ends_when_its_process_does() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let script = "host.export('f', function() task.wait(1e9) end)";
    let [despawned, killed, new] = [(); 3].map(|()| process(&mut app, vm, script));
    call(&mut app, new, "f", ());
    app.world_mut().entity_mut(new).despawn();
    app.world_mut().flush();
    assert_eq!(result(&mut app), Err(CallError::ProcessEnded));
    ticks(&mut app, 2);
    for process in [despawned, killed] {
        call(&mut app, process, "f", ());
    }
    ticks(&mut app, 2);
    assert!(ended(&mut app).is_empty());
    app.world_mut().entity_mut(despawned).despawn();
    app.world_mut().commands().entity(killed).kill();
    ticks(&mut app, 1);
    let calls = ended(&mut app);
    let results: Vec<_> = calls.iter().map(|call| (call.entity, call.result.clone())).collect();
    assert_eq!(results, [despawned, killed].map(|process| (process, Err(CallError::ProcessEnded))));
}

#[test]
fn a_script_can_cancel_wake_and_lose_the_threads_of_calls() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let script = "
        local thread
        host.export('wait', function() thread = coroutine.running() return task.wait(1e9) end)
        host.export('cancel', function() task.cancel(thread) end)
        host.export('wake', function() task.spawn(thread, 'woken') end)
        host.export('resume', function() return coroutine.resume(thread, 'resumed') end)
        host.export('yield', function() coroutine.yield() end)
        host.export('known', function() thread = coroutine.running() return coroutine.yield() end)
        host.export('fail', function() thread = coroutine.running() error(coroutine.yield()) end)";
    let process = process(&mut app, vm, script);
    ticks(&mut app, 2);
    let mut results = |functions: [&str; 2]| {
        for function in functions {
            call(&mut app, process, function, ());
            ticks(&mut app, 2);
        }
        let mut calls = ended(&mut app);
        calls.sort_by_key(|call| call.id);
        calls.into_iter().map(|call| call.result).collect::<Vec<_>>()
    };
    assert_eq!(results(["wait", "cancel"]), [Err(CallError::Cancelled), Ok(vec![])]);
    assert_eq!(results(["wait", "wake"]), [Ok(vec![text("woken")]), Ok(vec![])]);
    assert_eq!(results(["known", "wake"]), [Ok(vec![text("woken")]), Ok(vec![])]);
    let resumed = results(["known", "resume"]);
    assert_eq!(resumed, [Ok(vec![text("resumed")]), Ok(vec![true.into(), text("resumed")])]);
    let failed = results(["fail", "resume"]);
    assert!(
        matches!(&failed[0], Err(CallError::Failed(error)) if error.message.ends_with(": resumed")),
        "{failed:?}"
    );
    assert_eq!(results(["yield", "yield"]), [Err(CallError::Cancelled), Err(CallError::Cancelled)]);
    assert_eq!(info(&app, process).state, ProcessState::Waiting);
}

#[test]
fn a_process_that_exports_nothing_any_more_ends() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let script = "
        host.export('f', function() return 'old' end)
        host.export('f', function() host.export('f', nil) return 'new' end)";
    let process = process(&mut app, vm, script);
    ticks(&mut app, 2);
    call(&mut app, process, "f", ());
    ticks(&mut app, 2);
    assert_eq!(result(&mut app), Ok(vec![text("new")]));
    assert_eq!(exit(&app, process).map(|exit| &exit.outcome), Some(&Outcome::Finished(vec![])));
}

#[test]
fn all_that_export_a_function_are_called_one_call_at_a_time() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let script = "
        local count = 0
        host.export('on_update', function(seconds)
            count += 1
            if count == 2 then task.wait(0.1) end
            if count == 3 then error('three') end
        end)
        host.export('count', function() return count end)";
    let [counts, suspended] = [(); 2].map(|()| process(&mut app, vm, script));
    process(&mut app, vm, "task.wait(1e9)");
    ticks(&mut app, 2);
    app.world_mut().commands().entity(suspended).suspend();
    for _ in 0..20 {
        app.world_mut().commands().call_all("on_update", 0.1);
        ticks(&mut app, 1);
    }
    app.world_mut().commands().entity(suspended).resume();
    for process in [counts, suspended] {
        call(&mut app, process, "count", ());
    }
    ticks(&mut app, 1);
    let counted: Vec<_> = ended(&mut app).iter().map(|call| call.to::<u32>()).collect();
    assert_eq!(counted, [Ok(14), Ok(0)], "busy for six ticks; suspended");
    assert_eq!(common::metrics(&app).tasks_failed, 1);
    assert!(console(&app, vm).contains("three"));
}

#[test]
fn exporting_has_limits_and_says_what_is_wrong() {
    let mut app = app();
    common::returns(
        &mut app,
        "local ok, why = pcall(host.export, 'f', 1) return why",
        text("host.export: argument 2: expected function or nil, got number"),
    );
    common::returns(
        &mut app,
        "for i = 1, 256 do host.export('f' .. i, print) end
         local ok, why = pcall(host.export, 'one more', print) process.exit(why)",
        text("host.export: this process has 256 connections and exports, of 256"),
    );
}

#[test]
fn the_threads_of_many_calls_are_few() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let counts = process(&mut app, vm, "local n = 0 host.export('f', function(x) n += x return n end)");
    ticks(&mut app, 2);
    let bytes = |app: &App| {
        let vm = app.world().get::<Vm>(vm).expect("it stays");
        common::runtime(app).vm_bytes(vm).expect("they are counted")
    };
    call(&mut app, counts, "f", 1);
    ticks(&mut app, 1);
    let before = bytes(&app);
    for _ in 0..1_000 {
        call(&mut app, counts, "f", 1);
        ticks(&mut app, 1);
    }
    assert_eq!(ended(&mut app).last().map(CallEnded::to), Some(Ok(1_001)));
    assert!(bytes(&app) < before + 1_000, "{before}, then {}", bytes(&app));
}
