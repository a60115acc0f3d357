//! The world by reflection: what scripts read and change of it, as far as the game grants it to their VM.
//!
//! Scripts read in place: nobody changes the world while slices run. What they change is checked at once, and done when
//! all slices of the tick are over, isolate after isolate, in the order in which it was asked for. So nobody waits, but
//! for new entities and for changes.

mod access;
mod change;
mod declarations;
mod field;
mod fields;
mod from_value;
mod functions;
mod into_value;
mod query;
mod spawn;
mod view;

use bevy::prelude::*;

pub use access::{EcsAccess, SpawnedBy, SpawnedEntities};
pub use declarations::EcsTypesExt;

use crate::api::registry::registry_of;
use crate::luau::world::WorldRef;
use crate::runtime::LuauRuntime;
use fields::Fields;
use functions::FUNCTIONS;
use view::WorldView;

/// Gives scripts the functions.
pub(crate) fn build(app: &mut App) {
    app.init_resource::<Fields>().init_resource::<AppTypeRegistry>();
    for (number, path) in FUNCTIONS.iter().enumerate() {
        registry_of(app.world_mut()).add_world_function(path, number);
    }
    spawn::build(app);
}

/// Calls `f` with the world as scripts may look at it.
pub(crate) fn with_view(world: &mut World, f: impl FnOnce(WorldRef<'_>)) {
    let registry = world.resource::<AppTypeRegistry>().clone();
    let registry = registry.read();
    let fields = world.resource::<Fields>();
    f(WorldRef(Some(&WorldView { world, registry: &registry, fields })));
    if fields.has_new() {
        world.resource_mut::<Fields>().keep_new();
    }
}

/// Makes the changes that scripts have asked for.
pub(crate) fn apply_changes(world: &mut World) {
    let mut changes = world.resource_mut::<LuauRuntime>().take_changes();
    if !changes.is_empty() {
        let registry = world.resource::<AppTypeRegistry>().clone();
        world.resource_scope(|world, fields: Mut<Fields>| {
            let changes = changes.iter_mut().flat_map(|isolate| isolate.changes.drain(..));
            change::apply(world, &fields, &registry.read(), changes);
        });
        world.flush();
        world.resource_mut::<LuauRuntime>().keep_buffers(changes);
    }
    spawn::look_at_watches(world);
}
