//! Calls of functions that scripts export, as the game sees them.

use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use super::ScriptError;

/// Tells a call from all others: what [`call`](crate::ProcessCommandsExt::call) returns, and what
/// [`CallEnded`](crate::CallEnded) has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(u64);

impl CallId {
    /// One that no other call has.
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// Why a call of a script's function has no results.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum CallError {
    /// The process exports no function with this name.
    #[error("the process exports no function with this name")]
    NoSuchFunction,
    /// The process had ended, or ended before the function returned. A process that starts again because its script has
    /// changed ends in this sense, too.
    #[error("the process has ended")]
    ProcessEnded,
    /// As many calls as [`Limits::calls`](crate::Limits::calls) allow, or as many bytes of arguments as
    /// [`Limits::mailbox_bytes`](crate::Limits::mailbox_bytes), wait for the process already.
    #[error("too many calls wait for the process")]
    TooManyCalls,
    /// The script has cancelled the task, or it has yielded and nobody can resume it.
    #[error("the script has cancelled the call")]
    Cancelled,
    /// An argument has no [`Value`](crate::Value).
    #[error("arguments: {0}")]
    Arguments(Box<str>),
    /// The results are too many or too large, or not of the type that was asked for.
    #[error("results: {0}")]
    Results(Box<str>),
    /// An error has left the function.
    #[error(transparent)]
    Failed(ScriptError),
}
