//! Ways to answer syscalls, and how long they may take.

use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::common::{self, console, outcome, persistent_vm, process, text, ticks};

#[derive(Component)]
struct Energy(f64);

#[test]
fn a_system_gets_all_calls_and_splits_them() {
    let mut app = common::app();
    app.add_syscall("shout", |calls: Calls<(u32, String), String>| {
        assert_eq!(calls.len(), 2);
        for call in calls {
            let ((times, word), reply) = call.split();
            reply.result(if word.is_empty() {
                Err("say something")
            } else {
                Ok(word.repeat(times as usize))
            });
        }
    });
    let vm = persistent_vm(&mut app);
    process(&mut app, vm, "print(shout(3, 'hey'))");
    process(&mut app, vm, "print(pcall(shout, 3, ''))");
    ticks(&mut app, 5);
    assert_eq!(console(&app, vm), "heyheyhey\nfalse\tshout: say something\n");
}

#[test]
fn a_system_answers_one_call_at_a_time_and_sees_what_the_last_one_did() {
    let mut app = common::app();
    app.add_call("energy", |In(vm): In<Entity>, drones: Query<&Energy>| {
        drones.get(vm).map(|energy| energy.0)
    })
    .add_call("spend", |In((vm, (by,))): In<(Entity, (f64,))>, mut drones: Query<&mut Energy>| {
        let mut energy = drones.get_mut(vm).map_err(|_| "this is no drone".to_owned())?;
        energy.0 = Some(energy.0 - by).filter(|left| *left >= 0.0).ok_or(format!("{by} is too much"))?;
        Ok::<_, String>((energy.0, "left"))
    });
    let vm = app.world_mut().spawn((Vm::persistent(), Energy(10.0))).id();
    process(&mut app, vm, "print(spend(4)) print(energy()) print(pcall(spend, 7)) print(pcall(spend))");
    process(&mut app, vm, "print(spend(1))");
    ticks(&mut app, 10);
    let expected = [
        "6\tleft",
        "5\tleft",
        "5",
        "false\tspend: 7 is too much",
        "false\tspend: argument 1: expected a 64-bit float, got nil",
    ];
    let printed = console(&app, vm);
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[..4], expected[..4]);
    assert!(lines[4].starts_with("false\tspend: argument 1: "), "{printed}");
    assert_eq!(outcome(&mut app, "local _, why = pcall(spend, 1) return why"), {
        Outcome::Finished(vec![text("spend: this is no drone")])
    });
}

#[derive(Resource, Default)]
struct Kept(Vec<ReplyTo<()>>);

#[test]
fn each_syscall_has_a_timeout_of_its_own_that_stands_still_with_its_caller() {
    let mut app =
        common::app_with(LuauOsPlugin { syscall_timeout: Duration::from_secs(2), ..common::plugin() });
    app.init_resource::<Kept>();
    for path in ["short", "usual", "long", "endless"] {
        app.add_syscall(path, |calls: Calls<(), ()>, mut kept: ResMut<Kept>| {
            kept.0.extend(calls.into_iter().map(|call| call.split().1));
        });
    }
    app.set_syscall_timeout("short", Duration::from_secs(1))
        .set_syscall_timeout("long", Duration::from_secs(3))
        .set_syscall_timeout("endless", Duration::MAX);
    let [vm, suspended_vm] = [(); 2].map(|()| persistent_vm(&mut app));
    for path in ["endless", "long", "usual", "short"] {
        process(&mut app, vm, &format!("print('{path}', pcall({path}), math.round(os.clock()))"));
    }
    let suspended = process(&mut app, suspended_vm, "pcall(short) print(math.round(os.clock()))");
    ticks(&mut app, 30);
    app.world_mut().commands().entity(suspended).suspend();
    ticks(&mut app, 300);
    app.world_mut().commands().entity(suspended).resume();
    let printed = console(&app, vm);
    let late = |path: &str, at: u32| format!("{path}\tfalse\t{at}\n");
    assert_eq!(printed, late("short", 1) + &late("usual", 2) + &late("long", 3));
    assert_eq!(console(&app, suspended_vm), "");
    ticks(&mut app, 40);
    assert_eq!(console(&app, suspended_vm), "6\n", "half a second before, and half a second after");
}

#[test]
#[should_panic(expected = "there is no such syscall")]
fn a_timeout_needs_a_syscall() {
    common::app().set_syscall_timeout("nothing", Duration::MAX);
}
