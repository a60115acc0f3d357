//! `debug.info`: what is known of a process's own functions and threads, and nothing of ours.

use super::call::{Call, Entry, Failure, Returned};
use super::{Replacement, replacement};
use crate::luau::stack::Kind;

/// What it is called, and where.
pub(super) const REPLACEMENTS: &[Replacement] = &[replacement(c"debug", Entry::new(c"info", info))];

/// Options that Luau knows: each may be given once.
const MAX_OPTIONS: usize = 16;

/// How the code that is not a script's is shown. Parts of our library are written in Luau, and have this for a name.
const NOT_A_SCRIPT: &[u8] = b"[C]";

/// `debug.info([thread,] function or level, options)`. It gives no function that the script did not write or name: what
/// runs between its own functions may be ours.
fn info(mut call: Call<'_>) -> Returned<'_> {
    let level_at = if call.kind(1) == Kind::THREAD { 2 } else { 1 };
    let options_at = level_at + 1;
    call.resize(options_at);
    let is_level = call.kind(level_at) == Kind::NUMBER || call.kind(level_at) == Kind::STRING;
    let function_at = function_result(&call, options_at)?;
    let Some(function_at) = function_at.filter(|_| is_level) else { return Ok(call.original_results()) };
    call.push_value(options_at);
    call.push_bytes(b"s");
    call.replace(options_at);
    let top = call.top();
    let is_ours = call.call_original() == 0 || call.bytes(-1) == Some(NOT_A_SCRIPT);
    call.resize(top);
    call.replace(options_at);
    let results = call.call_original();
    if is_ours && results > 0 {
        let first = call.top() - results + 1;
        call.push_nil();
        call.replace(first + function_at);
    }
    Ok(call.top_results(results.unsigned_abs()))
}

/// Which of the results is a function, from 0 on, if one is.
fn function_result(call: &Call<'_>, options_at: i32) -> Result<Option<i32>, Failure> {
    let Some(options) = call.bytes(options_at) else { return Ok(None) };
    if options.len() > MAX_OPTIONS {
        return Err(Failure::argument(options_at, "invalid option"));
    }
    let Some(at) = options.iter().position(|&option| option == b'f') else { return Ok(None) };
    let before = options[..at].iter().map(|&option| if option == b'a' { 2 } else { 1 });
    Ok(Some(before.sum()))
}
