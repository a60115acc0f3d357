//! What the game does to processes: arguments, names, and the commands that end, suspend and resume them.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{KillReason, Value};

use crate::common::{
    self, SPIN, console, ended, exists, info, persistent_vm, process, runtime, text, ticks, until_ended,
};

#[test]
fn a_process_is_ended_on_request_with_a_report() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let sources = [SPIN, "task.wait(100)", "task.spawn(task.wait, 100) while true do task.wait() end"];
    let entities = sources.map(|source| process(&mut app, vm, source));
    ticks(&mut app, 3);
    for entity in entities {
        app.world_mut().commands().entity(entity).kill();
    }
    app.world_mut().flush();
    app.update();
    assert_eq!(ended(&app).processes.len(), 3);
    for exit in &ended(&app).processes {
        assert_eq!(exit.outcome, Outcome::Killed(KillReason::Requested));
        assert!(!exists(&app, exit.entity));
    }
    let new = process(&mut app, vm, "print('never')");
    app.world_mut().commands().entity(new).kill();
    app.world_mut().flush();
    ticks(&mut app, 3);
    assert!(!exists(&app, new));
}

#[test]
fn the_reason_of_the_game_reaches_exits_and_scripts() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let parent = "local child = process.spawn('while true do end') print(process.join(child))";
    process(&mut app, vm, parent);
    ticks(&mut app, 4);
    let child = app.world().get::<Processes>(vm).and_then(|processes| processes.last().copied());
    let child = child.expect("it runs");
    let long = "x".repeat(10_000);
    // What comes after the end of a process is no error.
    app.world_mut().commands().entity(child).kill_because("too much noise").kill_because(long).resume();
    app.world_mut().flush();
    ticks(&mut app, 3);
    let exit = common::exit(&app, child).expect("it was ended");
    assert_eq!(exit.outcome, Outcome::Killed(KillReason::Game { reason: "too much noise".into() }));
    assert_eq!(console(&app, vm), "killed\ttoo much noise\n");
    let new = process(&mut app, vm, SPIN);
    app.world_mut().commands().entity(new).kill().suspend().resume().kill_because("again");
    app.world_mut().flush();
    assert!(!exists(&app, new));
}

#[test]
fn a_suspended_process_runs_on_where_it_was() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let counts = process(&mut app, vm, "for i = 1, 1e9 do print(i) task.wait() end");
    let spins = process(&mut app, vm, SPIN);
    ticks(&mut app, 5);
    let slices = |app: &App, process| info(app, process).cpu.slices;
    for process in [counts, spins] {
        app.world_mut().commands().entity(process).suspend();
    }
    app.world_mut().flush();
    ticks(&mut app, 1);
    let before = (console(&app, vm), slices(&app, spins));
    ticks(&mut app, 10);
    assert_eq!((console(&app, vm), slices(&app, spins)), before);
    assert_eq!([counts, spins].map(|process| info(&app, process).state), [ProcessState::Suspended; 2]);
    assert_eq!(runtime(&app).runnable(), 0);
    for process in [counts, spins] {
        // Once more changes nothing.
        app.world_mut().commands().entity(process).resume().suspend().resume().resume();
    }
    app.world_mut().flush();
    ticks(&mut app, 5);
    assert_eq!(slices(&app, spins), before.1 + 5);
    let lines: Vec<usize> = console(&app, vm).lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(lines, (1..=lines.len()).collect::<Vec<_>>());
    assert!(lines.len() > before.0.lines().count());
}

#[test]
fn arguments_and_names_reach_the_script() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let script =
        Script::new("script", "local a, b = ... return a, b, process.args[1], process.name, process.pid");
    let named = Process::new(script.clone()).with_name("named").with_args([1.0]).with_args(["two"]);
    app.world_mut().spawn((named, ProcessOf(vm)));
    app.world_mut().spawn((Process::new(script), ProcessOf(vm)));
    let exits = until_ended(&mut app, 2);
    let results = |i: usize| match &exits[i].outcome {
        Outcome::Finished(values) => values.clone(),
        other => panic!("{other:?}"),
    };
    let one = || Value::Number(1.0);
    assert_eq!(results(0), [one(), text("two"), one(), text("named"), one()]);
    assert_eq!(results(1), [Value::Nil, Value::Nil, Value::Nil, text("script"), Value::Number(2.0)]);
    assert_eq!((&*exits[0].name, &*exits[1].name), ("named", "script"));
}

#[test]
fn a_process_that_is_suspended_before_it_is_admitted_stays_so_until_it_is_resumed() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let [stays, goes_on] = [1, 2].map(|number| process(&mut app, vm, &format!("print({number})")));
    app.world_mut().commands().entity(stays).suspend();
    app.world_mut().commands().entity(goes_on).suspend().resume();
    app.world_mut().flush();
    ticks(&mut app, 5);
    assert_eq!(console(&app, vm), "2\n");
    assert_eq!(info(&app, stays).state, ProcessState::Suspended);
    app.world_mut().commands().entity(stays).resume();
    app.world_mut().flush();
    ticks(&mut app, 2);
    assert_eq!(console(&app, vm), "2\n1\n");
}

#[test]
fn what_a_suspended_process_has_asked_for_starts_suspended() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    app.add_syscall("pause_me", |In(calls): In<Vec<Syscall<(), ()>>>, mut commands: Commands| {
        for call in calls {
            commands.entity(call.process).suspend();
            call.reply(());
        }
    });
    process(&mut app, vm, "task.spawn(pause_me) process.spawn('print(1)') print(2)");
    ticks(&mut app, 10);
    let members: Vec<Entity> = app.world().get::<Processes>(vm).expect("it has some").to_vec();
    assert_eq!(members.len(), 2);
    for &member in &members {
        assert_eq!(info(&app, member).state, ProcessState::Suspended);
        app.world_mut().commands().entity(member).resume();
    }
    app.world_mut().flush();
    ticks(&mut app, 10);
    let mut lines: Vec<String> = console(&app, vm).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["1", "2"]);
}

#[test]
fn a_suspended_vm_gives_no_turns_to_the_processes_it_has_and_those_to_come() {
    let mut app = common::app();
    let [vm, other] = [persistent_vm(&mut app), persistent_vm(&mut app)];
    let counts = "for i = 1, 1e9 do print(i) task.wait() end";
    let both = process(&mut app, vm, counts);
    let runs = process(&mut app, vm, SPIN);
    let neighbour = process(&mut app, other, SPIN);
    ticks(&mut app, 5);
    app.world_mut().commands().entity(vm).suspend_vm();
    app.world_mut().commands().entity(both).suspend();
    let new = process(&mut app, vm, "print('new')");
    app.world_mut().flush();
    ticks(&mut app, 1);
    let slices = |app: &App| [runs, neighbour].map(|process| info(app, process).cpu.slices);
    let (before, printed) = (slices(&app), console(&app, vm));
    ticks(&mut app, 10);
    assert_eq!(slices(&app), [before[0], before[1] + 10]);
    assert_eq!(console(&app, vm), printed);
    assert_eq!([both, runs, new].map(|process| info(&app, process).state), [ProcessState::Suspended; 3]);
    app.world_mut().commands().entity(vm).resume_vm();
    app.world_mut().flush();
    ticks(&mut app, 3);
    assert!(slices(&app)[0] > before[0] && console(&app, vm).ends_with("new\n"));
    assert_eq!(info(&app, both).state, ProcessState::Suspended, "it was suspended for itself");
}

#[test]
fn the_timeout_of_a_syscall_stands_still_while_its_caller_is_suspended() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let mut kept = Vec::new();
    app.add_syscall("later", move |In(calls): In<Vec<Syscall<(), ()>>>| {
        kept.extend(calls.into_iter().map(|call| call.reply_to));
    });
    let calls = process(&mut app, vm, "print(pcall(later))");
    ticks(&mut app, 60);
    app.world_mut().commands().entity(calls).suspend();
    app.world_mut().flush();
    ticks(&mut app, 60 * 40);
    app.world_mut().commands().entity(calls).resume();
    app.world_mut().flush();
    ticks(&mut app, 60 * 28);
    assert_eq!(console(&app, vm), "", "29 of 30 seconds have passed");
    ticks(&mut app, 60 * 2);
    assert_eq!(console(&app, vm), "false\tlater: the game did not answer in time\n");
}

#[test]
fn calls_of_a_vm_that_an_earlier_system_has_despawned_reach_no_system() {
    #[derive(Resource, Default)]
    struct Reached(usize);

    let mut app = common::app();
    app.init_resource::<Reached>()
        .add_syscall("first", |In(calls): In<Vec<Syscall<(), ()>>>, mut commands: Commands| {
            calls.iter().for_each(|call| commands.entity(call.vm).despawn());
        })
        .add_syscall("second", |In(calls): In<Vec<Syscall<(), ()>>>, mut reached: ResMut<Reached>| {
            reached.0 += calls.len();
        });
    let [vm, other] = [persistent_vm(&mut app), persistent_vm(&mut app)];
    process(&mut app, vm, "first()");
    process(&mut app, vm, "second()");
    process(&mut app, other, "second()");
    ticks(&mut app, 4);
    assert!(!exists(&app, vm));
    assert_eq!(app.world().resource::<Reached>().0, 1);
}
