//! Resuming the threads of a process until its slice is over.

use std::ffi::c_int;
use std::ptr;

use mlua::ffi::{self, lua_State};

use super::Slice;
use super::report::{SliceEnd, SliceReport};
use crate::luau::shared::OwnThread;
use crate::luau::threads::{Next, ProcessThread, Resumption};

/// Runs one slice of the process that is ready, which has one thread, without arguments.
///
/// # Safety
///
/// [`Slice::ready`] must have been called, and `thread` be that thread.
#[inline]
pub(super) unsafe fn run_only(slice: &Slice, thread: *mut lua_State) -> SliceReport {
    debug_assert!(!slice.is_running() && slice.is_at_rest(), "the last slice has left something");
    slice.bottom.set(thread);
    // SAFETY: by the contract.
    let status = unsafe { resume(thread, thread, 0) };
    if status == ffi::LUA_BREAK && !slice.took_slow_path.get() {
        slice.bottom.set(ptr::null_mut());
        return SliceReport { safepoints: (slice.fuel.used() - 1) as u64, outcome: None };
    }
    // SAFETY: handed on from this function's contract.
    unsafe { run_on(slice, Some((thread, status))) }
}

/// Runs one slice of the process that is ready.
///
/// # Safety
///
/// [`Slice::ready`] must have been called, and the process not be parked.
#[cold]
pub(super) unsafe fn run(slice: &Slice) -> SliceReport {
    debug_assert!(!slice.is_running() && slice.is_at_rest(), "the last slice has left something");
    slice.with_kept_process(ProcessThread::begin_slice);
    // SAFETY: handed on from this function's contract.
    unsafe { run_on(slice, None) }
}

/// Runs a thread of a process outside of its slices, for so many safepoints. Returns its status. What it has not done
/// by then is not to be done: it can be neither broken nor parked where it calls a function that is not a script's.
///
/// # Safety
///
/// As for [`Slice::ready`]. `thread` must be live and new, with a function of Luau's or ours and so many arguments.
pub(in super::super) unsafe fn run_aside(
    slice: &Slice,
    process: *mut ProcessThread,
    thread: *mut lua_State,
    arguments: c_int,
    quantum: u32,
) -> c_int {
    debug_assert!(!slice.is_running() && slice.is_at_rest(), "the last slice has left something");
    // SAFETY: by the contract.
    unsafe { slice.ready(process, quantum) };
    slice.fuel.refill(i64::from(quantum) + 1);
    slice.yielder.set(ptr::null());
    slice.bottom.set(thread);
    // SAFETY: by the contract.
    let status = unsafe { resume(thread, thread, arguments) };
    slice.bottom.set(ptr::null_mut());
    slice.broken.clear();
    slice.rest();
    status
}

/// Resumes a thread with arguments that are on its stack. `from` passes the depth of C calls on. Returns its status
/// when it has stopped.
///
/// # Safety
///
/// `thread` must be live, and not running: new, broken, or have yielded. `from` must be a thread or null.
#[inline]
unsafe fn resume(thread: *mut lua_State, from: *mut lua_State, arguments: c_int) -> c_int {
    // SAFETY: by the contract. Luau catches every error inside `lua_resume`, and our callbacks do not panic.
    unsafe { ffi::lua_resume_(thread, from, arguments) }
}

/// Resumes what is next of the process. A thread that has broken still holds the depth at which it was first resumed,
/// so naming itself keeps Luau's limit on nested resumes where it is in an uninterrupted run. One that has yielded
/// holds the depth of whoever resumed it before, and has nobody below it now.
///
/// # Safety
///
/// As for [`resume`].
unsafe fn resume_next(slice: &Slice, next: &Resumption) -> c_int {
    // SAFETY: by the contract.
    let own = unsafe { OwnThread::new(next.thread) };
    own.wakes(next.by_script);
    slice.bottom.set(next.thread);
    let from = if own.is_broken() { next.thread } else { ptr::null_mut() };
    // SAFETY: by the contract.
    unsafe { resume(next.thread, from, next.arguments) }
}

/// The rest of a slice whose process has more than one thread to resume, or did more than use up its quantum.
/// `stopped` is the thread that has been resumed, if one has, and its status.
///
/// # Safety
///
/// As for [`run`].
#[inline(never)]
unsafe fn run_on(slice: &Slice, mut stopped: Option<(*mut lua_State, c_int)>) -> SliceReport {
    let end = loop {
        // The process is not kept from one resume to the next: while it was parked, it may have been moved.
        let next = match stopped.take() {
            // SAFETY: by the contract; it is the one that was resumed.
            Some((thread, status)) => match unsafe { after_stop(slice, thread, status) } {
                Ok(next) => next,
                Err(end) => break end,
            },
            None => {
                match slice.with_process_of_slice(|process| process.next().ok_or_else(|| process.idle())) {
                    Err(next) => next,
                    Ok(next) => {
                        // SAFETY: its thread is live: it is the root of the process or of a task, which are anchored,
                        // or a coroutine that its parent in the chain keeps alive. It can be resumed: it is new, has
                        // yielded or is broken, and belongs to nobody but us.
                        stopped = Some((next.thread, unsafe { resume_next(slice, &next) }));
                        continue;
                    }
                }
            }
        };
        match next {
            Next::Continue | Next::TaskFailed => {}
            Next::Yielded => break SliceEnd::Yielded,
            Next::Wait => break SliceEnd::Waiting,
            Next::Returned => break SliceEnd::Returned,
            Next::Failed => break SliceEnd::Failed,
        }
    };
    slice.bottom.set(ptr::null_mut());
    let is_preempted = end == SliceEnd::Preempted;
    let outcome = (!is_preempted || slice.has_outcome.get()).then_some(end);
    slice.rest();
    SliceReport { safepoints: (slice.fuel.used() - i64::from(is_preempted)) as u64, outcome }
}

/// What follows when the thread that was resumed has stopped with `status`. `Err` is the end of the slice.
///
/// # Safety
///
/// As for [`run`]; `thread` must be the thread of `process` that was resumed.
unsafe fn after_stop(slice: &Slice, thread: *mut lua_State, status: c_int) -> Result<Next, SliceEnd> {
    // What this break leaves must not get into the chain of the next, which may be another process's.
    let broken = slice.broken.take();
    if let Some(end) = slice.marked_for_kill.take() {
        return Err(end);
    }
    slice.running.clear();
    if status == ffi::LUA_BREAK {
        slice.with_process_of_slice(|process| process.splice(&broken));
        return Err(SliceEnd::Preempted);
    }
    let waits = slice.waits.replace(false);
    // SAFETY: by the contract.
    let next = slice.with_process_of_slice(|process| unsafe { process.stopped(thread, status, waits) });
    if matches!(next, Next::TaskFailed) {
        // SAFETY: by the contract. It was let go of just now, and nothing has been collected since.
        unsafe { OwnThread::new(thread) }.task_failed();
        if let Some(end) = slice.marked_for_kill.take() {
            return Err(end);
        }
    }
    Ok(next)
}
