//! Syscalls: processes wait for answers of Bevy systems.

use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{KillReason, Value};

use crate::common::{self, BOOM, returns, silence_booms, text};

/// Calls that are kept to be answered later.
#[derive(Resource, Default)]
struct Doors(Vec<ReplyTo<&'static str>>);

/// What reached the systems, in order.
#[derive(Resource, Default)]
struct Log(Vec<(u32, f64)>);

/// An app with some syscalls.
pub fn app() -> App {
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
            panic!("{BOOM}")
        }
    }
    let mut app = app();
    app.add_syscall("explode", |_: In<Vec<Syscall<(Explosive,), ()>>>| {});
    silence_booms();
    let outcome = common::outcome(&mut app, "pcall(explode, 1) return 'caught'");
    let expected = KillReason::HostPanic { function: "explode".into(), message: BOOM.into() };
    assert_eq!(outcome, Outcome::Killed(expected));
    returns(&mut app, "return double(2)", Value::Number(4.0));
}
