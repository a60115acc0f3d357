//! How processes have ended of which the game has not heard, and what has become of tasks.

use serde::{Deserialize, Serialize};

use super::value::SavedValues;
use crate::types::{KillReason, Outcome, ScriptError, ScriptPlace};

/// An [`Outcome`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SavedOutcome {
    Finished(SavedValues),
    Failed(SavedError),
    Killed(KillReason),
}

/// A [`ScriptError`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedError {
    message: Box<str>,
    traceback: Box<str>,
    value: Option<SavedValues>,
    place: Option<ScriptPlace>,
}

impl From<&Outcome> for SavedOutcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Finished(results) => Self::Finished(results.iter().collect()),
            Outcome::Failed(error) => Self::Failed(error.into()),
            Outcome::Killed(reason) => Self::Killed(reason.clone()),
        }
    }
}

impl SavedOutcome {
    pub(crate) fn outcome(self) -> Result<Outcome, &'static str> {
        Ok(match self {
            Self::Finished(results) => Outcome::Finished(results.values()?),
            Self::Failed(error) => Outcome::Failed(error.error()?),
            Self::Killed(reason) => Outcome::Killed(reason),
        })
    }
}

impl From<&ScriptError> for SavedError {
    fn from(error: &ScriptError) -> Self {
        let ScriptError { message, traceback, value, place } = error.clone();
        let value = value.as_ref().map(|value| std::iter::once(value).collect());
        Self { message, traceback, value, place }
    }
}

impl SavedError {
    pub(crate) fn error(self) -> Result<ScriptError, &'static str> {
        let Self { message, traceback, value, place } = self;
        let value = value.map(|value| Ok::<_, &str>(value.exactly::<1>()?.into_iter().next()));
        Ok(ScriptError { message, traceback, value: value.transpose()?.flatten(), place })
    }
}
