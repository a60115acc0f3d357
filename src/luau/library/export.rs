//! `host.export`: what the game can call. `host.get`: what it lets scripts read.

use super::call::{Call, Returned};
use crate::luau::stack::Kind;
use crate::luau::threads::TaskId;

/// Bytes of the name of an exported function.
const MAX_NAME: usize = 256;

/// `host.export(name, function?)`: lets the game call a function by a name, until the process exports another one with
/// that name, or nil.
pub(super) fn export(mut call: Call<'_>) -> Returned<'_> {
    let name = call.bytes(1).filter(|name| name.len() <= MAX_NAME).map(std::str::from_utf8);
    let Some(Ok(name)) = name else {
        return Err(call.wrong(1, 1, &format!("a name of at most {MAX_NAME} bytes")));
    };
    let name = name.to_owned();
    let old = match call.kind(2) {
        Kind::FUNCTION => {
            let anchor = call.new_connection(2)?;
            call.context().and_then(|context| context.export(&name, anchor))
        }
        Kind::NIL => call.context().and_then(|context| context.take_export(&name)),
        _ => return Err(call.wrong(2, 2, "function or nil")),
    };
    if let Some(old) = old {
        release(&mut call, old);
    }
    Ok(call.nothing())
}

fn release(call: &mut Call<'_>, anchor: TaskId) {
    if call.tasks().is_some_and(|tasks| tasks.connections.remove(&anchor)) {
        call.release_anchor(anchor);
    }
}

/// `host.get(name)`: a copy of what the game has published under a name, or nil.
pub(super) fn get(mut call: Call<'_>) -> Returned<'_> {
    let Some(Ok(name)) = call.bytes(1).map(std::str::from_utf8) else {
        return Err(call.wrong(1, 1, "name"));
    };
    let name = name.to_owned();
    let Some(value) = call.context().and_then(|context| context.published(&name)) else {
        return Ok(call.nil());
    };
    let count = call.push_copies([&*value]);
    Ok(call.top_results(count))
}
