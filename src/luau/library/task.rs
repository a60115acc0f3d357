//! `task.spawn`, `task.defer`, `task.delay`, `task.cancel`: more than one thing at a time in one process.

use super::call::{Answer, Answered, Call, Failure, Returned, Spawned};
use crate::luau::request::Request;

/// `task.spawn(function or thread, ...)`: runs it until it waits or ends, then goes on. Returns the thread.
pub(super) fn spawn(mut call: Call<'_>) -> Answered<'_> {
    let task = call.new_task(1)?;
    match call.run_task(&task) {
        Spawned::Preempted => Ok(Answer::Break),
        Spawned::Stopped => spawned(call),
    }
}

/// The continuation of [`spawn`], called when a task that was preempted there has gone on to wait or end. Its thread has
/// been on the stack since it was made.
pub(super) fn spawned(mut call: Call<'_>) -> Answered<'_> {
    call.resize(1);
    Ok(call.top_results(1).into())
}

/// `task.defer(function or thread, ...)`: runs it when the running task, and those that are ready before it,
/// have waited or ended. Returns the thread.
pub(super) fn defer(mut call: Call<'_>) -> Returned<'_> {
    let task = call.new_task(1)?;
    if let Some(tasks) = call.tasks() {
        tasks.push_ready(task);
    }
    Ok(call.top_results(1))
}

/// `task.delay(seconds, function or thread, ...)`: runs it after that much virtual time. Returns the thread.
pub(super) fn delay(mut call: Call<'_>) -> Returned<'_> {
    let time = call.seconds(1)?;
    call.remove(1);
    let task = call.new_task(2)?;
    let id = task.id();
    if let Some(tasks) = call.tasks() {
        tasks.push_waiting(task);
    }
    call.request(id, Request::Sleep(time));
    Ok(call.top_results(1))
}

/// `task.cancel(thread)`: ends a task that does not run, wherever it waits, or closes a coroutine.
pub(super) fn cancel(mut call: Call<'_>) -> Returned<'_> {
    if call.thread_at(1).is_none() {
        return Err(call.wrong(1, 1, "thread"));
    }
    if !call.cancel_thread(1) {
        return Err(Failure::new("cannot cancel a thread that runs, or the main chunk"));
    }
    Ok(call.nothing())
}
