//! Host functions: from a script's call to a function of the game and back.

use std::ffi::CStr;

use super::call::{Answer, Answered, Call, Entry, Failure, Returned};
use super::wait::answered;
use crate::luau::host_functions::{Entry as HostKind, HostEntry, HostError, HostFunctions, Library};
use crate::luau::request::Request;
use crate::luau::slice::SliceEnd;
use crate::luau::stack::{Kind, Stack};
use crate::luau::transfer;
#[cfg(feature = "ecs")]
use crate::luau::world::WorldResults;
#[cfg(feature = "ecs")]
use crate::value::Column;
use crate::value::{Results, Value};

/// What scripts call, by whatever path.
const HOST_FUNCTION: Entry = Entry::new(c"", call);
const SYSCALL: Entry = Entry::waiting(c"", syscall, answered);
#[cfg(feature = "ecs")]
const WORLD_FUNCTION: Entry = Entry::new(c"", look);

/// Pushes a table with what is in a library of the game, tables in tables for paths with dots.
///
/// # Safety
///
/// `library` must live as long as the state.
pub(in crate::luau) unsafe fn push_library(stack: &mut Stack<'_>, library: &Library) {
    stack.push_table(0, 0);
    for host in library.functions() {
        let entry = match host.1 {
            HostKind::Function(_) => &HOST_FUNCTION,
            HostKind::Syscall(..) => &SYSCALL,
            #[cfg(feature = "ecs")]
            HostKind::World(_) => &WORLD_FUNCTION,
        };
        // SAFETY: by the contract.
        set(stack, &host.0, |stack| unsafe { stack.push_host_function(host, entry) });
    }
    for (path, constant) in library.constants() {
        set(stack, path, |stack| transfer::push(stack, constant));
    }
}

/// Sets what is behind a path from the table on top to a value that `push` pushes.
fn set(stack: &mut Stack<'_>, path: &CStr, push: impl FnOnce(&mut Stack<'_>)) {
    let bottom = stack.top();
    stack.push_value(bottom);
    let (folders, name) = split(path);
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
    push(stack);
    stack.raw_set(-3);
    stack.resize(bottom);
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
        Err(error) => Err(failure(&mut call, host, error)),
    }
}

/// Any syscall; which one is its upvalue.
fn syscall(mut call: Call<'_>) -> Answered<'_> {
    let Some(host) = call.host_entry() else { return Err(Failure::new("there is no such syscall")) };
    call.check_can_wait()?;
    let arguments = call.arguments()?;
    match call.on_thread_stack(|| HostFunctions::parse(host, arguments)) {
        Ok(request) => Ok(Answer::Wait(Request::External(request))),
        Err(error) => Err(failure(&mut call, host, error)),
    }
}

/// Any function that looks at the world; which one is its upvalue.
#[cfg(feature = "ecs")]
fn look(mut call: Call<'_>) -> Returned<'_> {
    let Some(host) = call.host_entry() else { return Err(Failure::new("there is no such function")) };
    let result = call.with_world(|world, caller, arguments, changes| {
        HostFunctions::look(host, world, caller, arguments, changes)
    });
    let Some(result) = result else {
        return Err(Failure::new("no VM reaches anything: the game has given none an `EcsAccess`"));
    };
    match result.map_err(|error| failure(&mut call, host, error))? {
        WorldResults::One(Value::Number(number)) => Ok(call.number_result(number)),
        WorldResults::One(value) => {
            call.push_copies([&value]);
            Ok(call.top_results(1))
        }
        WorldResults::Columns(columns) => {
            for column in &columns {
                call.charge_later(cost_of(column));
                transfer::push_column(&mut call, column);
            }
            Ok(call.top_results(columns.len() as u32))
        }
    }
}

/// What it takes to push a column, in safepoints.
#[cfg(feature = "ecs")]
fn cost_of(column: &Column) -> u64 {
    match column {
        Column::Values(values) => values.iter().map(transfer::cost).sum(),
        simple => simple.len() as u64,
    }
}

/// What a script is told. If the function, or its arguments' own code, has panicked, the process is killed.
#[cold]
fn failure(call: &mut Call<'_>, host: &HostEntry, error: HostError) -> Failure {
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
