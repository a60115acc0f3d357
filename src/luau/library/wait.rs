//! Functions that wait, and how they go on.
//!
//! They yield, so whoever has resumed the thread goes on. When the scheduler resumes it, the continuation takes the
//! reply that it got. Where a script resumes it before that, the wait returns the values that it is resumed with,
//! without its continuation (`trampoline.rs`).

use super::call::{Answer, Answered, Call, Failure};
use crate::luau::request::Request;

/// `task.wait(seconds?)`: until that much virtual time has passed; at least until the next tick. Returns
/// how long it really was.
pub(super) fn task_wait(call: Call<'_>) -> Answered<'_> {
    let time = call.seconds(1)?;
    Ok(Answer::Wait(Request::Sleep(time)))
}

/// The continuation of [`task_wait`]. When it began is on the stack.
pub(super) fn slept(mut call: Call<'_>) -> Answered<'_> {
    let began = call.number(1).unwrap_or_default();
    let now = call.context().map_or(began, |context| context.now());
    Ok(call.number_result(now - began).into())
}

/// The continuation of all functions that wait for an answer.
pub(super) fn answered(mut call: Call<'_>) -> Answered<'_> {
    match call.take_reply() {
        None => Ok(call.nothing().into()),
        Some(Ok(values)) => {
            let count = call.push_copies(&values);
            Ok(call.top_results(count).into())
        }
        Some(Err(message)) => Err(Failure::new(message)),
    }
}
