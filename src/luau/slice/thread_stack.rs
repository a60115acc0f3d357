//! A stack of threads without a destructor, as thread-local memory wants it.

use std::cell::Cell;
use std::ptr;

use mlua::ffi::lua_State;

/// Deeper than Luau lets resumes nest (`LUAI_MAXCCALLS` is 200, plus an eighth for error handlers).
const MAX_NESTED_THREADS: usize = 256;

/// A stack of threads in thread-local memory that needs no destructor.
pub(super) struct ThreadStack {
    len: Cell<usize>,
    threads: [Cell<*mut lua_State>; MAX_NESTED_THREADS],
}

impl ThreadStack {
    pub(super) const fn new() -> Self {
        Self { len: Cell::new(0), threads: [const { Cell::new(ptr::null_mut()) }; MAX_NESTED_THREADS] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    pub(super) fn clear(&self) {
        self.len.set(0);
    }

    /// Counts threads past the array's end without storing them; Luau cannot nest that deep.
    pub(super) fn push(&self, thread: *mut lua_State) {
        let len = self.len.get();
        debug_assert!(len < MAX_NESTED_THREADS, "resumes nested deeper than Luau allows");
        if let Some(place) = self.threads.get(len) {
            place.set(thread);
        }
        self.len.set(len + 1);
    }

    pub(super) fn pop(&self) {
        self.len.set(self.len.get().saturating_sub(1));
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = *mut lua_State> {
        let len = self.len.get().min(MAX_NESTED_THREADS);
        self.threads[..len].iter().map(Cell::get)
    }
}
