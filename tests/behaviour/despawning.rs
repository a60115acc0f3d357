//! What becomes of processes and VMs that the game despawns, or whose components it takes away or replaces.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::common::{self, SPIN, ended, exists, metrics, process, state, ticks, until_ended, vm};

#[test]
fn despawning_a_process_stops_it_and_nothing_else() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let (stopped, other) = (process(&mut app, vm, SPIN), process(&mut app, vm, SPIN));
    ticks(&mut app, 3);
    app.world_mut().entity_mut(stopped).despawn();
    let resumes = |app: &mut App| {
        app.update();
        metrics(app).last_tick_resumes
    };
    assert_eq!(resumes(&mut app), 1);
    assert!(exists(&app, other) && exists(&app, vm));
    assert_eq!(metrics(&app).processes_killed, 1);
    assert!(ended(&app).processes.is_empty(), "the game knows what it despawned");
}

#[test]
fn despawning_a_vm_stops_and_despawns_its_processes() {
    let mut app = common::app();
    let (doomed, other) = (vm(&mut app), vm(&mut app));
    let entities = [process(&mut app, doomed, SPIN), process(&mut app, doomed, SPIN)];
    process(&mut app, other, SPIN);
    ticks(&mut app, 3);
    app.world_mut().entity_mut(doomed).despawn();
    assert!(entities.iter().all(|&entity| !exists(&app, entity)));
    app.update();
    assert_eq!(metrics(&app).last_tick_resumes, 1);
    assert_eq!((metrics(&app).vms(), metrics(&app).processes()), (1, 1));
    assert_eq!(metrics(&app).processes_killed, 2);
}

#[test]
fn taking_the_vm_component_away_stops_its_processes() {
    let mut app = common::app();
    let vm = vm(&mut app);
    process(&mut app, vm, SPIN);
    ticks(&mut app, 3);
    app.world_mut().entity_mut(vm).remove::<Vm>();
    app.update();
    assert_eq!((metrics(&app).last_tick_resumes, metrics(&app).processes()), (0, 0));
}

#[test]
fn processes_that_were_never_admitted_can_be_despawned() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let entity = process(&mut app, vm, SPIN);
    app.world_mut().entity_mut(entity).despawn();
    ticks(&mut app, 3);
    assert_eq!((metrics(&app).processes(), metrics(&app).resumes), (0, 0));
    assert_eq!(metrics(&app).processes_killed, 1);
}

#[test]
fn a_vm_goes_when_its_last_process_is_despawned() {
    let mut app = common::app();
    let (vm, kept) = (vm(&mut app), app.world_mut().spawn(Vm::persistent()).id());
    let processes = [process(&mut app, vm, SPIN), process(&mut app, kept, SPIN)];
    ticks(&mut app, 3);
    for process in processes {
        app.world_mut().entity_mut(process).despawn();
    }
    ticks(&mut app, 2);
    assert!(!exists(&app, vm) && exists(&app, kept));
    assert_eq!(ended(&app).vms.len(), 1);
}

#[test]
fn a_vm_component_that_is_replaced_starts_over() {
    let mut app = common::app();
    let vm = vm(&mut app);
    process(&mut app, vm, SPIN);
    ticks(&mut app, 3);
    app.world_mut().entity_mut(vm).insert(Vm::new());
    process(&mut app, vm, "return");
    assert_eq!(until_ended(&mut app, 1)[0].pid.get(), 1);
    assert!(!exists(&app, vm), "the process of the old VM does not keep it");
    assert_eq!((metrics(&app).vms(), metrics(&app).processes()), (0, 0));
}

#[test]
fn a_process_component_that_is_replaced_starts_the_new_process() {
    let mut app = common::app();
    // Between the end of a process and the report of it.
    app.add_systems(
        FixedUpdate,
        (|mut commands: Commands, processes: Query<(Entity, &Process)>| {
            for (entity, process) in &processes {
                if process.name() == "first" && process.pid().is_some() {
                    commands.entity(entity).insert(Process::new(Script::new("second", SPIN)));
                }
            }
        })
        .after(LuauOsSystems::Run)
        .before(LuauOsSystems::Settle),
    );
    let vm = vm(&mut app);
    let first = Process::new(Script::new("first", "return"));
    let entity = app.world_mut().spawn((first, ProcessOf(vm))).id();
    ticks(&mut app, 6);
    let process = app.world().get::<Process>(entity).expect("runs");
    assert_eq!((process.name(), state(&app, entity)), ("second", ProcessState::Runnable));
    assert_eq!(metrics(&app).last_tick_resumes, 1);
    app.world_mut().entity_mut(vm).despawn();
    app.update();
    assert_eq!((metrics(&app).last_tick_resumes, metrics(&app).processes()), (0, 0));
}
