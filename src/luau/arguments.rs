//! The arguments of a host function, read where the script has left them.

use std::cell::Cell;

use super::stack::{Kind, Stack};
use super::thread::OwnThread;
use super::transfer::{self, Copies};
use crate::value::Value;

/// The arguments of the running host function.
pub struct CallArguments<'a> {
    thread: OwnThread<'a>,
    /// What it took to copy those that were asked for, in safepoints.
    cost: Cell<u64>,
}

impl<'a> CallArguments<'a> {
    /// Those of the C function that a thread runs.
    #[inline]
    pub(super) fn new(thread: OwnThread<'a>) -> Self {
        Self { thread, cost: Cell::new(0) }
    }

    #[inline]
    fn stack(&self) -> Stack<'_> {
        self.thread.stack()
    }

    /// See [`CallArguments::cost`].
    #[inline]
    pub(super) fn cost(&self) -> u64 {
        self.cost.get()
    }

    pub(crate) fn count(&self) -> u32 {
        self.stack().top().unsigned_abs()
    }

    /// An argument that is a number.
    #[inline]
    pub(crate) fn number(&self, position: u32) -> Option<f64> {
        let (stack, index) = (self.stack(), position.cast_signed());
        if stack.kind(index) == Kind::NUMBER { stack.number(index) } else { None }
    }

    /// A copy of an argument, nil if it was not passed. If there is too much in it, why it cannot be copied.
    pub(crate) fn get(&self, position: u32) -> Result<Value, String> {
        let Copies { values, cost } = transfer::argument(&mut self.stack(), position.cast_signed());
        self.cost.set(self.cost.get().saturating_add(cost));
        values
    }
}
