//! What a process starts with.

use std::sync::Arc;
use std::time::Duration;

use super::call_queue::KeptCalls;
use super::keys::{ProcessKey, RequestId};
use crate::luau::FunctionRef;
use crate::luau::signals::ProcessSignals;
use crate::script::Script;
use crate::value::Value;

/// What a process starts with beyond its script.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// Its own instead of its script's.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) arguments: Vec<Value>,
    /// What it runs instead of its script.
    pub(crate) function: Option<FunctionRef>,
    /// What was sent to it so far.
    pub(crate) signals: ProcessSignals,
    /// What was called of it so far.
    pub(crate) calls: KeptCalls,
    /// In virtual time.
    pub(crate) not_before: Duration,
    /// The `process.spawn` that waits for its PID.
    pub(crate) parent: Option<RequestId>,
}

/// A process that has no thread yet.
#[derive(Debug)]
pub(super) struct Starting {
    pub(super) process: ProcessKey,
    pub(super) script: Script,
    pub(super) start: Option<Box<Start>>,
}
