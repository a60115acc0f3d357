//! What the game should not do, or does by accident: it ends as documented, and nothing runs unowned.

use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::KillReason;
use bevy_luau_os::prelude::*;

use crate::common::{self, SPIN, ended, exists, metrics, process, ticks, until_ended, vm};

fn slices_in_a_tick(app: &mut App) -> u64 {
    app.update();
    metrics(app).last_tick_resumes
}

#[test]
fn killing_and_resuming_in_one_go_kills() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let entity = process(&mut app, vm, SPIN);
    ticks(&mut app, 3);
    app.world_mut().commands().entity(entity).kill().resume();
    app.world_mut().flush();
    let exit = &until_ended(&mut app, 1)[0];
    assert_eq!(exit.outcome, Outcome::Killed(KillReason::Requested));
    assert!(!exists(&app, vm));
    // In every order and state.
    let waiting = "task.wait(100)";
    for source in [SPIN, waiting] {
        let vm = common::vm(&mut app);
        let entity = process(&mut app, vm, source);
        ticks(&mut app, 3);
        app.world_mut().commands().entity(entity).suspend().kill().suspend().resume().kill().resume();
        app.update();
        assert!(!exists(&app, vm), "{source}");
    }
}

#[test]
fn a_suspended_process_says_so_at_once() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let entities = [process(&mut app, vm, SPIN), process(&mut app, vm, "task.wait(100)")];
    ticks(&mut app, 3);
    assert_eq!(entities.map(|it| common::state(&app, it)), [ProcessState::Runnable, ProcessState::Waiting]);
    for entity in entities {
        app.world_mut().commands().entity(entity).suspend();
    }
    app.world_mut().flush();
    assert_eq!(entities.map(|it| common::state(&app, it)), [ProcessState::Suspended; 2]);
    app.update();
    for entity in entities {
        app.world_mut().commands().entity(entity).resume();
    }
    app.world_mut().flush();
    assert_eq!(entities.map(|it| common::state(&app, it)), [ProcessState::Runnable, ProcessState::Waiting]);
}

#[test]
fn times_without_end_never_come() {
    let mut app = common::app_with(LuauOsPlugin {
        syscall_timeout: Duration::MAX,
        budget: TickBudget::Time(Duration::MAX),
        ..common::plugin()
    });
    let mut kept = Vec::new();
    app.add_syscall("ask", move |In(calls): In<Vec<Syscall<(), ()>>>| kept.extend(calls));
    let vm = vm(&mut app);
    let asks = process(&mut app, vm, "ask()");
    process(&mut app, vm, "task.wait(1e18) task.wait(math.huge)");
    process(&mut app, vm, "mailbox.receive(1e300)");
    process(&mut app, vm, "signal.wait('never', 1e19)");
    process(&mut app, vm, SPIN);
    ticks(&mut app, 10);
    assert_eq!(common::state(&app, asks), ProcessState::Waiting);
    app.world_mut().resource_mut::<LuauRuntime>().set_budget(TickBudget::Time(Duration::ZERO));
    ticks(&mut app, 10);
    assert_eq!(common::state(&app, asks), ProcessState::Waiting);
}

#[test]
fn taking_a_process_away_stops_it_and_its_vm_ends() {
    let mut app = common::app();
    let (doomed, kept) = (vm(&mut app), app.world_mut().spawn(Vm::persistent()).id());
    let entities = [doomed, kept].map(|vm| process(&mut app, vm, SPIN));
    ticks(&mut app, 3);
    for entity in entities {
        app.world_mut().entity_mut(entity).remove::<Process>();
    }
    assert_eq!(slices_in_a_tick(&mut app), 0);
    assert!(!exists(&app, doomed) && exists(&app, kept), "the VM has no process any more");
    assert_eq!((metrics(&app).processes(), metrics(&app).vms()), (0, 1));
    assert!(ended(&app).processes.is_empty(), "the game knows what it took away");
}

#[test]
fn a_process_that_is_taken_away_does_not_keep_the_vm_of_others() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let (taken, _) = (process(&mut app, vm, SPIN), process(&mut app, vm, "task.wait(0.1)"));
    ticks(&mut app, 3);
    app.world_mut().entity_mut(taken).remove::<Process>();
    ticks(&mut app, 15);
    assert!(!exists(&app, vm) && !exists(&app, taken), "it still is an entity of the VM and goes with it");
}

#[test]
fn a_clone_of_a_process_is_a_new_one() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let script = Script::new("original", "print(process.pid) task.wait(0.1)");
    let original = app.world_mut().spawn((Process::new(script).with_name("one of two"), ProcessOf(vm))).id();
    ticks(&mut app, 3);
    let clone = app.world_mut().entity_mut(original).clone_and_spawn();
    assert_eq!(common::state(&app, clone), ProcessState::New);
    let exits = until_ended(&mut app, 2);
    assert_eq!(exits[1].entity, clone);
    assert!(exits.iter().all(|exit| &*exit.name == "one of two" && exit.vm == vm));
    assert_eq!([exits[0].pid.get(), exits[1].pid.get()], [1, 2]);
    assert!(!exists(&app, vm) && !exists(&app, clone));
}

#[test]
fn a_clone_of_a_vm_is_a_new_one() {
    let mut app = common::app();
    let original = app.world_mut().spawn(Vm::persistent()).id();
    process(&mut app, original, SPIN);
    ticks(&mut app, 3);
    let clone = app.world_mut().entity_mut(original).clone_and_spawn();
    app.world_mut().entity_mut(original).despawn();
    assert_eq!(slices_in_a_tick(&mut app), 0);
    process(&mut app, clone, "return");
    let exit = &until_ended(&mut app, 1)[0];
    assert_eq!((exit.vm, exit.pid.get()), (clone, 1));
    assert!(exists(&app, clone), "it is persistent, too");
}

#[test]
fn a_process_that_is_moved_stays_on_its_vm_and_stops_with_it() {
    let mut app = common::app();
    let (from, to) = (vm(&mut app), vm(&mut app));
    let moved = process(&mut app, from, SPIN);
    ticks(&mut app, 3);
    app.world_mut().entity_mut(moved).insert(ProcessOf(to));
    assert_eq!(slices_in_a_tick(&mut app), 1);
    // Scripts of the new VM do not know it by its number there.
    process(&mut app, to, "assert(not process.kill(1 + 1)) return process.kill(1)");
    ticks(&mut app, 4);
    assert_eq!(common::state(&app, moved), ProcessState::Runnable);
    app.world_mut().entity_mut(from).despawn();
    assert_eq!(slices_in_a_tick(&mut app), 0);
    assert_eq!(metrics(&app).processes(), 0);
    app.world_mut().entity_mut(to).despawn();
    assert!(!exists(&app, moved));
}

#[test]
fn a_process_that_is_moved_stops_with_its_new_vm_as_well() {
    let mut app = common::app();
    let (from, to) = (vm(&mut app), vm(&mut app));
    let moved = process(&mut app, from, SPIN);
    ticks(&mut app, 3);
    app.world_mut().entity_mut(moved).insert(ProcessOf(to));
    app.world_mut().entity_mut(to).despawn();
    assert_eq!(slices_in_a_tick(&mut app), 0);
    assert!(!exists(&app, moved) && !exists(&app, from), "it was the last of the VM that it ran on");
}

#[test]
fn a_process_whose_relationship_is_removed_stops_with_its_vm() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let stray = process(&mut app, vm, SPIN);
    ticks(&mut app, 3);
    app.world_mut().entity_mut(stray).remove::<ProcessOf>();
    assert_eq!(slices_in_a_tick(&mut app), 1);
    app.world_mut().entity_mut(vm).remove::<Vm>();
    assert_eq!(slices_in_a_tick(&mut app), 0);
    assert_eq!((metrics(&app).processes(), metrics(&app).processes_killed), (0, 1));
    let info =
        app.world().get::<Process>(stray).map(|it| app.world().resource::<LuauRuntime>().process_info(it));
    assert_eq!(info, Some(None), "the entity stays, and has nothing that runs");
}

#[test]
fn a_moved_process_that_ends_by_itself_is_reported_by_the_vm_that_it_ran_on() {
    let mut app = common::app();
    let (from, to) = (vm(&mut app), vm(&mut app));
    let moved = process(&mut app, from, "task.wait(0.1)");
    ticks(&mut app, 3);
    app.world_mut().entity_mut(moved).insert(ProcessOf(to));
    assert_eq!(until_ended(&mut app, 1)[0].vm, from);
    assert!(!exists(&app, moved) && !exists(&app, from) && exists(&app, to));
}

/// Replaces processes named `first` between their end and the report of it.
fn replace_first(mut commands: Commands, processes: Query<(Entity, &Process)>) {
    for (entity, process) in &processes {
        if process.name() == "first" && process.pid().is_some() {
            commands.entity(entity).insert(Process::new(Script::new("second", "return 'second'")));
        }
    }
}

#[test]
fn a_process_that_is_replaced_before_its_end_is_reported_leaves_the_vm_to_the_new_one() {
    // A budget that only lasts for one batch of exits in a tick, so that reports come late.
    let budget = TickBudget::Time(Duration::from_nanos(1));
    let mut app = common::app_with(LuauOsPlugin { budget, ..common::plugin() });
    app.add_systems(FixedUpdate, replace_first.after(LuauOsSystems::Run).before(LuauOsSystems::Settle));
    let vms: Vec<Entity> = (0..200).map(|_| vm(&mut app)).collect();
    for &vm in &vms {
        app.world_mut().spawn((Process::new(Script::new("first", "return 'first'")), ProcessOf(vm)));
    }
    for _ in 0..2_000 {
        app.update();
    }
    assert!(vms.iter().all(|&vm| !exists(&app, vm)));
    assert_eq!((metrics(&app).processes(), metrics(&app).vms()), (0, 0));
    let exits = &ended(&app).processes;
    assert!(exits.iter().all(|exit| &*exit.name == "second"), "no report of what was replaced");
    assert_eq!((exits.len(), ended(&app).vms.len()), (200, 200));
}

#[test]
fn a_process_on_what_is_no_vm_waits_and_can_be_despawned() {
    let mut app = common::app();
    let nowhere = app.world_mut().spawn_empty().id();
    let entities = [
        process(&mut app, nowhere, SPIN),
        app.world_mut().spawn(Process::new(Script::new("alone", SPIN))).id(),
    ];
    ticks(&mut app, 5);
    assert_eq!(entities.map(|it| common::state(&app, it)), [ProcessState::New; 2]);
    app.world_mut().entity_mut(nowhere).insert(Vm::new());
    app.world_mut().entity_mut(entities[1]).despawn();
    ticks(&mut app, 2);
    assert_eq!(common::state(&app, entities[0]), ProcessState::Runnable);
    assert_eq!(metrics(&app).processes(), 1);
}
