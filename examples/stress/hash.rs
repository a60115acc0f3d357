//! A digest of what all processes did, with `--hash`: how they ended, in that order, and what they printed.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::digest::Digest;

#[derive(Resource, Default)]
struct Observed(Digest);

/// Keeps what VMs print, and takes note of ends.
pub fn observe(app: &mut App) {
    app.init_resource::<Observed>().add_observer(
        |exit: On<ProcessExited>, mut observed: ResMut<Observed>, mut consoles: Query<&mut VmConsole>| {
            observed.0.add((exit.vm, exit.pid, &exit.outcome, exit.cpu.slices, exit.cpu.safepoints));
            // The VM may be about to go, and its console with it.
            if let Ok(mut console) = consoles.get_mut(exit.vm) {
                observed.0.add(console.take_text());
            }
        },
    );
}

/// The digest, when the run is over. `None` without `--hash`.
pub fn digest(app: &mut App) -> Option<String> {
    let world = app.world_mut();
    let mut digest = world.get_resource::<Observed>()?.0;
    let mut consoles: Vec<(Entity, String)> = world
        .query::<(Entity, &VmConsole)>()
        .iter(world)
        .map(|(vm, it)| (vm, it.text().to_owned()))
        .collect();
    consoles.sort();
    digest.add(consoles);
    let slices: u64 = world.resource::<bevy_luau_os::Metrics>().resumes;
    digest.add(slices);
    Some(digest.to_string())
}
