//! How processes and VMs end.

use std::sync::Arc;
use std::time::Duration;

use bevy::prelude::*;
use thiserror::Error;

use super::{Pid, ProcessState};
use crate::value::Value;

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

/// Triggered on a VM's entity when its last process has ended, just before the entity is despawned.
/// VMs that are [persistent](crate::Vm::persistent) never finish.
#[derive(EntityEvent, Clone, Debug)]
pub struct VmFinished {
    /// The VM.
    pub entity: Entity,
    /// How many processes ran on it.
    pub processes: u32,
    /// Virtual time from when it was spawned to the tick in which it finished.
    pub lifetime: Duration,
    /// What its processes cost, together.
    pub cpu: CpuUsage,
}

/// What a process has used of the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuUsage {
    /// Safepoints passed: loop back-edges, calls and returns. The last safepoint of a slice counts
    /// again when the next slice starts from it.
    pub safepoints: u64,
    /// Slices run.
    pub slices: u64,
}

impl std::ops::AddAssign for CpuUsage {
    fn add_assign(&mut self, other: Self) {
        self.safepoints += other.safepoints;
        self.slices += other.slices;
    }
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its main chunk returned these values.
    Finished(Vec<Value>),
    /// An error left its main chunk, or its script did not compile.
    Failed(ScriptError),
    /// It was stopped.
    Killed(KillReason),
}

impl Outcome {
    /// The state that the process is in afterwards.
    pub fn state(&self) -> ProcessState {
        match self {
            Self::Finished(_) => ProcessState::Finished,
            Self::Failed(_) => ProcessState::Failed,
            Self::Killed(_) => ProcessState::Killed,
        }
    }
}

/// An error that a script did not catch.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct ScriptError {
    /// The error value as text, with script and line where Luau adds them; at most a few KiB. A
    /// value that is neither string, number, boolean nor nil is named by its type.
    pub message: Box<str>,
    /// The functions that were running, innermost first, one line each. Empty when nothing was.
    pub traceback: Box<str>,
}

/// Why a process was stopped.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KillReason {
    /// It stayed in code that cannot be preempted (a metamethod, a `string.gsub` callback, a long library
    /// call) after its slice was over.
    #[error("overrun: it ran on for {used:?} after its slice in code that cannot be preempted, of {limit:?}")]
    Overrun {
        /// [`LuauOsPlugin::overrun_limit`](crate::LuauOsPlugin::overrun_limit).
        limit: Duration,
        /// Processor time.
        used: Duration,
    },
    /// Its VM's processes held more memory than [`Limits::memory_bytes`](crate::Limits::memory_bytes), or
    /// it asked for more at once than one slice may have.
    #[error("memory: its VM needs {used} bytes, of {limit}")]
    Memory {
        /// The VM's limit.
        limit: usize,
        /// What was held, and what was asked for on top.
        used: usize,
    },
    /// Its VM had more coroutines than [`Limits::coroutines`](crate::Limits::coroutines).
    #[error("coroutines: its VM has {used}, of {limit}")]
    Coroutines {
        /// The VM's limit.
        limit: u32,
        /// How many there were.
        used: u32,
    },
    /// It was deeper in calls inside calls than [`Limits::call_depth`](crate::Limits::call_depth).
    #[error("call depth: {used} calls inside calls, of {limit}")]
    CallDepth {
        /// The VM's limit.
        limit: u32,
        /// How deep it was when its slice ended.
        used: u32,
    },
    /// The game or another process ended it.
    #[error("it was ended on request")]
    Requested,
    /// A host function that it called panicked.
    #[error("host panic: `{function}` panicked: {message}")]
    HostPanic {
        /// The host function's path.
        function: Box<str>,
        /// What the panic said.
        message: Box<str>,
    },
    /// Its VM had more processes than [`Limits::processes`](crate::Limits::processes); it did not start.
    #[error("processes: its VM would have {used}, of {limit}")]
    Processes {
        /// The VM's limit.
        limit: u32,
        /// How many there would have been.
        used: u32,
    },
    /// Its script was longer than [`Limits::source_bytes`](crate::Limits::source_bytes); it did not start.
    #[error("source: its script has {used} bytes, of {limit}")]
    SourceSize {
        /// The VM's limit.
        limit: usize,
        /// The script's length.
        used: usize,
    },
}
