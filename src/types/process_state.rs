//! Where a process is in its life.

/// The life of a process.
///
/// `New` -> `Runnable` -> `Running` -> `Runnable` (preempted, or it yielded) / `Waiting` (and `Runnable`
/// again) / `Finished` / `Failed` / `Killed`. A process in one of the last three is despawned at the end of the tick, or as soon as
/// the tick budget allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProcessState {
    /// Spawned, and not admitted yet: it has no PID.
    #[default]
    New,
    /// Waiting for its next slice.
    Runnable,
    /// Waiting for a time, or for the answer to a syscall, and in no queue until then. Only
    /// [`LuauRuntime::process_info`](crate::LuauRuntime::process_info) says so.
    Waiting,
    /// Waiting to be [resumed](crate::ProcessCommands::resume). Only [`LuauRuntime::process_info`](crate::LuauRuntime::process_info) says so.
    Suspended,
    /// In its slice. Only [`LuauRuntime::process_info`](crate::LuauRuntime::process_info) says so: between ticks nothing runs.
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
