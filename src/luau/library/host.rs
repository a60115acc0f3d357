//! Host functions: from a script's call to a function of the game and back.

use std::ffi::{CString, c_int, c_void};
use std::ptr;

use mlua::ffi::{self, lua_State};

use super::wait::{check_can_suspend, resumed, wait_for};
use crate::luau::host_functions::{HostEntry, HostError, HostFunctions};
use crate::luau::request::{ExternalRequest, Request};
use crate::luau::shared::with_context;
use crate::luau::slice::{LimitViolation, mark_for_kill};
use crate::luau::{CallArguments, transfer};
use crate::value::Value;

/// Bytes kept of an error of a host function, and of a panic.
const MAX_MESSAGE: usize = 4 * 1024;

/// Pushes a table with all host functions, tables in tables for paths with dots.
///
/// # Safety
///
/// There must be room for six values, and `functions` must live as long as the state. May throw.
pub(in crate::luau) unsafe fn push_all(state: *mut lua_State, functions: &HostFunctions) {
    // SAFETY: by the contract; what is pushed is taken off but for the table.
    unsafe {
        ffi::lua_createtable(state, 0, 0);
        let bottom = ffi::lua_gettop(state);
        for (number, path) in functions.paths().enumerate() {
            ffi::lua_pushvalue(state, bottom);
            let names = path.to_bytes();
            let name_at = names.iter().rposition(|&byte| byte == b'.').map_or(0, |dot| dot + 1);
            for folder in names[..name_at].split(|&byte| byte == b'.').filter(|folder| !folder.is_empty()) {
                ffi::lua_pushlstring_(state, folder.as_ptr().cast(), folder.len());
                if ffi::lua_rawget(state, -2) != ffi::LUA_TTABLE {
                    ffi::lua_pop(state, 1);
                    ffi::lua_createtable(state, 0, 0);
                    ffi::lua_pushlstring_(state, folder.as_ptr().cast(), folder.len());
                    ffi::lua_pushvalue(state, -2);
                    ffi::lua_rawset(state, -4);
                }
                ffi::lua_replace(state, -2);
            }
            let name = &names[name_at..];
            ffi::lua_pushlstring_(state, name.as_ptr().cast(), name.len());
            // Luau keeps the pointer; the path lives as long as the state.
            if functions.is_syscall(number) {
                ffi::lua_pushlightuserdata(state, ptr::without_provenance_mut::<c_void>(number));
                ffi::lua_pushcclosurek(state, syscall, path.as_ptr(), 1, Some(resumed));
            } else {
                let entry = functions.entry(number).map_or(ptr::null(), ptr::from_ref);
                ffi::lua_pushlightuserdata(state, entry.cast_mut().cast::<c_void>());
                ffi::lua_pushcclosurek(state, call, path.as_ptr(), 1, None);
            }
            ffi::lua_rawset(state, -3);
            ffi::lua_settop(state, bottom);
        }
    }
}

/// Any host function; which one is its upvalue.
unsafe extern "C-unwind" fn call(state: *mut lua_State) -> c_int {
    // SAFETY: `push_all` made the function; the functions live as long as the state, and nothing changes
    // them. Everything that needs dropping is dropped before the error is thrown.
    unsafe {
        let entry = &*ffi::lua_tolightuserdata(state, ffi::lua_upvalueindex(1)).cast::<HostEntry>();
        let result = HostFunctions::call(entry, &CallArguments::new(state));
        // Most results are numbers, which need no dropping: to look for that takes as long as the rest.
        if let Ok(Value::Number(number)) = result {
            std::mem::forget(result);
            ffi::lua_pushnumber(state, number);
            return 1;
        }
        match result {
            Ok(value) => {
                transfer::charge_for(state, &value);
                transfer::push(state, &value);
                return 1;
            }
            Err(HostError::Error(message)) => push_error(state, &entry.0.to_string_lossy(), &message),
            Err(HostError::Panic(message)) => {
                let number = with_context(state, |context| context.host.number(entry)).unwrap_or(usize::MAX);
                panicked(state, number, &entry.0.to_string_lossy(), &message);
            }
        }
        ffi::lua_error(state)
    }
}

/// The host function with this number, or its arguments' own code, has panicked: the process is killed. Pushes
/// the error until then.
unsafe fn panicked(state: *mut lua_State, number: usize, path: &str, message: &str) {
    let message = transfer::bounded(message, MAX_MESSAGE).to_owned();
    // SAFETY: the caller is a C function that throws what is pushed.
    unsafe {
        mark_for_kill(state, LimitViolation::HostPanic);
        with_context(state, |context| context.host_panic = Some((number, message)));
        push_error(state, path, "it panicked");
    }
}

/// Any syscall; which one is its upvalue.
unsafe extern "C-unwind" fn syscall(state: *mut lua_State) -> c_int {
    // SAFETY: as for `call`; `push_all` made the function, with the continuation.
    unsafe {
        let number = ffi::lua_tolightuserdata(state, ffi::lua_upvalueindex(1)).addr();
        let Some(functions) = with_context(state, |context| &raw const context.host) else { return 0 };
        let functions = &*functions;
        check_can_suspend(state, &functions.path(number));
        ffi::lua_rawcheckstack(state, transfer::RESULT_SLOTS);
        match functions.parse(number, transfer::values(state)) {
            Ok((number, args)) => {
                return wait_for(state, Request::External(ExternalRequest::Syscall { number, args }));
            }
            Err(HostError::Error(message)) => push_error(state, &functions.path(number), &message),
            Err(HostError::Panic(message)) => panicked(state, number, &functions.path(number), &message),
        }
        ffi::lua_error(state)
    }
}

/// Pushes an error message with the position of the call.
pub(super) unsafe fn push_error(state: *mut lua_State, path: &str, message: &str) {
    let message = format!("{path}: {message}").replace('\0', " ");
    let message = CString::new(transfer::bounded(&message, MAX_MESSAGE)).unwrap_or_default();
    // SAFETY: the running C function has room for two values. If this throws, `message` is dropped while
    // the exception passes.
    unsafe {
        ffi::luaL_where(state, 1);
        ffi::lua_pushstring_(state, message.as_ptr());
        ffi::lua_concat(state, 2);
    }
}
