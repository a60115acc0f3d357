//! `mailbox` and `signal`: what comes from other processes and from the game.

use super::call::{Answer, Answered, Call, Entry, Failure, Returned};
use crate::luau::mailbox::Message;
use crate::luau::request::Request;
use crate::luau::stack::Kind;
use crate::luau::threads::TaskId;

/// What [`connect`] returns. It has the number of the connection.
pub(super) static DISCONNECT: Entry = Entry::new(c"disconnect", disconnect);

/// Bytes of a signal's name.
const MAX_NAME: usize = 256;

/// `mailbox.poll()`: the oldest message and its sender, or nil.
pub(super) fn poll(mut call: Call<'_>) -> Returned<'_> {
    let Some((value, sender)) = take_message(&mut call) else { return Ok(call.nil()) };
    let count = call.push_copies([&value, &sender]);
    Ok(call.top_results(count))
}

/// `mailbox.receive(timeout?)`: the oldest message and its sender, or nil when the time has passed.
pub(super) fn receive(mut call: Call<'_>) -> Answered<'_> {
    let timeout = call.timeout(1)?;
    let Some((value, sender)) = take_message(&mut call) else {
        return Ok(Answer::Wait(Request::Receive { timeout }));
    };
    let count = call.push_copies([&value, &sender]);
    Ok(call.top_results(count).into())
}

fn take_message(call: &mut Call<'_>) -> Option<Message> {
    call.context()?.take_message()
}

/// `signal.wait(name, timeout?)`: the next signal's payload and true, or nil when the time has passed.
pub(super) fn wait(mut call: Call<'_>) -> Answered<'_> {
    let name = name(&call)?;
    let timeout = call.timeout(2)?;
    let Some(signal) = call.context().and_then(|context| context.take_signal(&name)) else {
        return Ok(Answer::Wait(Request::Signal { name, timeout }));
    };
    let count = call.push_copies([&signal.payload, &true.into()]);
    Ok(call.top_results(count).into())
}

/// `signal.connect(name, function)`: calls a function, as a task of its own, for each signal with that name.
/// Returns a function that ends that.
pub(super) fn connect(mut call: Call<'_>) -> Returned<'_> {
    let name = name(&call)?;
    if call.kind(2) != Kind::FUNCTION {
        return Err(call.wrong(2, 2, "function"));
    }
    let id = call.new_connection(2)?;
    call.connect(id, &name);
    call.push_number(id.into());
    call.push_closure(&DISCONNECT, 1);
    Ok(call.top_results(1))
}

/// What [`connect`] returned. It has the number of a connection of this process: functions do not leave it.
fn disconnect(mut call: Call<'_>) -> Returned<'_> {
    let id = call.number_in_upvalue().unwrap_or_default() as TaskId;
    // Numbers are not used twice.
    if call.tasks().is_some_and(|tasks| tasks.connections.remove(&id)) {
        call.release_anchor(id);
        if let Some(context) = call.context() {
            context.disconnect(id);
        }
    }
    Ok(call.nothing())
}

/// The name of a signal, the first argument.
fn name(call: &Call<'_>) -> Result<Box<[u8]>, Failure> {
    let name = call.bytes(1).filter(|name| name.len() <= MAX_NAME);
    name.map(Into::into).ok_or_else(|| call.wrong(1, 1, &format!("a name of at most {MAX_NAME} bytes")))
}
