//! What inspectors and Bevy's remote protocol see.

use std::any::TypeId;

use bevy::ecs::reflect::{ReflectComponent, ReflectComponentFns, ReflectResource};
use bevy::prelude::*;
use bevy::reflect::{FromType, ReflectFromReflect};

use crate::console::VmConsole;
use crate::process::{Priority, Process, ProcessOf, Processes, Restart};
use crate::runtime::LuauRuntime;
use crate::types::{CpuUsage, Limits, Metrics, Outcome, Pid, ProcessState, Share, TickBudget};
use crate::vm::{HostLibraries, MailPolicy, Vm, VmLimits, VmSuspended};

pub(super) fn register_types(app: &mut App) {
    app.register_type::<Vm>()
        .register_type::<VmLimits>()
        .register_type::<VmSuspended>()
        .register_type::<HostLibraries>()
        .register_type::<MailPolicy>()
        .register_type::<Restart>()
        .register_type::<VmConsole>()
        .register_type::<Process>()
        .register_type::<ProcessOf>()
        .register_type::<Processes>()
        .register_type::<Priority>()
        .register_type::<LuauRuntime>()
        .register_type::<Metrics>()
        .register_type::<CpuUsage>()
        .register_type::<Limits>()
        .register_type::<Pid>()
        .register_type::<ProcessState>()
        .register_type::<Share>()
        .register_type::<Outcome>()
        .register_type::<TickBudget>();
    let registry = app.world().resource::<AppTypeRegistry>().clone();
    let mut registry = registry.write();
    if let Some(process) = registry.get_mut(TypeId::of::<Process>()) {
        process.insert::<ReflectFromReflect>(FromType::<Process>::from_type());
        process.insert(guarded::<Process>());
    }
    if let Some(runtime) = registry.get_mut(TypeId::of::<LuauRuntime>()) {
        runtime.insert(ReflectResource);
        runtime.insert(guarded::<LuauRuntime>());
    }
}

/// Reflection of a component that cannot be made from any value of its shape. Bevy's own would panic if somebody, on
/// another computer perhaps, tried to.
fn guarded<C: Component + FromReflect + TypePath>() -> ReflectComponent {
    let mut functions = ReflectComponentFns::new::<C>();
    functions.insert = |entity, value, _| match C::from_reflect(value) {
        Some(component) => _ = entity.insert(component),
        None => refuse::<C>(),
    };
    functions.apply_or_insert_mapped = |entity, value, registry, mapper, mode| {
        if entity.contains::<C>() {
            (ReflectComponentFns::new::<C>().apply_or_insert_mapped)(entity, value, registry, mapper, mode);
        } else if let Some(component) = C::from_reflect(value) {
            entity.insert_with_relationship_hook_mode(component, mode);
        } else {
            refuse::<C>();
        }
    };
    functions.copy =
        |from_world, world, from, to, _| match from_world.get(from).and_then(|it: &C| C::from_reflect(it)) {
            Some(component) => _ = world.entity_mut(to).insert(component),
            None => refuse::<C>(),
        };
    ReflectComponent::new(functions)
}

fn refuse<C: TypePath>() {
    error!("{} cannot be made from what reflection was given; it was not inserted", C::short_type_path());
}
