//! `task.spawn`, `task.defer`, `task.delay`, `task.cancel`, `task.join`: more than one thing at a time in one process.

use super::call::{Answer, Answered, Call, Failure, Returned, Spawned};
use crate::luau::request::Request;
use crate::luau::slice::ThreadState;
use crate::luau::stack::Kind;
use crate::luau::threads::Plan;

/// `task.spawn(function or thread, ...)`: runs it until it waits or ends, then goes on. Returns the thread.
pub(super) fn spawn(mut call: Call<'_>) -> Answered<'_> {
    match call.run_task()? {
        Spawned::Preempted => Ok(Answer::Break),
        Spawned::Stopped => returned(call),
    }
}

/// The continuation of [`spawn`], called when a task that was preempted there has gone on to wait or end. Its thread
/// has been on the stack since it was made.
pub(super) fn spawned(mut call: Call<'_>) -> Answered<'_> {
    call.task_stopped();
    returned(call)
}

fn returned(mut call: Call<'_>) -> Answered<'_> {
    call.resize(1);
    Ok(call.top_results(1).into())
}

/// `task.defer(function or thread, ...)`: runs it when the running task, and those that are ready before it,
/// have waited or ended. Returns the thread.
pub(super) fn defer(mut call: Call<'_>) -> Returned<'_> {
    call.schedule_task(1, Plan::Ready)?;
    Ok(call.top_results(1))
}

/// `task.delay(seconds, function or thread, ...)`: runs it after that much virtual time. Returns the thread.
pub(super) fn delay(mut call: Call<'_>) -> Returned<'_> {
    let time = call.seconds(1)?;
    call.remove(1);
    call.delay_task(2, time)?;
    Ok(call.top_results(1))
}

/// `task.cancel(thread)`: ends a thread that does not run, wherever it waits.
pub(super) fn cancel(mut call: Call<'_>) -> Returned<'_> {
    if call.thread_at(1).is_none() {
        return Err(call.wrong(1, 1, "thread"));
    }
    if !call.cancel_thread(1) {
        return Err(Failure::new("cannot cancel a thread that runs"));
    }
    Ok(call.nothing())
}

/// `task.join(thread, timeout?)`: waits for the end of a thread. Returns how it ended.
pub(super) fn join(mut call: Call<'_>) -> Answered<'_> {
    let Some(thread) = call.thread_at(1) else { return Err(call.wrong(1, 1, "thread")) };
    if thread.address() == call.thread() {
        return Err(Failure::new("a thread cannot wait for its own end"));
    }
    let timeout = call.timeout(2)?;
    if call.thread_state(1) != Some(ThreadState::Dead) {
        return Ok(Answer::WaitWithFirst(Request::Join { timeout }));
    }
    // Its results are gone.
    call.push_bytes(b"finished");
    let at = call.top();
    let mut results = 1;
    if call.push_error_of(1) {
        call.push_bytes(b"failed");
        call.replace(at);
        results = 2;
    }
    Ok(call.top_results(results).into())
}

/// The continuation of [`join`], which has left the thread. How that ended, and with what, is above it.
pub(super) fn joined(mut call: Call<'_>) -> Answered<'_> {
    if call.top() < 2 {
        call.take_reply(); // of a timeout
        return Ok(call.nil().into());
    }
    let how: &[u8] = match call.kind(2) {
        Kind::BOOLEAN if call.boolean(2) => b"finished",
        Kind::BOOLEAN => b"failed",
        _ => b"cancelled",
    };
    call.push_bytes(how);
    call.replace(2);
    let results = call.top() - 1;
    Ok(call.top_results(results.unsigned_abs()).into())
}
