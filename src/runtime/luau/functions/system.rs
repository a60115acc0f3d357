//! `process`, `mailbox`, `signal`: the script's side of what lies beyond its own process.
//!
//! What asks another process or the VM suspends the task until the answer comes, in the next tick.

use std::ffi::{CStr, c_int};
use std::time::Duration;

use mlua::ffi::{self, lua_State};

use super::task::{fail, make_tasks, with_tasks};
use super::wait::{check_can_suspend, seconds, wait_for};
use crate::runtime::luau::slice::{Excess, condemn, stop, with_context, with_process};
use crate::runtime::luau::threads::Tasks;
use crate::runtime::luau::{FunctionRef, MAIN, Request, TaskId, transfer};
use crate::runtime::mail::Message;
use crate::runtime::system_call::{Address, Program, SystemCall};

/// Bytes of a signal's name.
const MAX_NAME: usize = 256;

/// `__index` of `process`: `pid`, `name`, `address` and `args`. On the main thread there is no process.
pub(super) unsafe extern "C-unwind" fn index(state: *mut lua_State) -> c_int {
    // SAFETY: `__index` is called with the table and the key; there is room for a value.
    unsafe {
        let key = (ffi::lua_type(state, 2) == ffi::LUA_TSTRING).then(|| string(state, 2));
        match key {
            Some(b"pid") => match with_context(|context| context.pid) {
                Some(pid) => ffi::lua_pushnumber(state, pid.into()),
                None => ffi::lua_pushnil(state),
            },
            Some(b"address") => {
                let address = with_context(|context| Address::text(context.vm(), context.pid));
                push_text(state, address.as_deref());
            }
            Some(b"name") => {
                let name = with_process(|process| process.name()).flatten();
                match name {
                    Some(name) => push_text(state, Some(&*name)),
                    None => push_script_name(state),
                }
            }
            Some(b"args") => match with_process(|process| process.arguments_table()).flatten() {
                Some(table) => _ = ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, table),
                None if with_context(|_| ()).is_some() => ffi::lua_createtable(state, 0, 0),
                None => ffi::lua_pushnil(state),
            },
            _ => ffi::lua_pushnil(state),
        }
    }
    1
}

/// The name of the script of the main chunk, which is at the bottom of the root's stack.
unsafe fn push_script_name(state: *mut lua_State) {
    let Some(root) = with_process(|process| process.root) else {
        // SAFETY: the caller made room for it.
        return unsafe { ffi::lua_pushnil(state) };
    };
    let mut frame = std::mem::MaybeUninit::<ffi::lua_Debug>::zeroed();
    // SAFETY: the root is anchored; `lua_getinfo` fills what "s" names, or returns 0.
    unsafe {
        let level = ffi::lua_stackdepth(root) - 1;
        if level >= 0 && ffi::lua_getinfo(root, level, c"s".as_ptr(), frame.as_mut_ptr()) != 0 {
            ffi::lua_pushstring_(state, frame.assume_init_ref().short_src);
        } else {
            ffi::lua_pushnil(state);
        }
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
            fail(state, NAME, "argument 1: expected source or a function of the script");
        }
        // The last that may throw: what follows holds memory.
        let function = if is_function { ffi::lua_ref(state, 1) } else { ffi::LUA_NOREF };
        ffi::lua_rawcheckstack(state, transfer::RESULT_SLOTS);
        let mut arguments = Vec::new();
        for index in 2..=count {
            match transfer::message(state, index) {
                Ok(value) => arguments.push(value),
                Err(why) => {
                    drop(arguments);
                    ffi::lua_unref(state, function);
                    fail(state, NAME, format_args!("argument {index}: {why}"));
                }
            }
        }
        let program = if is_function {
            Program::Function(FunctionRef(function))
        } else {
            Program::Source(string(state, 1).into())
        };
        system_call(state, SystemCall::Spawn { program, arguments })
    }
}

/// `process.kill(pid)`: ends a process of the VM. Returns whether there was one.
pub(super) unsafe extern "C-unwind" fn kill(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        let pid = pid(state, 1, c"process.kill");
        check_can_suspend(state, "process.kill");
        system_call(state, SystemCall::Kill(pid))
    }
}

/// `process.list()`: the PIDs of the VM's processes.
pub(super) unsafe extern "C-unwind" fn list(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        check_can_suspend(state, "process.list");
        system_call(state, SystemCall::List)
    }
}

/// `process.info(pid?)`: what is known of a process of the VM, or nil.
pub(super) unsafe extern "C-unwind" fn info(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        let own = with_context(|context| context.pid).unwrap_or_default();
        let pid = if ffi::lua_isnoneornil(state, 1) != 0 { own } else { pid(state, 1, c"process.info") };
        check_can_suspend(state, "process.info");
        system_call(state, SystemCall::Info(pid))
    }
}

/// `process.join(pid, timeout?)`: waits for the end of a process of the VM. Returns how it ended.
pub(super) unsafe extern "C-unwind" fn join(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        let pid = pid(state, 1, c"process.join");
        if with_context(|context| context.pid) == Some(pid) {
            fail(state, c"process.join", "a process cannot wait for its own end");
        }
        let timeout = timeout(state, 2);
        check_can_suspend(state, "process.join");
        system_call(state, SystemCall::Join { pid, timeout })
    }
}

/// `process.monitor(pid)`: has the end of a process of the VM come as a message. Returns whether there is one.
pub(super) unsafe extern "C-unwind" fn monitor(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        let pid = pid(state, 1, c"process.monitor");
        check_can_suspend(state, "process.monitor");
        system_call(state, SystemCall::Monitor(pid))
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
        match transfer::message(state, 2) {
            Ok(value) => system_call(state, SystemCall::Send { to, value }),
            Err(why) => fail(state, NAME, format_args!("argument 2: {why}")),
        }
    }
}

/// `process.exit(...)`: ends the process, with results as if its main chunk returned them.
pub(super) unsafe extern "C-unwind" fn exit(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        ffi::lua_rawcheckstack(state, transfer::RESULT_SLOTS);
        let results = transfer::values(state);
        with_context(|context| context.exit_results = results);
        condemn(Excess::Exit);
        stop(state)
    }
}

/// `mailbox.poll()`: the oldest message and its sender, or nil.
pub(super) unsafe extern "C-unwind" fn poll(state: *mut lua_State) -> c_int {
    // SAFETY: there is room for two values, and `push` makes room for what is in them.
    unsafe {
        match take_message() {
            Some((value, sender)) => {
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
        let timeout = timeout(state, 1);
        if let Some((value, sender)) = take_message() {
            transfer::push(state, &value);
            transfer::push(state, &sender);
            return 2;
        }
        check_can_suspend(state, "mailbox.receive");
        wait_for(state, Request::Receive { timeout })
    }
}

fn take_message() -> Option<Message> {
    with_context(|context| context.mail.get_mut(&context.slot).and_then(|mailbox| mailbox.pop())).flatten()
}

/// `signal.wait(name, timeout?)`: the next signal's payload and true, or nil when the time has passed.
pub(super) unsafe extern "C-unwind" fn wait(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        check_name(state, c"signal.wait");
        let timeout = timeout(state, 2);
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
        ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        make_tasks(state);
        let limit = with_context(|context| context.task_limit).unwrap_or_default();
        let count = with_tasks(|tasks| tasks.connections as usize).unwrap_or_default();
        if count >= limit {
            fail(state, NAME, format_args!("this process has {count} connections, of {limit}"));
        }
        let id = with_tasks(Tasks::next_id).unwrap_or(MAIN);
        if let Some(tasks) = with_tasks(|tasks| &raw const *tasks) {
            (*tasks).anchor(state, id, 2);
        }
        with_tasks(|tasks| tasks.connections += 1);
        let name = string(state, 1).into();
        with_context(|context| context.requests.push((id, Request::Connect { name })));
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
            with_tasks(|tasks| {
                tasks.release(state, id);
                tasks.connections -= 1;
            });
            with_context(|context| context.requests.push((id, Request::Disconnect)));
        }
    }
    0
}

unsafe fn system_call(state: *mut lua_State, call: SystemCall) -> c_int {
    // SAFETY: the callers' functions have the continuation, and check first.
    unsafe { wait_for(state, Request::System(Box::new(call))) }
}

/// An argument that is a process's number.
unsafe fn pid(state: *mut lua_State, index: c_int, function: &CStr) -> u32 {
    // SAFETY: any index can be asked for its type and number.
    unsafe {
        let number = ffi::lua_tonumber(state, index);
        if ffi::lua_type(state, index) != ffi::LUA_TNUMBER || f64::from(number as u32) != number {
            fail(state, function, format_args!("argument {index}: expected the number of a process"));
        }
        number as u32
    }
}

/// An optional argument that is a time.
unsafe fn timeout(state: *mut lua_State, index: c_int) -> Option<Duration> {
    // SAFETY: any index can be asked for its type.
    unsafe {
        let is_given = ffi::lua_isnoneornil(state, index) == 0;
        is_given.then(|| Duration::from_secs_f64(seconds(state, index)))
    }
}

unsafe fn check_name(state: *mut lua_State, function: &CStr) {
    // SAFETY: any index can be asked for its type.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TSTRING || string(state, 1).len() > MAX_NAME {
            fail(state, function, format_args!("argument 1: expected a name of at most {MAX_NAME} bytes"));
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
