//! Going on in another app.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{Metrics, VmSnapshots};

use crate::options::Options;
use crate::{Files, build};

/// Saves everything after every so many ticks of an app, drops it, and loads what was saved into a new one.
///
/// # Panics
///
/// When that fails.
pub fn if_due(app: &mut App, options: &Options) {
    let ticks = app.world().resource::<Metrics>().ticks;
    if options.migrate.is_some_and(|interval| ticks >= interval) {
        let old = std::mem::take(app);
        *app = migrate(old, ticks, options);
    }
}

fn migrate(mut old: App, ticks: u64, options: &Options) -> App {
    let mut files = old.world_mut().remove_resource::<Files>().expect("it has some");
    let saved = LuauRuntime::save_all_vms(old.world_mut()).expect("VMs can be saved");
    // In the order in which they are saved.
    let mut vms: Vec<Entity> =
        old.world_mut().query_filtered::<Entity, With<Vm>>().iter(old.world()).collect();
    vms.sort_unstable_by_key(|vm| vm.index_u32());
    drop(old);
    let saved = VmSnapshots::from_bytes(saved.as_bytes()).expect("it was saved");
    let mut app = build(options);
    let images = saved.images().expect("they were saved");
    files.of_vm = vms
        .iter()
        .zip(images)
        .map(|(old, image)| (app.world_mut().spawn(image).id(), files.of_vm[old]))
        .collect();
    files.ticks_before += ticks;
    app.insert_resource(files);
    app.update(); // the first has no tick
    app
}
