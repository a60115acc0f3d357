//! What a VM may use.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use bevy::ecs::lifecycle::HookContext;
use bevy::ecs::world::DeferredWorld;
use bevy::prelude::*;

use super::Vm;
use crate::runtime::LuauRuntime;
use crate::types::Limits;

/// What a [`Vm`] may use: [`Limits`], shared by the VMs that have the same.
///
/// Every VM has this component, with the default limits unless it is spawned with others. To change
/// them later, insert it again.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn boot(mut commands: Commands) {
///     let small = VmLimits::from(Limits { memory_bytes: 512 * 1024, processes: 4, ..default() });
///     for _ in 0..1000 {
///         commands.spawn((Vm::new(), small.clone()));
///     }
/// }
/// ```
#[derive(Component, Clone, Debug, PartialEq, Eq)]
#[component(immutable, on_insert = apply)]
pub struct VmLimits(Arc<Limits>);

impl Default for VmLimits {
    fn default() -> Self {
        static DEFAULT: LazyLock<VmLimits> = LazyLock::new(|| Limits::default().into());
        DEFAULT.clone()
    }
}

impl From<Limits> for VmLimits {
    fn from(limits: Limits) -> Self {
        Self(Arc::new(limits))
    }
}

impl VmLimits {
    /// The limits, to be kept where the component is not.
    pub(crate) fn shared(&self) -> Arc<Limits> {
        self.0.clone()
    }
}

impl Deref for VmLimits {
    type Target = Limits;

    fn deref(&self) -> &Limits {
        &self.0
    }
}

fn apply(mut world: DeferredWorld, HookContext { entity, .. }: HookContext) {
    let Some(handle) = world.get::<Vm>(entity).and_then(|vm| vm.handle) else { return };
    let limits = world.get::<VmLimits>(entity).cloned().unwrap_or_default().0;
    if let Some(mut runtime) = world.get_resource_mut::<LuauRuntime>() {
        runtime.set_limits(handle, limits);
    }
}
