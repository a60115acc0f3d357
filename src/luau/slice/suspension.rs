//! Breaking a process from inside: where it can be done, and for functions that wait.

use std::ffi::c_int;

use mlua::ffi::{self, lua_State};

use super::{SLICE, Slice, with_process};

/// Whether `thread` and every thread that waits for it can be broken. If a parent cannot, `lua_break`
/// would throw there and leave the child broken for ever.
///
/// # Safety
///
/// `thread` must be the thread that runs in `slice`, on this operating-system thread.
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
/// `slice` must be that of this operating-system thread, and run.
#[cold]
unsafe fn can_break_parents(slice: &Slice) -> bool {
    // SAFETY: by the contract all of these threads run, so they are live.
    let is_yieldable = |thread| unsafe { ffi::lua_isyieldable(thread) != 0 };
    is_yieldable(slice.bottom.get()) && slice.running.iter().all(is_yieldable)
}

/// Whether the process that runs on this operating-system thread can be suspended here.
///
/// # Safety
///
/// `thread` must be the running thread.
pub(in super::super) unsafe fn can_suspend(thread: *mut lua_State) -> bool {
    // A task that runs inside `task.spawn` waits alone.
    let alone = with_process(|process| process.starting()).flatten();
    SLICE.with(|slice| {
        if !slice.is_running() {
            return false;
        }
        for parent in slice.running.iter().rev() {
            // SAFETY: it runs, so it is live.
            if unsafe { ffi::lua_isyieldable(parent) } == 0 {
                return false;
            }
            if alone == Some(parent) {
                return true;
            }
        }
        // SAFETY: by the contract, and both run.
        unsafe { ffi::lua_isyieldable(thread) != 0 && ffi::lua_isyieldable(slice.bottom.get()) != 0 }
    })
}

/// Ends the slice that runs on this operating-system thread: the process waits. Returns what the calling C
/// function has to return; its continuation is called when the process is resumed.
///
/// # Safety
///
/// `thread` must be the running thread, in a C function with a continuation, and [`can_suspend`] it.
pub(in super::super) unsafe fn suspend(thread: *mut lua_State) -> c_int {
    SLICE.with(|slice| {
        slice.waits.set(true);
        slice.took_slow_path.set(true);
        slice.broken.clear();
        slice.broken.push(thread);
        // SAFETY: by the contract; it can be broken, so this does not throw.
        unsafe { ffi::lua_break(thread) }
    })
}

/// Ends the slice of a process that is condemned: at once where it can be broken, otherwise by an error.
/// Returns what the calling C function has to return.
///
/// # Safety
///
/// `thread` must be the running thread, in a C function with a continuation. The frames between it and
/// Luau must hold nothing that needs dropping: this may throw.
pub(in super::super) unsafe fn stop(thread: *mut lua_State) -> c_int {
    SLICE.with(|slice| {
        // SAFETY: by the contract.
        unsafe {
            if can_break(slice, thread) {
                slice.broken.clear();
                slice.broken.push(thread);
                ffi::lua_break(thread)
            } else {
                ffi::lua_pushliteral(thread, c"process was ended in code that cannot be preempted");
                ffi::lua_error(thread)
            }
        }
    })
}

/// What the task that was started on this operating-system thread did: `Some` if it waits, with the threads of
/// its break, innermost first.
pub(in super::super) fn take_wait() -> Option<Vec<*mut lua_State>> {
    SLICE.with(|slice| slice.waits.replace(false).then(|| slice.broken.iter().collect()))
}

/// The running C function breaks because the task that it started has broken.
///
/// # Safety
///
/// `parent` must be the running thread, in a C function with a continuation, and be able to break.
pub(in super::super) unsafe fn break_with_child(parent: *mut lua_State) -> c_int {
    SLICE.with(|slice| slice.parent_breaks(parent));
    // SAFETY: by the contract.
    unsafe { ffi::lua_break(parent) }
}
