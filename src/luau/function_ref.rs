//! Functions that processes hand over to others.

use std::sync::{Arc, Mutex, PoisonError};

use super::stack::Reference;

/// A function that a process handed over: a registry reference, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct FunctionRef {
    pub(super) reference: Reference,
    pub(super) dropped: DroppedFunctions,
}

/// References of one state to be given back, from wherever their owners are dropped.
pub(super) type DroppedFunctions = Arc<Mutex<Vec<Reference>>>;

impl Drop for FunctionRef {
    fn drop(&mut self) {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).push(self.reference);
    }
}
