//! Suspending a whole VM.

use bevy::ecs::lifecycle::HookContext;
use bevy::ecs::world::DeferredWorld;
use bevy::prelude::*;

use super::Vm;
use crate::runtime::LuauRuntime;

/// On a [`Vm`]: none of its processes gets a slice, neither those that it has nor those to come.
///
/// [`VmCommandsExt::suspend_vm`](crate::VmCommandsExt::suspend_vm) inserts it. A process that was also suspended for
/// itself stays so when the VM is resumed.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq, Reflect)]
#[component(on_insert = suspend, on_discard = resume)]
#[reflect(Component, Clone, Debug, Default, PartialEq)]
pub struct VmSuspended;

fn suspend(mut world: DeferredWorld, HookContext { entity, .. }: HookContext) {
    let Some(handle) = world.get::<Vm>(entity).and_then(|vm| vm.handle) else { return };
    if let Some(mut runtime) = world.get_resource_mut::<LuauRuntime>() {
        let now = runtime.now;
        runtime.isolate_mut(handle.isolate).suspend_vm(handle.key, now);
    }
}

fn resume(mut world: DeferredWorld, HookContext { entity, .. }: HookContext) {
    let Some(handle) = world.get::<Vm>(entity).and_then(|vm| vm.handle) else { return };
    if let Some(mut runtime) = world.get_resource_mut::<LuauRuntime>() {
        let now = runtime.now;
        runtime.isolate_mut(handle.isolate).resume_vm(handle.key, now);
    }
}
