//! How much of the processor a process gets.

use bevy::ecs::lifecycle::HookContext;
use bevy::ecs::world::DeferredWorld;
use bevy::prelude::*;

use super::Process;
use crate::runtime::LuauRuntime;

/// A factor on the [quantum](crate::LuauOsPlugin::quantum) of a [`Process`]: with 2.0 its slices are twice as
/// long as others'. Every process has one slice in each pass, whatever its priority.
///
/// It is counted in sixteenths, from 1/16 to 255/16; what is no number counts as 1. To change it, insert it again.
#[derive(Component, Clone, Copy, Debug, PartialEq, Reflect)]
#[component(immutable, on_insert = apply, on_discard = clear)]
#[reflect(Component, Clone, Debug, Default, PartialEq)]
pub struct Priority(pub f32);

impl Priority {
    pub(crate) fn sixteenths(self) -> u8 {
        let factor = if self.0.is_nan() { 1.0 } else { self.0 };
        (factor * 16.0).round().clamp(1.0, 255.0) as u8
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(1.0)
    }
}

fn apply(world: DeferredWorld, HookContext { entity, .. }: HookContext) {
    let priority = world.get::<Priority>(entity).copied().unwrap_or_default();
    set(world, entity, priority);
}

fn clear(world: DeferredWorld, HookContext { entity, .. }: HookContext) {
    set(world, entity, Priority::default());
}

fn set(mut world: DeferredWorld, entity: Entity, priority: Priority) {
    let handle = world.get::<Process>(entity).and_then(|process| process.handle);
    if let (Some(handle), Some(mut runtime)) = (handle, world.get_resource_mut::<LuauRuntime>()) {
        runtime.isolate_mut(handle.isolate).set_priority(handle.key, priority.sixteenths());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_counted_in_sixteenths_within_their_range() {
        let counted =
            [1.0, 0.5, 2.0, 0.0, -1.0, 1e9, f32::NAN, f32::INFINITY].map(|it| Priority(it).sixteenths());
        assert_eq!(counted, [16, 8, 32, 1, 1, 255, 16, 255]);
    }
}
