//! Why processes are stopped.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a process was stopped.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum KillReason {
    /// Its VM's processes held more memory than [`Limits::memory_bytes`](crate::Limits::memory_bytes).
    #[error("memory: its VM needs {used} bytes, of {limit} (memory_bytes)")]
    Memory {
        /// The VM's limit.
        limit: usize,
        /// What was held, and what was asked for on top.
        used: usize,
    },
    /// One of its slices would have allocated more than [`Limits::slice_bytes`](crate::Limits::slice_bytes).
    #[error("memory: one slice needs {used} bytes, of {limit} (slice_bytes)")]
    SliceMemory {
        /// The VM's limit.
        limit: usize,
        /// What the slice had allocated, and what it asked for on top.
        used: usize,
    },
    /// Its VM kept more pages of memory, with a few objects in each, than
    /// [`Limits::page_bytes`](crate::Limits::page_bytes).
    #[error("memory: a few objects in each keep {used} bytes of pages, of {limit} (page_bytes)")]
    Fragmentation {
        /// The VM's limit.
        limit: usize,
        /// Bytes of all its pages.
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
    /// Its slice was over in the middle of a metamethod or a callback of a library function, and its VM had more
    /// processes there than [`Limits::parked`](crate::Limits::parked), or the app more than can be kept: 16,384.
    #[error("parked: {used} processes are in the middle of a metamethod or a callback, of {limit}")]
    Parked {
        /// The limit.
        limit: u32,
        /// How many there would have been.
        used: u32,
    },
    /// The game or another process ended it.
    #[error("it was ended on request")]
    Requested,
    /// The game ended it for a [reason](crate::ProcessCommandsExt::kill_because) of its own.
    #[error("{reason}")]
    Game {
        /// What the game says.
        reason: Box<str>,
    },
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
    /// It was in the middle of something that could not be [saved](crate::LuauRuntime::save_vm). In the game that was
    /// saved, it goes on.
    #[cfg(feature = "save")]
    #[error("it could not be saved: {why}")]
    NotSaved {
        /// What that was.
        why: Box<str>,
    },
}
