//! How processes and VMs end, as the ECS is told of it.

use bevy::prelude::*;

use super::keys::ProcessKey;
use crate::luau::Answer;
use crate::types::{CpuUsage, Outcome, Pid, ScriptError, VirtualTime};

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) process: Entity,
    /// Which process of that entity: it may have been given another one since.
    pub(crate) key: ProcessKey,
    pub(crate) vm: Entity,
    pub(crate) pid: Pid,
    pub(crate) spawned_at: VirtualTime,
    pub(crate) cpu: CpuUsage,
    pub(crate) outcome: Outcome,
    pub(crate) vm_status: VmStatus,
}

/// An error that has ended a task.
#[derive(Debug)]
pub(crate) struct TaskError {
    pub(crate) process: Entity,
    /// Which process of that entity.
    pub(crate) key: ProcessKey,
    pub(crate) vm: Entity,
    pub(crate) pid: Pid,
    pub(crate) error: ScriptError,
}

/// How a call of a function of a process ended.
#[derive(Debug)]
pub(crate) struct CallAnswer {
    pub(crate) process: Entity,
    pub(crate) answer: Answer,
}

/// What an exit leaves to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum VmStatus {
    /// Other processes of the VM run on: the process is despawned.
    ProcessIsDone,
    /// The VM's other processes have ended, too, and a later exit will deal with all of them.
    VmEndsLater,
    /// The VM has no process left, running or to be reported.
    VmIsDone(VmSummary),
}

/// What is known of a VM whose processes have all ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmSummary {
    pub(crate) processes: u32,
    pub(crate) spawned_at: VirtualTime,
    pub(crate) cpu: CpuUsage,
}
