//! Resuming the threads of a process until its slice is over.

use std::ffi::c_int;
use std::ptr;

use mlua::ffi;

use super::Slice;
use super::report::{SliceEnd, SliceReport};
use crate::luau::thread::Anchored;
use crate::luau::threads::{Next, ProcessThread, Resumption};

/// Runs one slice of the process that is [ready](Slice::ready), which has one thread, without arguments.
#[inline]
pub(super) fn run_only(slice: &Slice, thread: Anchored) -> SliceReport {
    debug_assert!(!slice.is_running() && slice.is_at_rest(), "the last slice has left something");
    slice.bottom.set(thread.address());
    let status = thread.get().resume(Some(thread.get()), 0);
    if status == ffi::LUA_BREAK && !slice.took_slow_path.get() {
        slice.bottom.set(ptr::null_mut());
        slice.began.set(None);
        return SliceReport { safepoints: (slice.fuel.used() - 1) as u64, outcome: None };
    }
    run_on(slice, Some((thread, status)))
}

/// Runs one slice of the process that is [ready](Slice::ready) and not parked.
#[cold]
pub(super) fn run(slice: &Slice) -> SliceReport {
    debug_assert!(!slice.is_running() && slice.is_at_rest(), "the last slice has left something");
    slice.with_kept_process(ProcessThread::begin_slice);
    run_on(slice, None)
}

/// Runs a thread of a process outside of its slices, for so many safepoints. Returns its status. What it has not done
/// by then is not to be done: it can be neither broken nor parked where it calls a function that is not a script's.
///
/// # Safety
///
/// As for [`Slice::ready`].
pub(in super::super) unsafe fn run_aside(
    slice: &Slice,
    process: *mut ProcessThread,
    thread: Anchored,
    arguments: c_int,
    quantum: u32,
) -> c_int {
    debug_assert!(!slice.is_running() && slice.is_at_rest(), "the last slice has left something");
    // SAFETY: by the contract.
    unsafe { slice.ready(process, quantum) };
    slice.fuel.refill(i64::from(quantum) + 1);
    slice.yielder.set(ptr::null());
    slice.bottom.set(thread.address());
    let status = thread.get().resume(Some(thread.get()), arguments);
    slice.bottom.set(ptr::null_mut());
    slice.broken.clear();
    slice.rest();
    status
}

/// Resumes what is next of the process. A thread that has broken still holds the depth at which it was first resumed,
/// so naming itself keeps Luau's limit on nested resumes where it is in an uninterrupted run. One that has yielded
/// holds the depth of whoever resumed it before, and has nobody below it now.
fn resume_next(slice: &Slice, next: &Resumption) -> c_int {
    let thread = next.thread.get();
    thread.wakes(next.by_script);
    slice.bottom.set(thread.address());
    thread.resume(thread.is_broken().then_some(thread), next.arguments)
}

/// The rest of a slice whose process has more than one thread to resume, or did more than use up its quantum.
/// `stopped` is the thread that has been resumed, if one has, and its status.
#[inline(never)]
fn run_on(slice: &Slice, mut stopped: Option<(Anchored, c_int)>) -> SliceReport {
    let end = loop {
        // The process is not kept from one resume to the next: while it was parked, it may have been moved.
        let next = match stopped.take() {
            Some((thread, status)) => match after_stop(slice, thread, status) {
                Ok(next) => next,
                Err(end) => break end,
            },
            None => {
                match slice.with_process_of_slice(|process| process.next().ok_or_else(|| process.idle())) {
                    Err(next) => next,
                    Ok(next) => {
                        stopped = Some((next.thread, resume_next(slice, &next)));
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
fn after_stop(slice: &Slice, thread: Anchored, status: c_int) -> Result<Next, SliceEnd> {
    // What this break leaves must not get into the chain of the next, which may be another process's.
    let broken = slice.broken.take();
    if let Some(end) = slice.marked_for_kill.take() {
        return Err(end);
    }
    slice.running.clear();
    if status == ffi::LUA_BREAK {
        // SAFETY: each is on the stack of the one below it, as long as both are in the chain.
        let kept = |thread| unsafe { Anchored::new(thread) };
        let broken: Vec<Anchored> = broken.into_iter().map(kept).collect();
        slice.with_process_of_slice(|process| process.splice(&broken));
        return Err(SliceEnd::Preempted);
    }
    let waits = slice.waits.replace(false);
    let next = slice.with_process_of_slice(|process| process.stopped(thread.get(), status, waits));
    if matches!(next, Next::TaskFailed) {
        thread.get().task_failed(); // nothing has been collected since it was let go of
        if let Some(end) = slice.marked_for_kill.take() {
            return Err(end);
        }
    }
    Ok(next)
}
