//! The arguments of a host function, read where the script has left them.

use std::cell::Cell;

use mlua::ffi::lua_State;

use super::stack::{Kind, Stack};
use super::transfer::{self, Copies};
use crate::types::HostCaller;
use crate::value::Value;

/// The arguments of the running host function.
pub struct CallArguments {
    thread: *mut lua_State,
    /// What it took to copy those that were asked for, in safepoints.
    cost: Cell<u64>,
    /// Finds out who calls.
    find_caller: FindCaller,
}

/// Tells whose a thread is that runs a host function. It must be such a thread.
pub(super) type FindCaller = unsafe fn(*mut lua_State) -> Option<HostCaller>;

impl CallArguments {
    /// # Safety
    ///
    /// `thread` must be running a C function, whose stack nobody else uses while this lives, and `find_caller` be right for
    /// it.
    #[inline]
    pub(super) unsafe fn new(thread: *mut lua_State, find_caller: FindCaller) -> Self {
        Self { thread, cost: Cell::new(0), find_caller }
    }

    #[inline]
    fn stack(&self) -> Stack<'_> {
        // SAFETY: by the contract of `new`. None of the functions below calls anything that could ask for another.
        unsafe { Stack::new(self.thread) }
    }

    /// See [`CallArguments::cost`].
    #[inline]
    pub(super) fn cost(&self) -> u64 {
        self.cost.get()
    }

    /// Who calls.
    pub(crate) fn caller(&self) -> Option<HostCaller> {
        // SAFETY: by the contract of `new`.
        unsafe { (self.find_caller)(self.thread) }
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
