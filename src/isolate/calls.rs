//! What leaves an isolate: calls of its processes, with who made them.

use std::any::Any;

use bevy::prelude::*;

use super::WaitId;
use crate::luau::request::KernelRequest;
use crate::types::Pid;

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallId {
    pub(crate) isolate: u32,
    pub(crate) wait: WaitId,
}

/// A call before its arguments have their type again.
pub(crate) struct RawCall {
    pub(crate) call: CallId,
    pub(crate) vm: Entity,
    pub(crate) process: Entity,
    pub(crate) pid: Pid,
    pub(crate) args: Box<dyn Any + Send + Sync>,
}

/// A kernel request and whose it is.
#[derive(Debug)]
pub(crate) struct PostedRequest {
    pub(crate) id: CallId,
    pub(crate) vm: Entity,
    pub(crate) process: Entity,
    pub(crate) pid: u32,
    pub(crate) call: KernelRequest,
}
