//! Where a process is in its life.

use bevy::prelude::*;

/// The life of a process.
///
/// `New` -> `Runnable` -> `Running` -> `Runnable` (preempted, or it yielded) / `Waiting` (and `Runnable` again) /
/// `Finished` / `Failed` / `Killed`. A process in one of the last three is despawned at the end of the tick, or as
/// soon as the tick budget allows.
///
/// The isolate of a process knows it, not its component: ask
/// [`LuauRuntime::process_info`](crate::LuauRuntime::process_info).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Reflect)]
#[reflect(Clone, Debug, Default, PartialEq, Hash)]
pub enum ProcessState {
    /// Spawned, and not admitted yet: it has no PID.
    #[default]
    New,
    /// Waiting for its next slice.
    Runnable,
    /// All its tasks wait, for a time, a message, a signal or the answer to a syscall. It is in no queue until then.
    Waiting,
    /// Waiting to be [resumed](crate::ProcessCommandsExt::resume).
    Suspended,
    /// In its slice. The game sees that of no process: its systems run when no slice does.
    Running,
    /// Its main chunk returned.
    Finished,
    /// An error left its main chunk, or its script did not compile.
    Failed,
    /// It was stopped.
    Killed,
}

impl ProcessState {
    /// Whether the process has ended.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Killed)
    }
}
