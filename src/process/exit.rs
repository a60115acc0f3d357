//! The end of a process, as an event.

use std::sync::Arc;
use std::time::Duration;

use bevy::prelude::*;

use crate::types::{CpuUsage, Outcome, Pid};

/// Triggered on a process's entity when it has ended, just before the entity is despawned.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn report(exit: On<ProcessExited>) {
///     if let Outcome::Failed(error) = &exit.outcome {
///         warn!("{} (pid {}) failed: {error}", exit.name, exit.pid);
///     }
/// }
/// # App::new().add_observer(report);
/// ```
#[derive(EntityEvent, Clone, Debug)]
pub struct ProcessExited {
    /// The process.
    pub entity: Entity,
    /// Its VM.
    pub vm: Entity,
    /// Its number on that VM.
    pub pid: Pid,
    /// Its name.
    pub name: Arc<str>,
    /// Virtual time from when it was spawned to the tick in which it ended.
    pub lifetime: Duration,
    /// What it cost.
    pub cpu: CpuUsage,
    /// How it ended.
    pub outcome: Outcome,
}

/// Triggered on a VM when one of its processes has ended, after [`ProcessExited`] on the process.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn boot(mut commands: Commands) {
///     commands.spawn(Vm::persistent()).observe(|ended: On<VmProcessExited>| {
///         info!("{} of this VM has ended: {:?}", ended.exit.name, ended.exit.outcome);
///     });
/// }
/// ```
#[derive(EntityEvent, Clone, Debug)]
pub struct VmProcessExited {
    /// The VM.
    pub entity: Entity,
    /// Which process has ended, and how.
    pub exit: ProcessExited,
}
