//! A stack of threads that can be used through a shared reference.

use std::cell::RefCell;

use mlua::ffi::lua_State;

/// Threads of one process, outermost or innermost last. They are only kept, never looked into.
#[derive(Default)]
pub(super) struct ThreadStack(RefCell<Vec<*mut lua_State>>);

impl ThreadStack {
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    pub(super) fn push(&self, thread: *mut lua_State) {
        self.0.borrow_mut().push(thread);
    }

    pub(super) fn pop(&self) {
        self.0.borrow_mut().pop();
    }

    pub(super) fn take(&self) -> Vec<*mut lua_State> {
        self.0.take()
    }

    /// The opposite of [`take`](Self::take).
    pub(super) fn put(&self, threads: Vec<*mut lua_State>) {
        self.0.replace(threads);
    }

    /// Whether all of them are as `f` wants them. It must not change the stack.
    pub(super) fn all(&self, f: impl FnMut(*mut lua_State) -> bool) -> bool {
        self.0.borrow().iter().copied().all(f)
    }
}
