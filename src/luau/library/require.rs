//! `require(specifier)`: modules, found when the script was loaded.

use std::ffi::CString;
use std::time::Duration;

use super::call::{Answer, Answered, Call, Failure};
use crate::luau::records::{INSTANCES, LINKS, push_record};
use crate::luau::request::Request;
use crate::luau::stack::Kind;

/// Where [`require`] has the main function of the module on its stack.
const MAIN_FUNCTION: i32 = 5;
/// Where it has the table of instances.
const INSTANCES_AT: i32 = 6;

/// Modules run as code of the process that requires them: preempted, and within its limits.
pub(super) fn require(mut call: Call<'_>) -> Answered<'_> {
    call.string_argument(1)?;
    call.resize(1);
    let Some(caller) = requiring_script(&call) else {
        return Err(failure(&call, "require must be called by a script's own code"));
    };
    if !push_record(&mut call) || call.raw_get_field(2, LINKS) != Kind::TABLE {
        let why =
            "the script has no modules: it is no asset and was given none, or the path is no string literal";
        return Err(failure(&call, why));
    }
    // Stack: specifier, record, links.
    let knows_caller = call.raw_get_field(3, &caller) == Kind::TABLE;
    if knows_caller {
        call.push_value(1);
    }
    let found = if knows_caller { call.raw_get(4) } else { Kind::NIL };
    if found == Kind::STRING {
        let why = String::from_utf8_lossy(call.text(MAIN_FUNCTION)).into_owned();
        return Err(failure(&call, &why));
    }
    if found != Kind::FUNCTION {
        let why = "modules are found when a script is loaded, so the path must be a string literal";
        return Err(failure(&call, why));
    }
    // Stack: specifier, record, links, links of the caller, main function.
    if call.raw_get_field(2, INSTANCES) != Kind::TABLE {
        call.pop(1);
        call.push_table(0, 1);
        call.push_value(-1);
        call.raw_set_field(2, INSTANCES);
    }
    call.push_value(MAIN_FUNCTION);
    match call.raw_get(INSTANCES_AT) {
        Kind::NIL => {}
        Kind::TABLE => {
            call.raw_get_element(-1, 1);
            return Ok(call.top_results(1).into());
        }
        _ if call.runs_elsewhere(-1, MAIN_FUNCTION) => {
            // Another task loads it and waits. There is nothing that tells when it is done, so this looks in each tick.
            return Ok(Answer::WaitWithFirst(Request::Sleep(Duration::ZERO)));
        }
        _ => return Err(failure(&call, "the module has failed before")),
    }
    call.resize(INSTANCES_AT);
    call.push_value(MAIN_FUNCTION);
    call.push_own_thread();
    call.raw_set(INSTANCES_AT);
    // A function of the process: with its globals.
    call.push_clone(MAIN_FUNCTION);
    Ok(Answer::Call { arguments: 0, results: None })
}

/// When a module's main function has returned: the results are above what [`require`] left. Or when another task may
/// have loaded it.
pub(super) fn required(mut call: Call<'_>) -> Answered<'_> {
    if call.top() == 1 {
        return require(call);
    }
    if call.top() != INSTANCES_AT + 1 {
        return Err(failure(&call, "the module must return exactly one value"));
    }
    call.push_value(MAIN_FUNCTION);
    // Not the value itself: it may be nil.
    call.push_table(1, 0);
    call.push_value(INSTANCES_AT + 1);
    call.raw_set_element(-2, 1);
    call.raw_set(INSTANCES_AT);
    Ok(call.top_results(1).into())
}

/// What is wrong with the module whose name is the first argument.
fn failure(call: &Call<'_>, why: &str) -> Failure {
    Failure::text(format!("require(\"{}\"): {why}", String::from_utf8_lossy(call.text(1))))
}

/// The chunk name of the script that called `require`.
fn requiring_script(call: &Call<'_>) -> Option<CString> {
    // The first frame is `require`'s; then there may be that of `pcall` or the like.
    for level in 1.. {
        let source = call.frame(level, |frame| (frame.what != c"C").then(|| frame.source.to_owned()))?;
        if source.is_some() {
            return source;
        }
    }
    None
}
