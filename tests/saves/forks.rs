//! A second VM of the same bytes.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use bevy_luau_os::{SaveCommandsExt, VmSnapshots, VmsSaved};

use crate::common::{app, app_with, ended, exit, persistent_vm, plugin, process, ticks};

#[test]
fn a_fork_goes_on_from_the_same_moment_under_another_name() {
    let mut app = app();
    let vm = persistent_vm(&mut app);
    let first = process(
        &mut app,
        vm,
        "local n = 0 for i = 1, 9 do task.wait() n += i end return n, math.random(), process.address",
    );
    ticks(&mut app, 5);
    let fork = LuauRuntime::fork_vm(app.world_mut(), vm).expect("it can be saved");
    ticks(&mut app, 20);
    let id = |vm: Entity| app.world().get::<Vm>(vm).and_then(Vm::id).expect("it has a name");
    assert_ne!(id(vm), id(fork));
    let results: Vec<_> = ended(&app).processes.iter().map(|exit| (exit.vm, &exit.outcome)).collect();
    let [(_, Outcome::Finished(a)), (_, Outcome::Finished(b))] = results[..] else { panic!("{results:?}") };
    assert_eq!((&a[0], &a[1]), (&b[0], &b[1]), "the same numbers");
    assert!(results.iter().any(|it| it.0 == fork) && exit(&app, first).is_some());
}

#[derive(Resource)]
struct Saved(VmSnapshots);

#[test]
fn many_vms_are_saved_over_several_frames_as_of_one_moment() {
    // Each frame has time for the least that it can do.
    let budget = TickBudget::Time(std::time::Duration::from_nanos(1));
    let mut app = app_with(LuauOsPlugin { budget, ..plugin() });
    let vms: Vec<Entity> = (0..3_000).map(|_| persistent_vm(&mut app)).collect();
    for &vm in &vms {
        process(&mut app, vm, "local n = 0 while true do n += 1 end");
    }
    let admitted =
        |app: &App| vms.iter().all(|&vm| app.world().get::<Vm>(vm).is_some_and(|vm| vm.id().is_some()));
    while !admitted(&app) {
        app.update();
    }
    let slices = |app: &App| app.world().resource::<bevy_luau_os::Metrics>().resumes;
    app.add_observer(|saved: On<VmsSaved>, mut commands: Commands| {
        commands.insert_resource(Saved(saved.snapshots.clone()));
    });
    app.world_mut().commands().save_vms();
    app.world_mut().flush();
    let (before, mut frames) = (slices(&app), 0);
    while !app.world().contains_resource::<Saved>() {
        assert_eq!(slices(&app), before, "no script runs");
        app.update();
        frames += 1;
    }
    assert!(frames > 1, "{frames}");
    let images = app.world().resource::<Saved>().0.images().expect("they were saved");
    assert_eq!(images.len(), vms.len());
    let ids = |app: &App, vms: &[Entity]| {
        vms.iter().map(|&vm| app.world().get::<Vm>(vm).and_then(Vm::id)).collect::<Vec<_>>()
    };
    let mut new = self::app();
    let loaded: Vec<Entity> = images.into_iter().map(|image| new.world_mut().spawn(image).id()).collect();
    ticks(&mut new, 3);
    assert_eq!(ids(&new, &loaded), ids(&app, &vms));
}
