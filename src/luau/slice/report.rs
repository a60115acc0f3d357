//! What a slice may use, and what is told of it when it is over.

use std::time::Duration;

/// How a slice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SliceEnd {
    /// The quantum was used up.
    Preempted,
    /// The main chunk called `coroutine.yield`.
    Yielded,
    /// All its threads wait.
    Waiting,
    /// Its main chunk and its tasks have ended, or nobody can resume what is left.
    Returned,
    /// An error left the main chunk, or a task whose errors end the process.
    Failed,
    /// It called `process.exit`; the results are in [`Context::exit_results`](crate::luau::Context::exit_results).
    Exited,
    /// A host function that it called panicked; [`Context::host_panic`](crate::luau::Context::host_panic) says more.
    HostPanicked,
    /// The process went over a limit.
    Exceeded(LimitViolation),
}

/// What a process used too much of, and how much it had used then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitViolation {
    /// Bytes that its slice would have added, of which the last were refused.
    Memory(usize),
    /// Calls inside calls.
    CallDepth(u32),
    /// Processes that are parked at a time.
    Parked { limit: u32, used: u32 },
}

/// How much a slice may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceLimits {
    /// Time on the clock, after which it ends as if its quantum were used up.
    pub(crate) time: Option<Duration>,
}

/// What a slice did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceReport {
    /// Safepoints passed, and charged.
    pub(crate) safepoints: u64,
    /// How it ended, if it was not preempted or left something behind: it may have printed, asked for something, or used
    /// too much. Most slices have no outcome.
    pub(crate) outcome: Option<SliceEnd>,
}
