//! Host functions: from a script's call to a function of the game and back.

use std::ffi::CStr;

use super::call::{Answer, Answered, Call, Entry, Failure, Returned};
use super::wait::answered;
use crate::luau::host_functions::{HostEntry, HostError, HostFunctions};
#[cfg(feature = "save")]
use crate::luau::request::Again;
use crate::luau::request::{ExternalRequest, Request};
use crate::luau::slice::SliceEnd;
use crate::luau::stack::{Kind, Stack};
use crate::luau::transfer;
use crate::value::{Results, Value};

/// What scripts call, by whatever path.
const HOST_FUNCTION: Entry = Entry::new(c"", call);
const SYSCALL: Entry = Entry::waiting(c"", syscall, answered);

/// Pushes a table with all host functions, tables in tables for paths with dots.
///
/// # Safety
///
/// `functions` must live as long as the state.
pub(in crate::luau) unsafe fn push_all(stack: &mut Stack<'_>, functions: &HostFunctions) {
    stack.push_table(0, 0);
    let bottom = stack.top();
    for host in functions.entries() {
        stack.push_value(bottom);
        let (folders, name) = split(&host.0);
        for folder in folders {
            stack.push_bytes(folder);
            if stack.raw_get(-2) != Kind::TABLE {
                stack.pop(1);
                stack.push_table(0, 0);
                stack.push_bytes(folder);
                stack.push_value(-2);
                stack.raw_set(-4);
            }
            stack.replace(-2);
        }
        stack.push_bytes(name);
        let entry = if host.1.is_syscall() { &SYSCALL } else { &HOST_FUNCTION };
        // SAFETY: by the contract.
        unsafe { stack.push_host_function(host, entry) };
        stack.raw_set(-3);
        stack.resize(bottom);
    }
}

/// The names of the tables of a path, and that of the function in the last one.
fn split(path: &CStr) -> (impl Iterator<Item = &[u8]>, &[u8]) {
    let path = path.to_bytes();
    let name_at = path.iter().rposition(|&byte| byte == b'.').map_or(0, |dot| dot + 1);
    let folders = path[..name_at].split(|&byte| byte == b'.').filter(|folder| !folder.is_empty());
    (folders, &path[name_at..])
}

/// Any host function; which one is its upvalue.
fn call(mut call: Call<'_>) -> Returned<'_> {
    let Some(host) = call.host_entry() else { return Err(Failure::new("there is no such function")) };
    match call.with_arguments(|arguments| HostFunctions::call(host, arguments)) {
        Ok(Results::One(Value::Number(number))) => Ok(call.number_result(number)),
        Ok(Results::One(value)) => {
            call.push_copies([&value]);
            Ok(call.top_results(1))
        }
        Ok(Results::Several(values)) => {
            let count = call.push_copies(&values);
            Ok(call.top_results(count))
        }
        Err(error) => Err(failure(call, host, error)),
    }
}

/// Any syscall; which one is its upvalue.
fn syscall(mut call: Call<'_>) -> Answered<'_> {
    let Some(host) = call.host_entry() else { return Err(Failure::new("there is no such syscall")) };
    call.check_can_wait()?;
    let arguments = call.arguments()?;
    #[cfg(feature = "save")]
    let again = Some(Box::new(Again { arguments: arguments.clone(), repeats: host.1.is_repeated() }));
    match call.on_thread_stack(|| HostFunctions::parse(host, arguments)) {
        Ok((number, args)) => Ok(Answer::Wait(Request::External(ExternalRequest::Syscall {
            number,
            args,
            #[cfg(feature = "save")]
            again,
        }))),
        Err(error) => Err(failure(call, host, error)),
    }
}

/// What a script is told. If the function, or its arguments' own code, has panicked, the process is killed.
#[cold]
fn failure(mut call: Call<'_>, host: &HostEntry, error: HostError) -> Failure {
    match error {
        HostError::Error(message) => Failure::new(message),
        HostError::Panic(message) => {
            call.mark_for_kill(SliceEnd::HostPanicked);
            if let Some(context) = call.context() {
                let message = transfer::bounded(&message, transfer::MAX_MESSAGE).to_owned();
                context.host_panic = Some((host.0.to_string_lossy().into_owned(), message));
            }
            Failure::new("it panicked")
        }
    }
}
