//! Processes that wait: for a time, and for answers to syscalls.

mod common;

use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::Value;
use bevy_luau_os::prelude::*;

/// Calls that are kept to be answered later.
#[derive(Resource, Default)]
struct Doors(Vec<ReplyTo<&'static str>>);

/// What reached the systems, in order.
#[derive(Resource, Default)]
struct Log(Vec<(u32, f64)>);

fn app() -> App {
    let mut app =
        common::app_with(LuauOsPlugin { syscall_timeout: Duration::from_secs(1), ..common::plugin() });
    app.init_resource::<Doors>()
        .init_resource::<Log>()
        .add_syscall("double", |In(calls): In<Vec<Syscall<(f64,), f64>>>, mut log: ResMut<Log>| {
            for call in calls {
                log.0.push((call.pid.get(), call.args.0));
                let doubled = 2.0 * call.args.0;
                call.reply(doubled);
            }
        })
        .add_syscall(
            "door.open",
            |In(calls): In<Vec<Syscall<(), &'static str>>>, mut doors: ResMut<Doors>| {
                doors.0.extend(calls.into_iter().map(|call| call.reply_to));
            },
        )
        .add_syscall("fail", |In(calls): In<Vec<Syscall<(String,), ()>>>| {
            for call in calls {
                let message = format!("no {}", call.args.0);
                call.fail(message);
            }
        })
        .add_syscall("ignore", |_: In<Vec<Syscall<(), ()>>>| {});
    app
}

fn text(text: &str) -> Value {
    Value::String(text.as_bytes().into())
}

#[track_caller]
fn returns(app: &mut App, source: &str, expected: Value) {
    let outcome = common::outcome(app, source);
    assert_eq!(outcome, Outcome::Finished(vec![expected]), "{source}");
}

#[test]
fn waiting_takes_the_time_that_it_should_and_says_how_long() {
    let mut app = app();
    for (source, expected) in [
        ("local t = os.clock() task.wait(0.5) return os.clock() - t", 0.5),
        ("return task.wait(0.5)", 0.5),
        ("return task.wait()", 1.0 / 60.0),
        ("return task.wait(-1)", 1.0 / 60.0),
        ("return task.wait(0/0)", 1.0 / 60.0),
    ] {
        let Outcome::Finished(values) = common::outcome(&mut app, source) else { panic!("{source}") };
        let waited = values[0].as_f64().expect("a number");
        assert!((expected - 1e-6..expected + 1.5 / 60.0).contains(&waited), "{source}: {waited}");
    }
}

#[test]
fn processes_wake_in_the_order_of_their_times() {
    let mut app = app();
    let vm = common::vm(&mut app);
    for seconds in [0.3, 0.1, 0.2, 0.1] {
        common::process(&mut app, vm, &format!("task.wait({seconds}) print({seconds})"));
    }
    common::process(&mut app, vm, "while true do task.wait(10) end");
    common::ticks(&mut app, 30);
    assert_eq!(app.world().get::<VmConsole>(vm).expect("printed").text(), "0.1\n0.1\n0.2\n0.3\n");
}

#[test]
fn waiting_works_in_coroutines_and_protected_calls_at_any_quantum() {
    let source = r#"
        local log = {}
        local generator = coroutine.wrap(function()
            for i = 1, 3 do
                task.wait(0.05)
                coroutine.yield(i)
            end
        end)
        for i in generator do table.insert(log, i) end
        table.insert(log, tostring(pcall(function() task.wait(0.02) error("late", 0) end)))
        table.insert(log, (select(2, pcall(function() return double(21) end))))
        table.insert(log, (select(2, pcall(fail, "luck"))))
        local inner = coroutine.create(function(...)
            return pcall(function(...) return double(...) + double(1) end, ...)
        end)
        table.insert(log, (select(3, coroutine.resume(inner, 4))))
        xpcall(function() task.wait() error("x") end, function() table.insert(log, "handled") end)
        return table.concat(log, " ")
    "#;
    for quantum in [2, 3, 7, 1000] {
        let mut app = app();
        app.world_mut().resource_mut::<LuauRuntime>().set_quantum(quantum);
        returns(&mut app, source, text("1 2 3 false 42 fail: no luck 10 handled"));
    }
}

#[test]
fn where_nothing_can_wait_an_error_says_so() {
    let mut app = app();
    for source in [
        "return setmetatable({}, { __index = function() task.wait(1) end }).x",
        "string.gsub('x', '.', function() task.wait(1) end)",
        "return setmetatable({}, { __len = function() return double(1) end })",
    ] {
        let source = source.replace("return setmetatable({}, { __len", "return #setmetatable({}, { __len");
        let Outcome::Failed(error) = common::outcome(&mut app, &source) else { panic!("{source}") };
        assert!(error.message.contains("cannot wait inside a metamethod"), "{}", error.message);
        assert!(error.message.starts_with("test:1: "), "{}", error.message);
    }
}

#[test]
fn a_waiting_process_is_in_no_queue_and_costs_no_slices() {
    let mut app = app();
    let vm = common::vm(&mut app);
    let process = common::process(&mut app, vm, "task.wait(100)");
    common::ticks(&mut app, 3);
    let runtime = app.world().resource::<LuauRuntime>();
    let info = runtime.process_info(app.world().get::<Process>(process).expect("alive")).expect("admitted");
    assert_eq!((info.state, info.cpu.slices, runtime.runnable()), (ProcessState::Waiting, 1, 0));
    let resumes = common::metrics(&app).resumes;
    common::ticks(&mut app, 100);
    assert_eq!(common::metrics(&app).resumes, resumes);
}

#[test]
fn paused_time_pauses_waiting() {
    let mut app = app();
    let vm = common::vm(&mut app);
    let process = common::process(&mut app, vm, "task.wait(0.1)");
    common::ticks(&mut app, 3);
    app.world_mut().resource_mut::<Time<Virtual>>().pause();
    common::ticks(&mut app, 50);
    assert!(common::exists(&app, process));
    app.world_mut().resource_mut::<Time<Virtual>>().unpause();
    common::ticks(&mut app, 10);
    assert!(!common::exists(&app, process));
}

#[test]
fn all_calls_of_a_tick_reach_one_system_in_order() {
    let mut app = app();
    for _ in 0..3 {
        let vm = common::vm(&mut app);
        for value in 1..=2 {
            common::process(&mut app, vm, &format!("return double({value})"));
        }
    }
    let mut sums: Vec<f64> = common::until_ended(&mut app, 6)
        .iter()
        .map(|exit| match &exit.outcome {
            Outcome::Finished(values) => values[0].as_f64().expect("a number"),
            other => panic!("{other:?}"),
        })
        .collect();
    sums.sort_by(f64::total_cmp);
    assert_eq!(sums, [2.0, 2.0, 2.0, 4.0, 4.0, 4.0]);
    let log = &app.world().resource::<Log>().0;
    assert_eq!(log.len(), 6);
    assert!(log.iter().all(|(pid, value)| f64::from(*pid) == *value));
}

#[test]
fn answers_may_come_later() {
    let mut app = app();
    let vm = common::vm(&mut app);
    common::process(&mut app, vm, "return door.open()");
    common::ticks(&mut app, 20);
    assert_eq!(common::ended(&app).processes.len(), 0);
    let door = app.world_mut().resource_mut::<Doors>().0.pop().expect("it knocked");
    door.reply("open");
    let exits = common::until_ended(&mut app, 1);
    assert_eq!(exits[0].outcome, Outcome::Finished(vec![text("open")]));
}

#[test]
fn calls_without_an_answer_fail_and_say_why() {
    let mut app = app();
    let Outcome::Failed(error) = common::outcome(&mut app, "ignore()") else { panic!() };
    assert_eq!(&*error.message, "test:1: ignore: the game dropped the call without an answer");
    let Outcome::Failed(error) = common::outcome(&mut app, "door.open()") else { panic!() };
    assert_eq!(&*error.message, "test:1: door.open: the game did not answer in time");
    // The answer that comes too late goes nowhere.
    let vm = common::vm(&mut app);
    common::process(&mut app, vm, "return pcall(door.open), task.wait(0.5), double(4)");
    common::ticks(&mut app, 70);
    for door in std::mem::take(&mut app.world_mut().resource_mut::<Doors>().0) {
        door.reply("too late");
    }
    let exits = common::until_ended(&mut app, 3);
    let Outcome::Finished(values) = &exits[2].outcome else { panic!("{:?}", exits[2].outcome) };
    assert_eq!((&values[0], values.last()), (&Value::Boolean(false), Some(&Value::Number(8.0))));
}

#[test]
fn wrong_arguments_are_errors_in_the_script() {
    let mut app = app();
    for (call, expected) in [
        ("double('x')", "test:1: double: argument 1: expected number, got string"),
        ("double()", "test:1: double: argument 1: expected number, got nil"),
        ("fail({})", "test:1: fail: argument 1: expected string, got table"),
    ] {
        let Outcome::Failed(error) = common::outcome(&mut app, call) else { panic!("{call}") };
        assert_eq!(&*error.message, expected);
    }
}

#[test]
fn calls_of_processes_that_are_gone_are_dropped() {
    let mut app = app();
    let vm = common::vm(&mut app);
    let process = common::process(&mut app, vm, "return door.open()");
    common::process(&mut app, vm, "while true do task.wait(1) end");
    common::ticks(&mut app, 5);
    let door = app.world_mut().resource_mut::<Doors>().0.pop().expect("it knocked");
    app.world_mut().despawn(process);
    // Its slot is taken by another that waits, too.
    let next = common::process(&mut app, vm, "return door.open()");
    common::ticks(&mut app, 5);
    door.reply("for the dead");
    common::ticks(&mut app, 5);
    assert!(common::exists(&app, next));
    app.world_mut().resource_mut::<Doors>().0.pop().expect("it knocked").reply("for the living");
    let exits = common::until_ended(&mut app, 1);
    assert_eq!(exits[0].outcome, Outcome::Finished(vec![text("for the living")]));
    app.world_mut().despawn(vm);
    common::ticks(&mut app, 80);
}

#[test]
fn calls_of_tasks_that_were_cancelled_do_not_reach_the_game() {
    let mut app = app();
    returns(
        &mut app,
        "local task_ = task.spawn(double, 1) task.cancel(task_) return double(2)",
        Value::Number(4.0),
    );
    assert_eq!(app.world().resource::<Log>().0, [(1, 2.0)]);
}

#[test]
fn a_panic_in_the_code_of_an_arguments_type_kills_the_process() {
    #[derive(Debug)]
    struct Explosive;
    impl<'de> serde::Deserialize<'de> for Explosive {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("boom")
        }
    }
    let mut app = app();
    app.add_syscall("explode", |_: In<Vec<Syscall<(Explosive,), ()>>>| {});
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = common::outcome(&mut app, "pcall(explode, 1) return 'caught'");
    std::panic::set_hook(hook);
    let expected = bevy_luau_os::KillReason::HostPanic { function: "explode".into(), message: "boom".into() };
    assert_eq!(outcome, Outcome::Killed(expected));
    returns(&mut app, "return double(2)", Value::Number(4.0));
}

#[test]
fn arguments_that_are_not_what_they_should_be_are_named() {
    let mut app = app();
    for (call, expected) in [
        ("task.wait({})", "task.wait: argument 1: expected number of seconds, got table"),
        ("task.spawn()", "task.spawn: argument 1: expected function or thread, got no value"),
        ("task.defer('x')", "task.defer: argument 1: expected function or thread, got string"),
        ("task.delay(1)", "task.delay: argument 2: expected function or thread, got no value"),
        ("task.delay()", "task.delay: argument 2: expected function or thread, got no value"),
        ("task.delay('x', print)", "task.delay: argument 1: expected number of seconds, got string"),
        ("task.cancel()", "task.cancel: argument 1: expected thread, got no value"),
        ("process.join('x')", "process.join: argument 1: expected the number of a process, got string"),
        ("process.join(2, true)", "process.join: argument 2: expected number of seconds, got boolean"),
        ("process.monitor(0.5)", "process.monitor: argument 1: expected the number of a process, got 0.5"),
        ("process.send('x', 1)", "process.send: argument 1: this is no address of a process"),
        ("mailbox.receive('soon')", "mailbox.receive: argument 1: expected number of seconds, got string"),
        ("signal.wait()", "signal.wait: argument 1: expected a name of at most 256 bytes, got no value"),
        ("signal.connect('x', 1)", "signal.connect: argument 2: expected function, got number"),
    ] {
        let source = format!("return select(2, pcall(function() {call} end))");
        returns(&mut app, &source, text(&format!("test:1: {expected}")));
    }
}
