//! Signals of the game that come faster than they are taken, or before anybody asks.

use bevy::prelude::*;
use bevy_luau_os::Value;
use bevy_luau_os::prelude::*;

use crate::common::{self, console, info, metrics, persistent_vm, process, ticks};

fn send(app: &mut App, vm: Entity, name: &str, payloads: impl IntoIterator<Item = u32>) {
    let mut commands = app.world_mut().commands();
    let mut vm = commands.entity(vm);
    payloads.into_iter().for_each(|payload| _ = vm.send_signal(name, payload));
    app.world_mut().flush();
}

/// Prints numbers of signals until the one that says so.
const COUNTS: &str = "local n = 0 repeat local last = signal.wait('hit') n += 1 until last == 0 return n";

#[test]
fn signals_of_one_tick_are_taken_one_after_another() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let counter = process(&mut app, vm, COUNTS);
    ticks(&mut app, 2);
    send(&mut app, vm, "hit", [3, 2, 1, 0]);
    ticks(&mut app, 2);
    let exit = common::exit(&app, counter).expect("they have all come");
    assert_eq!(exit.outcome, Outcome::Finished(vec![Value::Number(4.0)]));
}

#[test]
fn a_signal_reaches_processes_that_have_not_started_or_are_busy() {
    for is_broadcast in [false, true] {
        let mut app = common::app();
        let vm = persistent_vm(&mut app);
        let prints =
            "print('early', signal.wait('hit')) for i = 1, 2e5 do end print('busy', signal.wait('late'))";
        process(&mut app, vm, prints);
        let send = |app: &mut App, name: &str| {
            if is_broadcast {
                app.world_mut().commands().broadcast_signal(name, 1);
                app.world_mut().flush();
            } else {
                send(app, vm, name, [1]);
            }
        };
        send(&mut app, "hit");
        ticks(&mut app, 3);
        assert_eq!(console(&app, vm), "early\t1\ttrue\n");
        send(&mut app, "late");
        ticks(&mut app, 400);
        // What everybody is told is not held for those who may never ask.
        let late = if is_broadcast { "" } else { "busy\t1\ttrue\n" };
        assert_eq!(console(&app, vm), format!("early\t1\ttrue\n{late}"));
    }
}

#[test]
fn a_process_that_waits_for_something_else_hears_what_it_has_asked_for_before() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let prints =
        "signal.wait('hit', 0) task.wait(1) print(signal.wait('hit', 0)) print(signal.wait('other', 0))";
    process(&mut app, vm, prints);
    ticks(&mut app, 10);
    send(&mut app, vm, "hit", [7]);
    send(&mut app, vm, "other", [7]);
    ticks(&mut app, 100);
    assert_eq!(console(&app, vm), "7\ttrue\nnil\n");
}

#[test]
fn a_function_is_called_for_each_of_a_thousand_signals_in_order() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let connects = "
        local last, out_of_order = 0, 0
        signal.connect('hit', function(n)
            if n ~= last + 1 then out_of_order += 1 end
            last = n
            task.wait(0.1)
            if n == 1000 then process.exit(last, out_of_order) end
        end)";
    let connected = process(&mut app, vm, connects);
    send(&mut app, vm, "hit", 1..=10);
    assert_eq!(info(&app, connected).signals, 10);
    ticks(&mut app, 2);
    send(&mut app, vm, "hit", 11..=1000);
    assert_eq!(
        info(&app, connected).signals,
        1000 - 256,
        "as many as the process may have tasks are called at once"
    );
    ticks(&mut app, 300);
    let exit = common::exit(&app, connected).expect("all have come");
    assert_eq!(exit.outcome, Outcome::Finished(vec![Value::Number(1000.0), Value::Number(0.0)]));
    assert_eq!(metrics(&app).signals_dropped, 0);
}

#[test]
fn several_functions_get_the_same_signals_however_few_tasks_there_may_be() {
    let mut app = common::app();
    let limits = VmLimits::from(Limits { tasks: 3, ..default() });
    let vm = app.world_mut().spawn((Vm::persistent(), limits)).id();
    let connects = "
        for _, name in { 'a', 'b', 'c' } do
            signal.connect('hit', function(n) print(name, n) task.wait() end)
        end";
    process(&mut app, vm, connects);
    ticks(&mut app, 2);
    send(&mut app, vm, "hit", [1, 2]);
    ticks(&mut app, 20);
    assert_eq!(console(&app, vm), "a\t1\nb\t1\nc\t1\na\t2\nb\t2\nc\t2\n");
}

#[test]
fn what_there_is_no_room_for_is_counted_for_the_game_and_the_script() {
    let mut app = common::app();
    let limits = VmLimits::from(Limits { signals: 3, ..default() });
    let vm = app.world_mut().spawn((Vm::persistent(), limits)).id();
    let slow = "
        signal.wait('hit') task.wait(1)
        local info = process.info(process.pid)
        print(info.signals, info.signals_dropped)
        print((signal.wait('hit')))";
    let slow = process(&mut app, vm, slow);
    ticks(&mut app, 2);
    send(&mut app, vm, "hit", 1..=6);
    assert_eq!((info(&app, slow).signals, info(&app, slow).signals_dropped), (3, 2));
    assert_eq!(metrics(&app).signals_dropped, 2);
    ticks(&mut app, 100);
    assert_eq!(console(&app, vm), "3\t2\n4\n");
}

#[test]
fn a_disconnected_function_is_not_called_with_what_came_before() {
    let mut app = common::app();
    let limits = VmLimits::from(Limits { tasks: 2, ..default() });
    let vm = app.world_mut().spawn((Vm::persistent(), limits)).id();
    let connects = "
        local disconnect
        disconnect = signal.connect('hit', function(n) print(n) task.wait() disconnect() end)";
    let connected = process(&mut app, vm, connects);
    ticks(&mut app, 2);
    send(&mut app, vm, "hit", 1..=5);
    ticks(&mut app, 5);
    assert!(!common::exists(&app, connected), "nothing keeps it");
    assert_eq!(console(&app, vm), "1\n2\n");
}
