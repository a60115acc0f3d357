//! Answers of the game on their way to processes.

use std::sync::{Arc, Mutex, PoisonError};

use crate::isolate::CallId;
use crate::value::Value;

/// Answers that have not reached their processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox(Arc<Mutex<Vec<(CallId, Result<Value, String>)>>>);

impl Inbox {
    pub(crate) fn push(&self, call: CallId, reply: Result<Value, String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((call, reply));
    }

    pub(crate) fn take(&self) -> Vec<(CallId, Result<Value, String>)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
