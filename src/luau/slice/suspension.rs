//! Leaving a thread from inside: by a break, which its process does not notice, or because it waits.

use std::ffi::c_int;

use mlua::ffi::lua_State;

use super::Slice;
use super::running::{Leavable, Running};

impl Slice {
    /// Whether the running thread and every thread that waits for it can be broken. If a parent cannot, `lua_break`
    /// would throw there and leave the child broken for ever.
    #[inline]
    pub(super) fn can_break(&self, thread: Running<'_>) -> bool {
        thread.is_yieldable() && (thread.address() == self.bottom.get() || self.can_break_parents())
    }

    /// Whether all threads can be broken that wait for another to end.
    #[cold]
    fn can_break_parents(&self) -> bool {
        self.parent(self.bottom.get()).is_yieldable()
            && self.running.all(|thread| self.parent(thread).is_yieldable())
    }

    /// One of the threads of which the slice knows that they run.
    fn parent(&self, thread: *mut lua_State) -> Running<'_> {
        debug_assert!(self.is_running(), "no slice runs");
        // SAFETY: `bottom` is live while it runs, and so are those on top of it: each is on the stack of the one below.
        unsafe { Running::new(thread) }
    }

    /// If it cannot break, this throws.
    /// The break chain of the break that follows begins with the running thread. It need not be told if that is the
    /// only one.
    #[cold]
    pub(super) fn begin_break(&self, thread: Running<'_>) {
        self.broken.clear();
        if thread.address() != self.bottom.get() {
            self.broken.push(thread.address());
        }
    }

    fn break_innermost(&self, thread: Running<'_>) -> c_int {
        self.broken.clear();
        self.broken.push(thread.address());
        thread.break_here()
    }
}

impl Running<'_> {
    /// Whether the thread can wait: no frame of C keeps it from being left.
    pub(in super::super) fn can_wait(self) -> bool {
        self.slice().is_running() && self.is_yieldable()
    }
}

/// Each returns what the running C function has to return.
impl Leavable<'_> {
    /// Leaves the thread, which waits: whoever has resumed it goes on. The continuation is called when it is resumed.
    /// If it [cannot wait](Running::can_wait), this throws.
    pub(in super::super) fn wait(self) -> c_int {
        let slice = self.slice();
        slice.took_slow_path.set(true);
        if self.address() == slice.bottom.get() {
            slice.waits.set(true);
        }
        self.yield_here()
    }

    /// Ends the slice of a process that is marked for kill, if it can be broken here. Otherwise the next safepoint will
    /// end it.
    pub(in super::super) fn stop(self) -> Option<c_int> {
        let slice = self.slice();
        slice.can_break(*self).then(|| slice.break_innermost(*self))
    }

    /// The running C function breaks because the task that it started has broken. If it cannot, this throws.
    pub(in super::super) fn break_with_child(self) -> c_int {
        self.slice().parent_breaks(self.address());
        self.break_here()
    }
}
