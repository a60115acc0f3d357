//! The error of a task, as an event.

use std::sync::Arc;

use bevy::prelude::*;

use crate::types::{Pid, ScriptError};

/// Triggered on a process's entity when an error has left one of its tasks. The task has ended; the process goes on,
/// unless [`LuauOsPlugin::task_errors_end_process`](crate::LuauOsPlugin::task_errors_end_process) is set: then it fails
/// instead. The error is also written to the [console](crate::VmConsole).
///
/// A script can only cause a few in a tick: each takes a good part of its slice.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn report(failure: On<TaskFailed>) {
///     warn!("{} (pid {}): {}", failure.name, failure.pid, failure.error);
/// }
/// # App::new().add_observer(report);
/// ```
#[derive(EntityEvent, Clone, Debug)]
pub struct TaskFailed {
    /// The process.
    pub entity: Entity,
    /// Its VM.
    pub vm: Entity,
    /// Its number on that VM.
    pub pid: Pid,
    /// Its name.
    pub name: Arc<str>,
    /// What was not caught.
    pub error: ScriptError,
}
