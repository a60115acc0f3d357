//! Functions that suspend the process that calls them, and their continuations.
//!
//! They break the running thread, as the interrupt does, so they work inside nested coroutines and
//! protected calls. When the process is resumed, the continuation takes the reply that its task got.

use std::ffi::c_int;
use std::time::Duration;

use mlua::ffi::{self, lua_State};

use super::host::push_error;
use super::task::type_name;
use crate::luau::shared::{with_context, with_outcome};
use crate::luau::slice::{can_suspend, suspend, with_process};
use crate::luau::{MAIN, Reply, Request, transfer};

/// The longest wait: it is endless for a game, and no clock overflows.
const MAX_SECONDS: f64 = 1e9;

/// `task.wait(seconds?)`: until that much virtual time has passed; at least until the next tick. Returns
/// how long it really was.
pub(super) unsafe extern "C-unwind" fn task_wait(state: *mut lua_State) -> c_int {
    // SAFETY: the argument is checked by the call that reads it.
    unsafe {
        let seconds = seconds(state, 1, "task.wait");
        check_can_suspend(state, "task.wait");
        ffi::lua_settop(state, 0);
        ffi::lua_pushnumber(state, with_context(state, |context| context.now).unwrap_or_default());
        wait_for(state, Request::Sleep(Duration::from_secs_f64(seconds)))
    }
}

/// The continuation of [`task_wait`].
pub(super) unsafe extern "C-unwind" fn slept(state: *mut lua_State, _: c_int) -> c_int {
    // SAFETY: `task_wait` left the time on the stack, which has room for another.
    unsafe {
        let began = ffi::lua_tonumber(state, 1);
        let now = with_context(state, |context| context.now).unwrap_or(began);
        ffi::lua_pushnumber(state, now - began);
    }
    1
}

/// An optional argument that is a time.
///
/// # Safety
///
/// `state` must be the running thread, in a C function. Throws.
pub(super) unsafe fn seconds(state: *mut lua_State, index: c_int, function: &str) -> f64 {
    let mut is_number = 1;
    // SAFETY: by the contract; any index can be asked for its type. A string with a number is one, as for all of
    // Luau's functions.
    let seconds = unsafe {
        match ffi::lua_isnoneornil(state, index) {
            0 => ffi::lua_tonumberx(state, index, &raw mut is_number),
            _ => 0.0,
        }
    };
    if is_number == 0 {
        // SAFETY: by the contract; the message is dropped before the error is thrown.
        unsafe {
            let message =
                format!("argument {index}: expected number of seconds, got {}", type_name(state, index));
            push_error(state, function, &message);
            drop(message);
            ffi::lua_error(state)
        }
    }
    if seconds.is_nan() { 0.0 } else { seconds.clamp(0.0, MAX_SECONDS) }
}

/// Suspends the process until its request is answered.
///
/// # Safety
///
/// `state` must be the running thread, in a C function with [`resumed`] as its continuation, which
/// returns what this returns; [`check_can_suspend`] must have been called.
pub(super) unsafe fn wait_for(state: *mut lua_State, request: Request) -> c_int {
    // SAFETY: by the contract.
    unsafe {
        let task = with_process(state, |process| process.running_task()).unwrap_or(MAIN);
        with_outcome(state, |context| context.requests.push((task, request)));
        suspend(state)
    }
}

/// Throws where the process cannot be suspended.
///
/// # Safety
///
/// `state` must be the running thread, in a C function.
pub(super) unsafe fn check_can_suspend(state: *mut lua_State, function: &str) {
    // SAFETY: by the contract.
    unsafe {
        if !can_suspend(state) {
            let why = "cannot wait inside a metamethod or a callback of a library function";
            push_error(state, function, why);
            ffi::lua_error(state)
        }
    }
}

/// The continuation of functions that ask the system, whose errors say what they are about.
pub(super) unsafe extern "C-unwind" fn answered(state: *mut lua_State, _: c_int) -> c_int {
    // SAFETY: as for `resumed`.
    unsafe {
        match take_reply(state) {
            Some(Err(message)) => {
                let (function, message) = message.split_once(": ").unwrap_or(("process", &message));
                push_error(state, function, message);
            }
            reply => return push_values(state, reply),
        }
        ffi::lua_error(state)
    }
}

/// What the task that goes on has waited for.
///
/// # Safety
///
/// As for [`with_context`].
unsafe fn take_reply(state: *mut lua_State) -> Option<Reply> {
    // SAFETY: by the contract.
    unsafe {
        let task = with_process(state, |process| process.running_task()).unwrap_or(MAIN);
        with_context(state, |context| context.take_reply(task)).flatten()
    }
}

unsafe fn push_values(state: *mut lua_State, reply: Option<Reply>) -> c_int {
    let Some(Ok(values)) = reply else { return 0 };
    for value in &values {
        // SAFETY: each push makes room for its value.
        unsafe {
            transfer::charge_for(state, value);
            transfer::push(state, value);
        }
    }
    values.len() as c_int
}

/// The continuation of all functions that wait for the game.
pub(in crate::luau) unsafe extern "C-unwind" fn resumed(state: *mut lua_State, _: c_int) -> c_int {
    // SAFETY: a C function's continuation; there is room for the values. What needs dropping is dropped
    // before the error is thrown.
    unsafe {
        match take_reply(state) {
            reply @ (None | Some(Ok(_))) => return push_values(state, reply),
            Some(Err(message)) => {
                // Only syscalls fail, and their numbers are their upvalues.
                let number = ffi::lua_tolightuserdata(state, ffi::lua_upvalueindex(1)).addr();
                let path = with_context(state, |context| context.host.path(number).into_owned());
                push_error(state, &path.unwrap_or_default(), &message);
            }
        }
        ffi::lua_error(state)
    }
}
