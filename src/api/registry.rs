//! Where host functions and syscalls are registered.

use bevy::prelude::*;

use crate::runtime::{HostRegistry, LuauRuntime};

/// The runtime's registry, or, before the plugin is added, the one that the plugin will give to it.
pub(crate) fn registry_of(world: &mut World) -> Mut<'_, HostRegistry> {
    if world.contains_resource::<LuauRuntime>() {
        world.resource_mut::<LuauRuntime>().map_unchanged(LuauRuntime::registry_mut)
    } else {
        world.get_resource_or_init::<HostRegistry>()
    }
}
