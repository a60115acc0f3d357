//! VMs: simulated computers.

mod exit;
mod info;
mod limits;
mod signals;

use bevy::ecs::lifecycle::HookContext;
use bevy::ecs::world::DeferredWorld;
use bevy::prelude::*;
use smallvec::SmallVec;

use crate::process::{Process, Processes};
use crate::runtime::{Admission, LuauRuntime, ProcessHandle, VmAdmission, VmHandle};
use crate::types::{Metrics, ProcessState};

pub use exit::VmExited;
pub use limits::VmLimits;
pub use signals::{BroadcastSignal, VmCommands};

/// A simulated computer: an entity that owns processes.
///
/// Processes are entities of their own, related to their VM by [`ProcessOf`](crate::ProcessOf). When
/// the last of them has ended, [`VmExited`](crate::VmExited) is triggered and the VM is
/// despawned. Despawning a VM, or taking its `Vm` away, stops its processes where they are; despawning
/// it despawns them, too.
#[derive(Component, Debug, Default)]
#[component(on_insert = count, on_discard = release)]
#[require(Processes, VmLimits)]
pub struct Vm {
    persistent: bool,
    /// PIDs handed out so far.
    pub(crate) last_pid: u32,
    pub(crate) handle: Option<VmHandle>,
}

impl Vm {
    /// A VM that is despawned when its last process has ended.
    pub fn new() -> Self {
        Self::default()
    }

    /// A VM that stays when its last process has ended, ready for the next.
    pub fn persistent() -> Self {
        Self { persistent: true, ..Self::default() }
    }

    /// Whether the VM stays when its last process has ended.
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// What the runtime must know of it to take a process on.
    pub(crate) fn admission(&self, entity: Entity, limits: Option<&VmLimits>) -> VmAdmission {
        let limits = limits.cloned().unwrap_or_default().shared();
        VmAdmission { entity, handle: self.handle, last_pid: self.last_pid, limits }
    }

    /// The runtime has taken a process on.
    pub(crate) fn admitted(&mut self, admission: &Admission) {
        self.handle = Some(admission.vm);
        self.last_pid = admission.pid.get();
    }
}

fn count(mut world: DeferredWorld, _: HookContext) {
    if let Some(mut metrics) = world.get_resource_mut::<Metrics>() {
        metrics.vms_created += 1;
    }
}

fn release(mut world: DeferredWorld, HookContext { entity, .. }: HookContext) {
    let handle = world.get::<Vm>(entity).and_then(|vm| vm.handle);
    let members: SmallVec<[Entity; 4]> =
        world.get::<Processes>(entity).map_or(&[][..], Processes::as_slice).into();
    let mut running = SmallVec::<[ProcessHandle; 4]>::new();
    for process in members {
        if let Some(mut process) = world.get_mut::<Process>(process)
            && let Some(handle) = process.handle.take()
        {
            process.state = ProcessState::Killed;
            running.push(handle);
        }
    }
    let mut stopped = 0;
    if let Some(mut runtime) = world.get_resource_mut::<LuauRuntime>() {
        stopped = running.into_iter().filter(|&process| runtime.release_process(process)).count() as u64;
        if let Some(handle) = handle {
            runtime.release_vm(handle);
        }
    }
    if let Some(mut metrics) = world.get_resource_mut::<Metrics>() {
        metrics.vms_removed += 1;
        metrics.processes_killed += stopped;
    }
}
