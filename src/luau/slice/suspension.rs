//! Breaking a process from inside: where it can be done, and for functions that wait.

use std::ffi::c_int;

use mlua::ffi::lua_State;

use super::Slice;
use super::running::{Leavable, Running};

impl Slice {
    /// Whether the running thread and every thread that waits for it can be broken. If a parent cannot, `lua_break` would
    /// throw there and leave the child broken for ever.
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

    /// What the task that was started did: `Some` if it waits, with the threads of its break, innermost first.
    pub(in super::super) fn take_wait(&self) -> Option<Vec<*mut lua_State>> {
        let broken = self.waits.replace(false).then(|| self.broken.to_vec());
        // No break is under way any more: nothing of this one may get into the chain of the next.
        if broken.is_some() {
            self.broken.clear();
        }
        broken
    }
}

impl Running<'_> {
    /// Whether the process that runs can be suspended here.
    pub(in super::super) fn can_suspend(self) -> bool {
        let slice = self.slice();
        if !slice.is_running() {
            return false;
        }
        // A task that runs inside `task.spawn` waits alone.
        let alone = slice.with_process(|process| process.starting()).flatten();
        for parent in slice.running.to_vec().into_iter().rev() {
            if !slice.parent(parent).is_yieldable() {
                return false;
            }
            if alone == Some(parent) {
                return true;
            }
        }
        self.is_yieldable() && slice.parent(slice.bottom.get()).is_yieldable()
    }
}

/// Each returns what the running C function has to return.
impl Leavable<'_> {
    /// Ends the slice that runs: the process waits. The continuation is called when it is resumed. It must be possible
    /// to [suspend](Running::can_suspend) it: otherwise this throws, or the threads above one that cannot be left never
    /// go on.
    pub(in super::super) fn suspend(self) -> c_int {
        let slice = self.slice();
        slice.waits.set(true);
        slice.took_slow_path.set(true);
        slice.break_innermost(*self)
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
