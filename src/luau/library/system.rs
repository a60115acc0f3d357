//! `process`: the script's side of the other processes of its VM, and of those of others.
//!
//! What asks the system suspends the task until the answer comes, in the next tick.

use super::call::{Answer, Answered, Call, Failure, Returned};
use crate::luau::request::{Address, ExternalRequest, KernelRequest, Program, Request};
use crate::luau::stack::Kind;
use crate::value::{Value, Values};

/// What it costs to answer, in safepoints.
const KERNEL_REQUEST: u64 = 30;

/// `__index` of `process`: `pid`, `name`, `address` and `args`. On the main thread there is no process.
pub(super) fn index(mut call: Call<'_>) -> Returned<'_> {
    let push = match call.bytes(2) {
        Some(b"pid") => push_pid,
        Some(b"address") => push_address,
        Some(b"name") => push_name,
        Some(b"args") => push_arguments,
        _ => return Ok(call.nil()),
    };
    if push(&mut call).is_none() {
        call.push_nil();
    }
    Ok(call.top_results(1))
}

fn push_pid(call: &mut Call<'_>) -> Option<()> {
    let pid = own_pid(call)?;
    call.push_number(pid.into());
    Some(())
}

fn push_address(call: &mut Call<'_>) -> Option<()> {
    let address = call.context().map(|context| Address::text(context.vm(), context.caller().pid.get()))?;
    call.push_bytes(address.as_bytes());
    Some(())
}

fn push_name(call: &mut Call<'_>) -> Option<()> {
    let name = call.process_name()?;
    call.push_bytes(name.as_bytes());
    Some(())
}

fn push_arguments(call: &mut Call<'_>) -> Option<()> {
    call.context()?;
    match call.arguments_table() {
        Some(table) => _ = call.push_reference(table),
        None => call.push_table(0, 0),
    }
    Some(())
}

/// `process.spawn(source or function, ...)`: starts a process on the same VM. Returns its PID.
pub(super) fn spawn(mut call: Call<'_>) -> Answered<'_> {
    call.check_can_wait()?;
    let program = if call.is_script_function(1) {
        if call.has_upvalues(1) {
            let why = "the function uses local variables from outside: pass what it needs as arguments";
            return Err(Failure::new(format!("argument 1: {why}")));
        }
        let reference = call.refer_to(1);
        let Some(context) = call.context() else { return Ok(call.nothing().into()) };
        Program::Function(context.hand_over(reference))
    } else if let Some(source) = call.bytes(1) {
        Program::Source(source.into())
    } else if call.kind(1) == Kind::FUNCTION {
        let why = "expected source or a function of the script, got one of the library";
        return Err(Failure::new(format!("argument 1: {why}")));
    } else {
        return Err(call.wrong(1, 1, "source or a function of the script"));
    };
    let arguments = call.messages(2)?;
    Ok(ask(&mut call, KernelRequest::Spawn { program, arguments }))
}

/// `process.kill(pid)`: ends a process of the VM. Returns whether there was one.
pub(super) fn kill(mut call: Call<'_>) -> Answered<'_> {
    let pid = call.pid(1)?;
    Ok(ask(&mut call, KernelRequest::Kill(pid)))
}

/// `process.list()`: the PIDs of the VM's processes.
pub(super) fn list(mut call: Call<'_>) -> Answered<'_> {
    Ok(ask(&mut call, KernelRequest::List))
}

/// `process.info(pid?)`: what is known of a process of the VM, or nil.
pub(super) fn info(mut call: Call<'_>) -> Answered<'_> {
    let pid = if call.is_none_or_nil(1) { own_pid(&mut call).unwrap_or_default() } else { call.pid(1)? };
    Ok(ask(&mut call, KernelRequest::Info(pid)))
}

/// `process.join(pid, timeout?)`: waits for the end of a process of the VM. Returns how it ended.
pub(super) fn join(mut call: Call<'_>) -> Answered<'_> {
    let pid = call.pid(1)?;
    if own_pid(&mut call) == Some(pid) {
        return Err(Failure::new("a process cannot wait for its own end"));
    }
    let timeout = call.timeout(2)?;
    Ok(ask(&mut call, KernelRequest::Join { pid, timeout }))
}

/// `process.monitor(pid)`: has the end of a process of the VM come as a message. Returns whether there is one.
pub(super) fn monitor(mut call: Call<'_>) -> Answered<'_> {
    let pid = call.pid(1)?;
    if own_pid(&mut call) == Some(pid) {
        return Err(Failure::new("a process cannot be told of its own end"));
    }
    Ok(ask(&mut call, KernelRequest::Monitor(pid)))
}

/// `process.send(pid or address, value)`: puts a copy of a value into a mailbox. Returns true, or false and why
/// not.
pub(super) fn send(mut call: Call<'_>) -> Answered<'_> {
    let to = match call.bytes(1) {
        None => Address { vm: None, pid: call.pid(1)? },
        Some(address) => std::str::from_utf8(address)
            .ok()
            .and_then(Address::parse)
            .ok_or_else(|| Failure::new("argument 1: this is no address of a process"))?,
    };
    call.resize(2);
    let values: Values = call.messages(2)?;
    let value = values.into_iter().next().unwrap_or(Value::Nil);
    Ok(ask(&mut call, KernelRequest::Send { to, value }))
}

/// `process.exit(...)`: ends the process, with results as if its main chunk returned them.
pub(super) fn exit(mut call: Call<'_>) -> Answered<'_> {
    Ok(Answer::Exit(call.values()))
}

fn own_pid(call: &mut Call<'_>) -> Option<u32> {
    call.context().map(|context| context.caller().pid.get())
}

/// Asks the system, and waits for the answer.
fn ask<'a>(call: &mut Call<'a>, request: KernelRequest) -> Answer<'a> {
    call.charge_later(KERNEL_REQUEST);
    Answer::Wait(Request::External(ExternalRequest::Kernel(Box::new(request))))
}
