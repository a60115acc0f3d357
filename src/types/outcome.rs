//! How processes end.

use thiserror::Error;

use super::{KillReason, ProcessState};
use crate::value::Value;

/// How a process ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its main chunk returned these values.
    Finished(Vec<Value>),
    /// An error left its main chunk, or its script did not compile. One that leaves another task is a
    /// [`TaskFailed`](crate::TaskFailed), unless the plugin [says
    /// otherwise](crate::LuauOsPlugin::task_errors_end_process).
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
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{message}")]
pub struct ScriptError {
    /// The error value as text, with script and line where Luau adds them; at most a few KiB. Of an object it is what
    /// its `__tostring` returns, or else its field `message`, or else the name of its type.
    pub message: Box<str>,
    /// The functions that were running, innermost first, one line each. Empty when nothing was.
    pub traceback: Box<str>,
    /// A copy of the error value, if it was something else than a string.
    pub value: Option<Value>,
}

impl ScriptError {
    /// An error of nothing that ran.
    pub(crate) fn new(message: impl Into<Box<str>>) -> Self {
        Self { message: message.into(), traceback: Box::default(), value: None }
    }
}
