//! Saved VMs on their way into an app.

use std::sync::Arc;

use bevy::ecs::lifecycle::HookContext;
use bevy::ecs::world::DeferredWorld;
use bevy::prelude::*;

use super::archive::Archive;
use crate::runtime::LuauRuntime;
use crate::save::LoadError;
use crate::types::{Pid, VmId};

/// A saved VM, which is loaded into its entity in one of the next ticks: when there is time for it. Then the entity gets
/// a [`Vm`](crate::Vm) with its processes and loses this component, and [`VmLoaded`] is triggered on it; or
/// [`VmLoadFailed`], if it is wrong.
///
/// If the entity has [`VmLimits`](crate::VmLimits), these hold; otherwise those of the save. The clock of the VM goes on from where it was.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// # use bevy_luau_os::save::LoadError;
/// # use bevy_luau_os::VmSnapshot;
/// fn load(snapshot: &VmSnapshot, commands: &mut Commands) -> Result<(), LoadError> {
///     commands.spawn((snapshot.image()?, VmLimits::default()));
///     Ok(())
/// }
/// ```
#[derive(Component, Clone, Debug)]
#[component(immutable, on_insert = enqueue)]
pub struct VmImage {
    pub(super) archive: Arc<Archive>,
    pub(super) number: usize,
    pub(super) is_fork: bool,
}

impl VmImage {
    pub(super) fn new(archive: Arc<Archive>, number: usize) -> Self {
        Self { archive, number, is_fork: false }
    }

    /// The lasting name of the VM. If another VM of the app has it when this one is loaded, it gets another name.
    pub fn id(&self) -> VmId {
        self.archive.vms[self.number].id
    }

    /// The same computer as another VM, which gets a name of its own. Messages to the old one do not reach it.
    #[must_use]
    pub fn fork(mut self) -> Self {
        self.is_fork = true;
        self
    }
}

fn enqueue(mut world: DeferredWorld, HookContext { entity, .. }: HookContext) {
    match world.get_resource_mut::<LuauRuntime>() {
        Some(mut runtime) => runtime.images.push_back(entity),
        None => warn_once!("a VmImage was spawned, but LuauOsPlugin was not added: nothing will load it"),
    }
}

/// Triggered on the entity of a [`VmImage`] when it was loaded.
#[derive(EntityEvent, Clone, Debug)]
pub struct VmLoaded {
    /// The VM.
    pub entity: Entity,
    /// Processes that cannot go on, and why: they end with an error that says so.
    pub failed: Vec<(Pid, String)>,
}

/// Triggered on the entity of a [`VmImage`] when it is wrong. Nothing of it was loaded.
#[derive(EntityEvent, Clone, Debug)]
pub struct VmLoadFailed {
    /// What would have been the VM.
    pub entity: Entity,
    /// What is wrong with it.
    pub error: LoadError,
}
