//! What surrounds the scripts of a VM: consoles, limits, suspensions, signals, syscalls that nobody answers.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{SyscallSaveAppExt, VmSnapshot};

use crate::common::{app, console, ended, persistent_vm, process, state, text, ticks};

/// Saves a VM, and loads it into a new app.
fn moved(app: &mut App, vm: Entity, mut next: App) -> (App, Entity) {
    let saved = LuauRuntime::save_vm(app.world_mut(), vm).expect("it can be saved");
    let json = serde_json::to_string(&saved).expect("it serializes");
    let saved: VmSnapshot = serde_json::from_str(&json).expect("it was saved");
    next.update();
    let vm = next.world_mut().spawn(saved.image().expect("it is one")).id();
    (next, vm)
}

fn process_of(app: &mut App, vm: Entity) -> Entity {
    app.world().get::<Processes>(vm).expect("it has some")[0]
}

#[test]
fn a_vm_keeps_its_name_its_limits_its_priorities_and_its_console() {
    let mut old = app();
    let limits = VmLimits::from(Limits { processes: 3, ..default() });
    let vm = old.world_mut().spawn((Vm::persistent(), limits.clone())).id();
    let first = process(&mut old, vm, "print(process.address) while true do end");
    old.world_mut().entity_mut(first).insert(Priority(2.0));
    ticks(&mut old, 5);
    let (id, said) = (old.world().get::<Vm>(vm).and_then(Vm::id), console(&old, vm));
    assert!(!said.is_empty());
    let (mut new, vm) = moved(&mut old, vm, app());
    ticks(&mut new, 2);
    let loaded = new.world().get::<Vm>(vm).expect("it was loaded");
    assert!(loaded.is_persistent() && loaded.id() == id);
    assert_eq!((console(&new, vm), new.world().get::<VmLimits>(vm)), (said, Some(&limits)));
    let first = process_of(&mut new, vm);
    assert_eq!(new.world().get::<Priority>(first), Some(&Priority(2.0)));
    process(&mut new, vm, "return process.pid");
    ticks(&mut new, 3);
    assert_eq!(ended(&new).processes[0].outcome, Outcome::Finished(vec![2.0.into()]));
}

#[test]
fn suspended_ones_stay_so_until_they_are_resumed() {
    let mut old = app();
    let vm = persistent_vm(&mut old);
    let first = process(&mut old, vm, "for i = 1, 5000 do end return 'done'");
    ticks(&mut old, 2);
    old.world_mut().commands().entity(first).suspend();
    ticks(&mut old, 2);
    let (mut new, vm) = moved(&mut old, vm, app());
    ticks(&mut new, 9);
    let first = process_of(&mut new, vm);
    assert_eq!(state(&new, first), ProcessState::Suspended);
    new.world_mut().commands().entity(first).resume();
    ticks(&mut new, 9);
    assert_eq!(ended(&new).processes[0].outcome, Outcome::Finished(vec![text("done")]));
}

#[test]
fn signals_that_are_kept_and_connections_are_there() {
    let mut old = app();
    let vm = persistent_vm(&mut old);
    process(
        &mut old,
        vm,
        "signal.connect('hit', function(n) print('hit', n) end)
        signal.wait('go') print(signal.wait('early'))",
    );
    ticks(&mut old, 3);
    let send = |app: &mut App, vm: Entity, name: &str, payload: f64| {
        app.world_mut().commands().entity(vm).send_signal(name, payload);
        app.update();
    };
    send(&mut old, vm, "hit", 1.0);
    ticks(&mut old, 3);
    let (mut new, vm) = moved(&mut old, vm, app());
    ticks(&mut new, 2);
    send(&mut new, vm, "hit", 2.0);
    send(&mut new, vm, "go", 0.0);
    ticks(&mut new, 3);
    send(&mut new, vm, "early", 3.0);
    ticks(&mut new, 3);
    assert_eq!(console(&new, vm), "hit\t1\nhit\t2\n3\ttrue\n");
}

#[derive(Resource, Default)]
struct Kept(Vec<ReplyTo<f64>>);

fn app_that_answers_late() -> App {
    let mut app = app();
    app.init_resource::<Kept>();
    app.add_syscall("late", |In(calls): In<Vec<Syscall<(), f64>>>, mut kept: ResMut<Kept>| {
        kept.0.extend(calls.into_iter().map(|call| call.reply_to));
    });
    app
}

#[test]
fn a_syscall_without_an_answer_fails_after_loading_and_says_why() {
    let mut old = app_that_answers_late();
    let vm = persistent_vm(&mut old);
    process(&mut old, vm, "return select(2, pcall(late))");
    ticks(&mut old, 3);
    assert_eq!(old.world().resource::<Kept>().0.len(), 1);
    let (mut new, _) = moved(&mut old, vm, app_that_answers_late());
    ticks(&mut new, 3);
    let Outcome::Finished(results) = &ended(&new).processes[0].outcome else { panic!("it finished") };
    let why = results[0].as_str().expect("a message");
    assert!(why.contains("the game was saved before it answered"), "{why}");
}

#[test]
fn a_syscall_that_is_to_be_repeated_is_made_again() {
    let app = || {
        let mut app = app_that_answers_late();
        app.repeat_syscall("late");
        app
    };
    let mut old = app();
    let vm = persistent_vm(&mut old);
    process(&mut old, vm, "return late()");
    ticks(&mut old, 3);
    let (mut new, _) = moved(&mut old, vm, app());
    ticks(&mut new, 3);
    let kept = std::mem::take(&mut new.world_mut().resource_mut::<Kept>().0);
    assert_eq!(kept.len(), 1);
    kept.into_iter().for_each(|reply_to| reply_to.reply(7.0));
    ticks(&mut new, 3);
    assert_eq!(ended(&new).processes[0].outcome, Outcome::Finished(vec![7.0.into()]));
}

#[test]
fn a_host_function_that_is_not_there_any_more_is_an_error_where_it_is_called() {
    let mut old = app();
    old.add_host_function("gone", || Ok::<_, String>(1.0));
    let vm = persistent_vm(&mut old);
    process(&mut old, vm, "local gone = gone task.wait(0.1) return pcall(gone)");
    ticks(&mut old, 3);
    let (mut new, _) = moved(&mut old, vm, app());
    ticks(&mut new, 9);
    let Outcome::Finished(results) = &ended(&new).processes[0].outcome else {
        panic!("{:?}", ended(&new).processes[0].outcome)
    };
    assert_eq!(results[0], false.into());
}
