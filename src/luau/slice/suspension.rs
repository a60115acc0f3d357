//! Breaking a process from inside: where it can be done, and for functions that wait.

use std::ffi::c_int;

use mlua::ffi::{self, lua_State};

use super::Slice;

/// Whether `thread` and every thread that waits for it can be broken. If a parent cannot, `lua_break`
/// would throw there and leave the child broken for ever.
///
/// # Safety
///
/// `thread` must be the running thread of the state whose `slice` it is.
#[inline]
pub(super) unsafe fn can_break(slice: &Slice, thread: *mut lua_State) -> bool {
    // SAFETY: it runs, so it is live. Nothing runs on top of it.
    let is_yieldable = unsafe { ffi::lua_isyieldable(thread) != 0 };
    // SAFETY: by the contract.
    is_yieldable && (thread == slice.bottom.get() || unsafe { can_break_parents(slice) })
}

/// Whether all threads can be broken that wait for another to end.
///
/// # Safety
///
/// `slice` must run.
#[cold]
unsafe fn can_break_parents(slice: &Slice) -> bool {
    // SAFETY: by the contract all of these threads run, so they are live.
    let is_yieldable = |thread| unsafe { ffi::lua_isyieldable(thread) != 0 };
    is_yieldable(slice.bottom.get()) && slice.running.all(is_yieldable)
}

impl Slice {
    /// Whether the process that runs can be suspended here.
    ///
    /// # Safety
    ///
    /// `thread` must be the running thread of the state whose slice this is.
    pub(in super::super) unsafe fn can_suspend(&self, thread: *mut lua_State) -> bool {
        if !self.is_running() {
            return false;
        }
        // SAFETY: all of these run, so they are live.
        let is_yieldable = |thread| unsafe { ffi::lua_isyieldable(thread) != 0 };
        // A task that runs inside `task.spawn` waits alone.
        let alone = self.with_process(|process| process.starting()).flatten();
        for parent in self.running.to_vec().into_iter().rev() {
            if !is_yieldable(parent) {
                return false;
            }
            if alone == Some(parent) {
                return true;
            }
        }
        is_yieldable(thread) && is_yieldable(self.bottom.get())
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
        unsafe { self.break_innermost(thread) }
    }

    /// # Safety
    ///
    /// `thread` must be the running thread. If it cannot break, this throws.
    unsafe fn break_innermost(&self, thread: *mut lua_State) -> c_int {
        self.broken.clear();
        self.broken.push(thread);
        // SAFETY: by the contract.
        unsafe { ffi::lua_break(thread) }
    }

    /// Ends the slice of a process that is marked for kill, if it can be broken here. Returns what the calling C function
    /// has to return then. Otherwise the next safepoint will end it.
    ///
    /// # Safety
    ///
    /// `thread` must be the running thread of the state whose slice this is, in a C function with a continuation.
    pub(in super::super) unsafe fn stop(&self, thread: *mut lua_State) -> Option<c_int> {
        // SAFETY: by the contract.
        let can_break = unsafe { can_break(self, thread) };
        // SAFETY: by the contract, and it can.
        can_break.then(|| unsafe { self.break_innermost(thread) })
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
        unsafe { ffi::lua_break(parent) }
    }
}
