//! Functions that wait, and how they go on.
//!
//! They break the running thread, as the interrupt does, so they work inside nested coroutines and
//! protected calls. When the process is resumed, the continuation takes the reply that its task got.

use super::call::{Answer, Answered, Call, Failure};
use crate::luau::request::Request;

/// `task.wait(seconds?)`: until that much virtual time has passed; at least until the next tick. Returns
/// how long it really was.
pub(super) fn task_wait(mut call: Call<'_>) -> Answered<'_> {
    let time = call.seconds(1)?;
    let now = call.context().map_or(0.0, |context| context.now);
    call.resize(0);
    call.push_number(now);
    Ok(Answer::Wait(Request::Sleep(time)))
}

/// The continuation of [`task_wait`], which has left the time.
pub(super) fn slept(mut call: Call<'_>) -> Answered<'_> {
    let began = call.number(1).unwrap_or_default();
    let now = call.context().map_or(began, |context| context.now);
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
