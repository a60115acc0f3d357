//! How processes end.

use bevy::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{KillReason, ProcessState};
use crate::value::Value;

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Reflect, Serialize, Deserialize)]
#[reflect(opaque)]
#[reflect(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Error, PartialEq, Serialize, Deserialize)]
#[error("{message}")]
pub struct ScriptError {
    /// The error value as text, with script and line where Luau adds them; at most a few KiB. Of an object it is what
    /// its `__tostring` returns, or else its field `message`, or else the name of its type.
    pub message: Box<str>,
    /// The functions that were running, innermost first, one line each. Empty when nothing was.
    pub traceback: Box<str>,
    /// A copy of the error value, if it was something else than a string.
    pub value: Option<Value>,
    /// Where it was raised: in the innermost function that is written in Luau. `None` when nothing ran.
    pub place: Option<ScriptPlace>,
}

/// A place in a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptPlace {
    /// The name of the script or module, as messages and tracebacks show it.
    pub script: Box<str>,
    /// Counted from 1.
    pub line: u32,
}

impl ScriptError {
    /// An error of nothing that ran.
    pub(crate) fn new(message: impl Into<Box<str>>) -> Self {
        Self { message: message.into(), traceback: Box::default(), value: None, place: None }
    }

    /// The same, of something that is wrong with a line of a script.
    pub(crate) fn at(mut self, place: Option<(&str, u32)>) -> Self {
        self.place = place.map(|(script, line)| ScriptPlace { script: script.into(), line });
        self
    }
}
