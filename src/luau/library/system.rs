//! `process`, `mailbox`, `signal`: the script's side of what lies beyond its own process.
//!
//! What asks another process or the VM suspends the task until the answer comes, in the next tick.

use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::Duration;

use mlua::ffi::{self, lua_State};

use super::host::push_error;
use super::task::{fail, make_tasks, next_id, type_name, with_tasks};
use super::wait::{check_can_suspend, seconds, wait_for};
use crate::luau::mailbox::{Mailbox, Message};
use crate::luau::request::{Address, ExternalRequest, KernelRequest, Program};
use crate::luau::shared::{with_context, with_outcome};
use crate::luau::slice::{LimitViolation, charge_later, mark_for_kill, stop, with_process};
use crate::luau::{Context, MAIN, Request, TaskId, transfer};
use crate::value::Value;
use crate::value::Values;

/// Bytes of a signal's name.
const MAX_NAME: usize = 256;

/// What it costs to answer, in safepoints.
const KERNEL_REQUEST: u64 = 30;

/// `__index` of `process`: `pid`, `name`, `address` and `args`. On the main thread there is no process.
pub(super) unsafe extern "C-unwind" fn index(state: *mut lua_State) -> c_int {
    // SAFETY: `__index` is called with the table and the key; there is room for a value.
    unsafe {
        let key = (ffi::lua_type(state, 2) == ffi::LUA_TSTRING).then(|| string(state, 2));
        match key {
            Some(b"pid") => match with_context(state, |context| context.caller().pid) {
                Some(pid) => ffi::lua_pushnumber(state, pid.into()),
                None => ffi::lua_pushnil(state),
            },
            Some(b"address") => {
                let address =
                    with_context(state, |context| Address::text(context.vm(), context.caller().pid));
                push_text(state, address.as_deref());
            }
            Some(b"name") => {
                let name =
                    with_process(state, |process| process.name().or_else(|| script_name(process.root)))
                        .flatten();
                push_text(state, name.as_deref());
            }
            Some(b"args") => match with_process(state, |process| process.arguments_table()).flatten() {
                Some(table) => _ = ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, table),
                None if with_context(state, |_| ()).is_some() => ffi::lua_createtable(state, 0, 0),
                None => ffi::lua_pushnil(state),
            },
            _ => ffi::lua_pushnil(state),
        }
    }
    1
}

/// The name of the script whose main chunk runs on `root`.
///
/// # Safety
///
/// `root` must be live.
pub(super) unsafe fn script_name(root: *mut lua_State) -> Option<Arc<str>> {
    let mut frame = MaybeUninit::<ffi::lua_Debug>::zeroed();
    // SAFETY: by the contract; `lua_getinfo` fills what "s" names, with a C string that the frame's function keeps,
    // or returns 0. The main chunk is at the bottom.
    unsafe {
        let level = ffi::lua_stackdepth(root) - 1;
        let is_known = level >= 0 && ffi::lua_getinfo(root, level, c"s".as_ptr(), frame.as_mut_ptr()) != 0;
        is_known.then(|| CStr::from_ptr(frame.assume_init_ref().short_src).to_string_lossy().into())
    }
}

unsafe fn push_text(state: *mut lua_State, text: Option<&str>) {
    // SAFETY: the caller made room for a value.
    unsafe {
        match text {
            Some(text) => ffi::lua_pushlstring_(state, text.as_ptr().cast(), text.len()),
            None => ffi::lua_pushnil(state),
        }
    }
}

/// `process.spawn(source or function, ...)`: starts a process on the same VM. Returns its PID.
pub(super) unsafe extern "C-unwind" fn spawn(state: *mut lua_State) -> c_int {
    const NAME: &CStr = c"process.spawn";
    // SAFETY: a C function's own stack; what needs dropping is dropped or owned by the request before
    // anything throws.
    unsafe {
        check_can_suspend(state, "process.spawn");
        let is_function = ffi::lua_isLfunction(state, 1) != 0;
        let count = ffi::lua_gettop(state);
        if is_function && !ffi::lua_getupvalue(state, 1, 1).is_null() {
            let why =
                "argument 1: the function uses local variables from outside: pass what it needs as arguments";
            fail(state, NAME, why);
        }
        if !is_function && ffi::lua_type(state, 1) != ffi::LUA_TSTRING {
            let got = match ffi::lua_type(state, 1) {
                ffi::LUA_TFUNCTION => "one of the library".into(),
                _ => type_name(state, 1),
            };
            fail(
                state,
                NAME,
                format_args!("argument 1: expected source or a function of the script, got {got}"),
            );
        }
        ffi::lua_rawcheckstack(state, transfer::RESULT_SLOTS);
        let reference = if is_function { ffi::lua_ref(state, 1) } else { ffi::LUA_NOREF };
        // Nothing throws from here to the end of what holds memory.
        let function =
            is_function.then(|| with_context(state, |context| context.hand_over(reference))).flatten();
        let program = function.map_or_else(|| Program::Source(string(state, 1).into()), Program::Function);
        match transfer::messages(state, 2..=count) {
            Ok(arguments) => return kernel_request(state, KernelRequest::Spawn { program, arguments }),
            Err((index, why)) => push_error(state, "process.spawn", &format!("argument {index}: {why}")),
        }
        drop(program);
        ffi::lua_error(state)
    }
}

/// `process.kill(pid)`: ends a process of the VM. Returns whether there was one.
pub(super) unsafe extern "C-unwind" fn kill(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        let pid = pid(state, 1, c"process.kill");
        check_can_suspend(state, "process.kill");
        kernel_request(state, KernelRequest::Kill(pid))
    }
}

/// `process.list()`: the PIDs of the VM's processes.
pub(super) unsafe extern "C-unwind" fn list(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        check_can_suspend(state, "process.list");
        kernel_request(state, KernelRequest::List)
    }
}

/// `process.info(pid?)`: what is known of a process of the VM, or nil.
pub(super) unsafe extern "C-unwind" fn info(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        let own = with_context(state, |context| context.caller().pid).unwrap_or_default();
        let pid = if ffi::lua_isnoneornil(state, 1) != 0 { own } else { pid(state, 1, c"process.info") };
        check_can_suspend(state, "process.info");
        kernel_request(state, KernelRequest::Info(pid))
    }
}

/// `process.join(pid, timeout?)`: waits for the end of a process of the VM. Returns how it ended.
pub(super) unsafe extern "C-unwind" fn join(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        let pid = pid(state, 1, c"process.join");
        if with_context(state, |context| context.caller().pid) == Some(pid) {
            fail(state, c"process.join", "a process cannot wait for its own end");
        }
        let timeout = timeout(state, 2, "process.join");
        check_can_suspend(state, "process.join");
        kernel_request(state, KernelRequest::Join { pid, timeout })
    }
}

/// `process.monitor(pid)`: has the end of a process of the VM come as a message. Returns whether there is one.
pub(super) unsafe extern "C-unwind" fn monitor(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        let pid = pid(state, 1, c"process.monitor");
        if with_context(state, |context| context.caller().pid) == Some(pid) {
            fail(state, c"process.monitor", "a process cannot be told of its own end");
        }
        check_can_suspend(state, "process.monitor");
        kernel_request(state, KernelRequest::Monitor(pid))
    }
}

/// `process.send(pid or address, value)`: puts a copy of a value into a mailbox. Returns true, or false and why
/// not.
pub(super) unsafe extern "C-unwind" fn send(state: *mut lua_State) -> c_int {
    const NAME: &CStr = c"process.send";
    // SAFETY: as for `spawn`.
    unsafe {
        let to = if ffi::lua_type(state, 1) == ffi::LUA_TSTRING {
            let address = std::str::from_utf8(string(state, 1)).ok().and_then(Address::parse);
            address.unwrap_or_else(|| fail(state, NAME, "argument 1: this is no address of a process"))
        } else {
            Address { vm: None, pid: pid(state, 1, NAME) }
        };
        check_can_suspend(state, "process.send");
        ffi::lua_settop(state, 2);
        ffi::lua_rawcheckstack(state, transfer::RESULT_SLOTS);
        match transfer::messages::<Values>(state, 2..=2) {
            Ok(values) => {
                let value = values.into_iter().next().unwrap_or(Value::Nil);
                kernel_request(state, KernelRequest::Send { to, value })
            }
            Err((_, why)) => fail(state, NAME, format_args!("argument 2: {why}")),
        }
    }
}

/// `process.exit(...)`: ends the process, with results as if its main chunk returned them.
pub(super) unsafe extern "C-unwind" fn exit(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        ffi::lua_rawcheckstack(state, transfer::RESULT_SLOTS);
        let results = transfer::values(state);
        with_context(state, |context| context.exit_results = results);
        mark_for_kill(state, LimitViolation::Exit);
        stop(state)
    }
}

/// `mailbox.poll()`: the oldest message and its sender, or nil.
pub(super) unsafe extern "C-unwind" fn poll(state: *mut lua_State) -> c_int {
    // SAFETY: there is room for two values, and `push` makes room for what is in them.
    unsafe {
        match take_message(state) {
            Some((value, sender)) => {
                transfer::charge_for(state, &value);
                transfer::push(state, &value);
                transfer::push(state, &sender);
                2
            }
            None => {
                ffi::lua_pushnil(state);
                1
            }
        }
    }
}

/// `mailbox.receive(timeout?)`: the oldest message and its sender, or nil when the time has passed.
pub(super) unsafe extern "C-unwind" fn receive(state: *mut lua_State) -> c_int {
    // SAFETY: as for `poll` and `spawn`.
    unsafe {
        let timeout = timeout(state, 1, "mailbox.receive");
        if let Some((value, sender)) = take_message(state) {
            transfer::charge_for(state, &value);
            transfer::push(state, &value);
            transfer::push(state, &sender);
            return 2;
        }
        check_can_suspend(state, "mailbox.receive");
        wait_for(state, Request::Receive { timeout })
    }
}

/// # Safety
///
/// As for [`with_context`].
unsafe fn take_message(state: *mut lua_State) -> Option<Message> {
    let take = |context: &mut Context| context.mail.get_mut(&context.index).and_then(Mailbox::pop);
    // SAFETY: by the contract.
    unsafe { with_context(state, take) }.flatten()
}

/// `signal.wait(name, timeout?)`: the next signal's payload and true, or nil when the time has passed.
pub(super) unsafe extern "C-unwind" fn wait(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        check_name(state, c"signal.wait");
        let timeout = timeout(state, 2, "signal.wait");
        check_can_suspend(state, "signal.wait");
        wait_for(state, Request::Signal { name: string(state, 1).into(), timeout })
    }
}

/// `signal.connect(name, function)`: calls a function, as a task of its own, for each signal with that name.
/// Returns a function that ends that.
pub(super) unsafe extern "C-unwind" fn connect(state: *mut lua_State) -> c_int {
    const NAME: &CStr = c"signal.connect";
    // SAFETY: as for `spawn`; there is room for the values.
    unsafe {
        check_name(state, NAME);
        if ffi::lua_type(state, 2) != ffi::LUA_TFUNCTION {
            fail(state, NAME, format_args!("argument 2: expected function, got {}", type_name(state, 2)));
        }
        make_tasks(state);
        let limit = with_context(state, |context| context.task_limit).unwrap_or_default();
        let count = with_tasks(state, |tasks| tasks.connections.len()).unwrap_or_default();
        if count >= limit {
            fail(state, NAME, format_args!("this process has {count} connections, of {limit}"));
        }
        let id = next_id(state, NAME);
        if let Some(tasks) = with_tasks(state, |tasks| &raw const *tasks) {
            (*tasks).anchor(state, id, 2);
        }
        with_tasks(state, |tasks| _ = tasks.connections.insert(id));
        let name = string(state, 1).into();
        with_outcome(state, |context| context.requests.push((id, Request::Connect { name })));
        ffi::lua_pushnumber(state, id.into());
        ffi::lua_pushcclosurek(state, disconnect, c"disconnect".as_ptr(), 1, None);
    }
    1
}

/// What [`connect`] returned.
unsafe extern "C-unwind" fn disconnect(state: *mut lua_State) -> c_int {
    // SAFETY: the upvalue is a connection of this process: functions do not leave it.
    unsafe {
        let id = ffi::lua_tonumber(state, ffi::lua_upvalueindex(1)) as TaskId;
        ffi::lua_pushnil(state);
        ffi::lua_replace(state, ffi::lua_upvalueindex(1)); // once
        if id != MAIN {
            with_tasks(state, |tasks| {
                tasks.release(state, id);
                tasks.connections.remove(&id);
            });
        }
    }
    0
}

unsafe fn kernel_request(state: *mut lua_State, request: KernelRequest) -> c_int {
    // SAFETY: the callers' functions have the continuation, and check first.
    unsafe {
        charge_later(state, KERNEL_REQUEST);
        wait_for(state, Request::External(ExternalRequest::Kernel(Box::new(request))))
    }
}

/// An argument that is a process's number.
unsafe fn pid(state: *mut lua_State, index: c_int, function: &CStr) -> u32 {
    // SAFETY: any index can be asked for its type and number.
    unsafe {
        let number = ffi::lua_tonumber(state, index);
        if ffi::lua_type(state, index) != ffi::LUA_TNUMBER {
            let got = type_name(state, index);
            fail(
                state,
                function,
                format_args!("argument {index}: expected the number of a process, got {got}"),
            );
        }
        if f64::from(number as u32) != number {
            fail(
                state,
                function,
                format_args!("argument {index}: expected the number of a process, got {number}"),
            );
        }
        number as u32
    }
}

/// An optional argument that is a time.
unsafe fn timeout(state: *mut lua_State, index: c_int, function: &str) -> Option<Duration> {
    // SAFETY: any index can be asked for its type.
    unsafe {
        let is_given = ffi::lua_isnoneornil(state, index) == 0;
        is_given.then(|| Duration::from_secs_f64(seconds(state, index, function)))
    }
}

unsafe fn check_name(state: *mut lua_State, function: &CStr) {
    // SAFETY: any index can be asked for its type.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TSTRING || string(state, 1).len() > MAX_NAME {
            let got = type_name(state, 1);
            fail(
                state,
                function,
                format_args!("argument 1: expected a name of at most {MAX_NAME} bytes, got {got}"),
            );
        }
    }
}

/// The bytes of a string on the stack, valid while it is there.
unsafe fn string<'a>(state: *mut lua_State, index: c_int) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: the callers have checked that it is a string, so nothing is converted.
    unsafe {
        let text = ffi::lua_tolstring(state, index, &raw mut length);
        std::slice::from_raw_parts(text.cast(), length)
    }
}
