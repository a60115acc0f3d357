//! The end of a VM, as an event.

use std::time::Duration;

use bevy::prelude::*;

use crate::types::CpuUsage;

/// Triggered on a VM's entity when its last process has ended, just before the entity is despawned.
/// Those that are [persistent](crate::Vm::persistent) stay, and have no such event.
#[derive(EntityEvent, Clone, Debug)]
pub struct VmExited {
    /// The VM.
    pub entity: Entity,
    /// How many processes ran on it.
    pub processes: u32,
    /// Virtual time from when its first process was spawned to the tick in which the last one ended.
    pub lifetime: Duration,
    /// What its processes cost, together.
    pub cpu: CpuUsage,
}
