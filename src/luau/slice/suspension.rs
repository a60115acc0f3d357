//! Breaking a process from inside: where it can be done, and for functions that wait.

use std::ffi::c_int;

use mlua::ffi::lua_State;

use super::Slice;
use super::running::Running;

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

    /// Whether the process that runs can be suspended here.
    ///
    /// # Safety
    ///
    /// `thread` must be the running thread of the state whose slice this is.
    pub(in super::super) unsafe fn can_suspend(&self, thread: *mut lua_State) -> bool {
        if !self.is_running() {
            return false;
        }
        // A task that runs inside `task.spawn` waits alone.
        let alone = self.with_process(|process| process.starting()).flatten();
        for parent in self.running.to_vec().into_iter().rev() {
            if !self.parent(parent).is_yieldable() {
                return false;
            }
            if alone == Some(parent) {
                return true;
            }
        }
        // SAFETY: by the contract.
        let thread = unsafe { Running::new(thread) };
        thread.is_yieldable() && self.parent(self.bottom.get()).is_yieldable()
    }

    /// Ends the slice that runs: the process waits. Returns what the calling C function has to return; its continuation
    /// is called when the process is resumed.
    ///
    /// # Safety
    ///
    /// `thread` must be the running thread of the state whose slice this is, in a C function with a continuation, and it
    /// must be possible to [suspend](Slice::can_suspend) it.
    pub(in super::super) unsafe fn suspend(&self, thread: *mut lua_State) -> c_int {
        self.waits.set(true);
        self.took_slow_path.set(true);
        // SAFETY: by the contract.
        self.break_innermost(unsafe { Running::new(thread) })
    }

    /// If it cannot break, this throws.
    fn break_innermost(&self, thread: Running<'_>) -> c_int {
        self.broken.clear();
        self.broken.push(thread.address());
        thread.break_here()
    }

    /// Ends the slice of a process that is marked for kill, if it can be broken here. Returns what the calling C function
    /// has to return then. Otherwise the next safepoint will end it.
    ///
    /// # Safety
    ///
    /// `thread` must be the running thread of the state whose slice this is, in a C function with a continuation.
    pub(in super::super) unsafe fn stop(&self, thread: *mut lua_State) -> Option<c_int> {
        // SAFETY: by the contract.
        let thread = unsafe { Running::new(thread) };
        self.can_break(thread).then(|| self.break_innermost(thread))
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

    /// The running C function breaks because the task that it started has broken. If it cannot, this throws.
    ///
    /// # Safety
    ///
    /// `parent` must be the running thread of the state whose slice this is, in a C function with a continuation.
    pub(in super::super) unsafe fn break_with_child(&self, parent: *mut lua_State) -> c_int {
        self.parent_breaks(parent);
        // SAFETY: by the contract.
        unsafe { Running::new(parent) }.break_here()
    }
}
