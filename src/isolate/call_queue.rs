//! Calls of functions that processes export, and those that wait for their process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bevy::prelude::*;

use super::exit::CallAnswer;
use super::keys::ProcessKey;
use crate::luau::Answer;
use crate::types::{CallError, CallId, Limits, ProcessIndex};
use crate::value::Value;

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) process: Entity,
    pub(crate) id: CallId,
    pub(crate) function: Arc<str>,
    pub(crate) arguments: Vec<Value>,
    /// In virtual time.
    pub(crate) made_at: Duration,
}

impl Call {
    pub(crate) fn fails(self, error: CallError) -> CallAnswer {
        let Self { process, id, function, .. } = self;
        CallAnswer { process, answer: Answer { id, function, result: Err(error) } }
    }

    fn size(&self) -> usize {
        self.arguments.iter().map(Value::size).sum()
    }
}

/// A call of a function in all processes that export it.
#[derive(Debug)]
pub(crate) struct CallOfAll {
    pub(crate) function: Box<str>,
    pub(crate) arguments: Vec<Value>,
}

/// Calls that a process cannot run yet.
#[derive(Debug, Default)]
pub(crate) struct KeptCalls {
    calls: VecDeque<Call>,
    bytes: usize,
}

impl KeptCalls {
    /// Keeps a call, or returns it if there is no room.
    pub(crate) fn keep(&mut self, call: Call, limits: &Limits) -> Result<(), Call> {
        let bytes = self.bytes.saturating_add(call.size());
        if self.calls.len() >= limits.calls || bytes > limits.mailbox_bytes {
            return Err(call);
        }
        self.bytes = bytes;
        self.calls.push_back(call);
        Ok(())
    }

    /// Takes all.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Call> + use<> {
        std::mem::take(self).calls.into_iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether one of them calls this function.
    pub(super) fn has(&self, function: &str) -> bool {
        self.calls.iter().any(|call| *call.function == *function)
    }
}

/// A call that has reached the isolate.
#[derive(Debug)]
pub(super) enum Incoming {
    One(ProcessKey, Call),
    All(Arc<CallOfAll>),
}

/// The calls of an isolate that have not begun.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) incoming: VecDeque<Incoming>,
    pub(super) kept: BTreeMap<ProcessIndex, KeptCalls>,
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.incoming.is_empty() && self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(bytes: usize) -> Call {
        let arguments = vec![Value::Buffer(vec![0; bytes].into())];
        let process = Entity::PLACEHOLDER;
        Call { process, id: CallId::next(), function: "f".into(), arguments, made_at: Duration::ZERO }
    }

    #[test]
    fn kept_calls_are_bounded_in_number_and_size() {
        let mut kept = KeptCalls::default();
        let limits = Limits { calls: 3, mailbox_bytes: 1_000, ..Default::default() };
        assert!(kept.keep(call(400), &limits).is_ok() && kept.keep(call(400), &limits).is_ok());
        assert!(kept.keep(call(400), &limits).is_err(), "too large");
        assert!(kept.keep(call(10), &limits).is_ok());
        assert!(kept.keep(call(0), &limits).is_err(), "too many");
        assert_eq!((kept.take().count(), kept.bytes, kept.is_empty()), (3, 0, true));
    }
}
