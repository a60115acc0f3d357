//! Our functions in the sandbox: those that need the process that calls them, those that keep its
//! globals its own, and those that stand before Luau's own library.
//!
//! # No call holds up a tick
//!
//! Luau looks at the interrupt between calls, never inside a C function, so a function that goes
//! through its arguments is one indivisible step. The allocator bounds every single object to a few
//! MiB, hence whatever is linear in its arguments is bounded, to a few milliseconds; it is charged to
//! the slice ([`charge`](super::slice::charge)), which then ends. What is worse than linear is
//! replaced or capped. `docs/library.md` lists every function with its cost and what was done.

mod charged;
mod globals;
mod host;
mod pattern;
mod process;
mod search;
mod sort;
mod system;
mod task;
mod wait;

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi::{self, lua_CFunction, lua_Continuation, lua_State};

use super::modules;

pub(super) use globals::connect;
pub(super) use host::push_all as push_host_functions;

/// What `sandbox.luau` gets of ours, by the names that it uses.
pub(super) const FUNCTIONS: &[(&CStr, lua_CFunction)] = &[
    (c"print", process::print),
    (c"clock", process::clock),
    (c"random", process::random),
    (c"randomseed", process::random_seed),
    (c"own_globals", globals::own_globals),
    (c"newindex", globals::set_global),
    (c"rawset", globals::raw_set),
    (c"task.defer", task::defer),
    (c"task.delay", task::delay),
    (c"task.cancel", task::cancel),
    (c"process_index", system::index),
    (c"mailbox.poll", system::poll),
    (c"signal.connect", system::connect),
];

/// Those that have a continuation: they suspend the task that calls them, or run code of the script's.
pub(super) const WAITING: &[(&CStr, lua_CFunction, lua_Continuation)] = &[
    (c"task.wait", wait::task_wait, wait::slept),
    (c"task.spawn", task::spawn, task::spawned),
    (c"process.spawn", system::spawn, wait::answered),
    (c"process.kill", system::kill, wait::answered),
    (c"process.list", system::list, wait::answered),
    (c"process.info", system::info, wait::answered),
    (c"process.join", system::join, wait::answered),
    (c"process.monitor", system::monitor, wait::answered),
    (c"process.send", system::send, wait::answered),
    (c"process.exit", system::exit, wait::answered),
    (c"mailbox.receive", system::receive, wait::answered),
    (c"signal.wait", system::wait, wait::answered),
    (c"require", modules::require, modules::required),
];

/// A function that takes the place of one of Luau's, which it finds as its first upvalue.
struct Replacement {
    /// `None` for a global.
    library: Option<&'static CStr>,
    name: &'static CStr,
    function: lua_CFunction,
    continuation: Option<lua_Continuation>,
}

const fn replacement(library: &'static CStr, name: &'static CStr, function: lua_CFunction) -> Replacement {
    Replacement { library: Some(library), name, function, continuation: None }
}

/// Puts our functions in the place of Luau's in its open libraries.
///
/// # Safety
///
/// The libraries must be open and not frozen; there must be room for three values. May throw.
pub(super) unsafe fn replace(state: *mut lua_State) {
    let all = [charged::REPLACEMENTS, search::REPLACEMENTS, pattern::REPLACEMENTS, sort::REPLACEMENTS];
    for &Replacement { library, name, function, continuation } in all.into_iter().flatten() {
        // SAFETY: by the contract; what is pushed is taken off. A C function's address fits a pointer.
        unsafe {
            match library {
                Some(library) => {
                    ffi::lua_rawgetfield(state, ffi::LUA_GLOBALSINDEX, library.as_ptr());
                }
                None => ffi::lua_pushvalue(state, ffi::LUA_GLOBALSINDEX),
            }
            ffi::lua_rawgetfield(state, -1, name.as_ptr());
            let original = ffi::lua_tocfunction(state, -1).expect("one of Luau's functions");
            ffi::lua_pop(state, 1);
            ffi::lua_pushlightuserdata(state, original as *mut c_void);
            ffi::lua_pushcclosurek(state, function, name.as_ptr(), 1, continuation);
            ffi::lua_rawsetfield(state, -2, name.as_ptr());
            ffi::lua_pop(state, 1);
        }
    }
}

/// Calls the function that the running one replaces, with the same arguments.
///
/// # Safety
///
/// The running function must be one that [`replace`] made. May throw.
unsafe fn call_original(state: *mut lua_State) -> c_int {
    // SAFETY: the upvalue is the address of a C function, which needs no upvalue of its own and no
    // continuation: none of those that we replace has one.
    unsafe {
        let address = ffi::lua_tolightuserdata(state, ffi::lua_upvalueindex(1));
        std::mem::transmute::<*mut c_void, lua_CFunction>(address)(state)
    }
}
