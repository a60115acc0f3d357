//! Requests that leave an isolate, with who made them.

use bevy::prelude::*;

use super::WaitId;
use crate::types::Pid;

/// A request that waits for its reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestId {
    pub(crate) isolate: u32,
    pub(crate) wait: WaitId,
}

/// A request and whose it is.
#[derive(Debug)]
pub(crate) struct Posted<R> {
    pub(crate) id: RequestId,
    pub(crate) vm: Entity,
    pub(crate) process: Entity,
    pub(crate) pid: Pid,
    pub(crate) request: R,
}

impl<R> Posted<R> {
    /// The same process asks for something else.
    pub(crate) fn with<S>(self, request: S) -> Posted<S> {
        let Self { id, vm, process, pid, .. } = self;
        Posted { id, vm, process, pid, request }
    }
}
