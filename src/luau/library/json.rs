//! `json.encode` and `json.decode`.
//!
//! | JSON | Luau |
//! |---|---|
//! | object | a table whose keys are strings. They are written in the order of their bytes |
//! | array | a table whose keys are 1 to its length, or that is empty |
//! | number | a number; one above 2^53 loses digits, as everywhere in Luau |
//! | null | nil: an element that is null leaves a hole, a member is not there. `json.null` is written as null |
//!
//! Nothing else is written: no functions, threads, vectors, buffers, no NaN, no text that is not UTF-8.

mod decode;
mod encode;

use std::ffi::CStr;

use super::call::{Call, Failure, Returned};
use crate::luau::stack::Stack;
use decode::Tape;
use encode::{BYTES_PROCESSED, Encoder, MAX_TEXT};

/// Where `json.null` is, in the registry.
const NULL: &CStr = c"bevy_luau_os.null";

/// Remembers `json.null` of the base.
pub(super) fn connect(stack: &mut Stack<'_>, base: i32) {
    stack.raw_get_field(base, c"json");
    stack.raw_get_field(-1, c"null");
    stack.register(NULL);
    stack.pop(1);
}

/// `json.encode(value, pretty?)`.
pub(super) fn encode(mut call: Call<'_>) -> Returned<'_> {
    call.any_argument(1)?;
    let is_pretty = call.boolean(2);
    call.resize(1);
    call.push_registered(NULL);
    let mut encoder = Encoder::new(is_pretty);
    let encoded = encoder.write(&mut call, 1);
    let (text, cost) = encoder.finish();
    call.charge_later(cost);
    match encoded {
        Ok(()) => {
            call.push_bytes(&text);
            drop(text);
            Ok(call.top_results(1))
        }
        Err(refusal) => Err(Failure::new(refusal.to_string())),
    }
}

/// `json.decode(text)`.
pub(super) fn decode(mut call: Call<'_>) -> Returned<'_> {
    call.string_argument(1)?;
    call.resize(1);
    let length = call.text(1).len();
    if length > MAX_TEXT {
        return Err(Failure::new(format!("the text has {length} bytes; the limit is {MAX_TEXT}")));
    }
    call.charge((length / BYTES_PROCESSED) as u64);
    let tape = call.on_thread_stack(|| Tape::read(call.text(1)));
    match tape {
        Ok(tape) => {
            tape.push(&mut call, 1);
            Ok(call.top_results(1))
        }
        Err(error) => Err(Failure::new(error.to_string())),
    }
}
