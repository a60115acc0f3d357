//! Which process belongs to which VM.

use std::ops::Deref;

use bevy::prelude::*;
use smallvec::SmallVec;

/// The VM that a [`Process`](crate::Process) belongs to.
///
/// It is fixed once the process is admitted: its memory lives on that VM's isolate. If another is inserted later, or
/// this one is removed, the process still runs on the VM that it has started on, counts against its limits, and is
/// stopped with it. To move a program, despawn the process and spawn another.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq, Reflect)]
#[relationship(relationship_target = Processes)]
#[reflect(Component, Clone, Debug, PartialEq)]
pub struct ProcessOf(
    /// An entity with [`Vm`](crate::Vm).
    #[entities]
    pub Entity,
);

/// The processes of a VM, in the order in which they were spawned. Despawning the VM despawns them.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn count(vms: Query<(Entity, &Processes)>) {
///     for (vm, processes) in &vms {
///         info!("{vm} has {} processes, the first is {:?}", processes.len(), processes.first());
///     }
/// }
/// ```
#[derive(Component, Debug, Default, PartialEq, Eq, Reflect)]
#[relationship_target(relationship = ProcessOf, linked_spawn)]
#[reflect(Component, Debug, Default, PartialEq)]
pub struct Processes(SmallVec<[Entity; 2]>);

impl Processes {
    /// Leaves the VM without processes. They must be despawned then.
    pub(crate) fn take(&mut self) -> SmallVec<[Entity; 2]> {
        std::mem::take(&mut self.0)
    }
}

impl Deref for Processes {
    type Target = [Entity];

    fn deref(&self) -> &[Entity] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Processes {
    type Item = &'a Entity;
    type IntoIter = std::slice::Iter<'a, Entity>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
