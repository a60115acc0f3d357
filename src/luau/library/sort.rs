//! `table.sort`, in Luau, so that it is preempted as any code of a script is, comparator included.
//!
//! Three things differ from Luau's own: a comparator may yield, one that makes the table longer is told so
//! less often, and between a comparator and the caller of `sort` are two functions instead of one, which
//! shows in tracebacks and in the positions of errors that a comparator raises at level 3 and above.

use std::ffi::{CStr, c_int};
use std::sync::LazyLock;

use mlua::ffi::{self, lua_State};

use super::{Replacement, call_original};
use crate::luau::slice::charge;
use crate::script::Bytecode;

/// The algorithm: a chunk that gets a table and a comparator.
static ALGORITHM: LazyLock<Bytecode> =
    LazyLock::new(|| Bytecode::nameless(include_str!("sort.luau")).expect("sort.luau compiles"));

/// Where the loaded algorithm is, in the registry.
const LOADED: &CStr = c"bevy_luau_os.sort";

pub(super) const REPLACEMENTS: &[Replacement] =
    &[Replacement { library: Some(c"table"), name: c"sort", function: sort, continuation: Some(sorted) }];

/// Up to this many numbers or short strings are sorted in one go, in less than 100 microseconds.
const QUICK_ELEMENTS: c_int = 512;

/// Two strings of this many bytes are compared about as quickly as numbers.
const SHORT_STRING: c_int = 64;

/// Bytes of two strings that are compared in the time of a safepoint.
const BYTES_COMPARED: c_int = 128;

/// `table.sort(t, comparator?)`.
unsafe extern "C-unwind" fn sort(state: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack, which has room for 20 values; it replaces Luau's own, and has a
    // continuation.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        if ffi::lua_getreadonly(state, 1) != 0 {
            ffi::lua_pushliteral(state, c"attempt to modify a readonly table");
            ffi::lua_error(state);
        }
        let has_comparator = ffi::lua_isnoneornil(state, 2) == 0;
        if has_comparator {
            ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        }
        ffi::lua_settop(state, 2);
        let elements = ffi::lua_objlen_(state, 1);
        if !has_comparator && is_quick(state, elements) {
            let comparisons = elements * (c_int::BITS - elements.leading_zeros()).cast_signed();
            charge(state, u64::from((comparisons / 2).unsigned_abs()));
            return call_original(state);
        }
        push_algorithm(state);
        ffi::lua_insert(state, 1);
        if !has_comparator {
            ffi::lua_pushcclosurek(state, less_than, std::ptr::null(), 0, None);
            ffi::lua_replace(state, 3);
        }
        ffi::luaL_callyieldable(state, 2, 0)
    }
}

/// When the algorithm has returned.
unsafe extern "C-unwind" fn sorted(_: *mut lua_State, _: c_int) -> c_int {
    0
}

/// Pushes the algorithm. A state loads it when it is first needed: most never do, and it would take a tenth of
/// a fresh isolate.
///
/// # Safety
///
/// `state` must be running a function, with room for two values. May throw.
unsafe fn push_algorithm(state: *mut lua_State) {
    // SAFETY: by the contract. The main thread does not run, and its stack is empty between protected calls.
    // `Bytecode` comes from our own compiler.
    unsafe {
        if ffi::lua_rawgetfield(state, ffi::LUA_REGISTRYINDEX, LOADED.as_ptr()) == ffi::LUA_TFUNCTION {
            return;
        }
        ffi::lua_pop(state, 1);
        // There it gets the base as its globals, and is charged to nobody.
        let main = ffi::lua_mainthread(state);
        let code = ALGORITHM.as_bytes();
        let status = ffi::luau_load(main, c"=[C]".as_ptr(), code.as_ptr().cast(), code.len(), 0);
        ffi::lua_xmove(main, state, 1);
        if status != ffi::LUA_OK {
            ffi::lua_error(state);
        }
        ffi::lua_pushvalue(state, -1);
        ffi::lua_rawsetfield(state, ffi::LUA_REGISTRYINDEX, LOADED.as_ptr());
    }
}

/// Whether the table at 1 has few elements, all quick to compare.
///
/// # Safety
///
/// `state` must be the running thread, with a table at 1 and room for one more value.
unsafe fn is_quick(state: *mut lua_State, elements: c_int) -> bool {
    elements <= QUICK_ELEMENTS
        && (1..=elements).all(|index| {
            // SAFETY: by the contract; what is pushed is taken off.
            unsafe {
                let is_quick = match ffi::lua_rawgeti_(state, 1, index) {
                    ffi::LUA_TNUMBER => true,
                    ffi::LUA_TSTRING => ffi::lua_objlen_(state, -1) <= SHORT_STRING,
                    _ => false,
                };
                ffi::lua_pop(state, 1);
                is_quick
            }
        })
}

/// `a < b`, which in a C function has no position of its own to put before its errors.
unsafe extern "C-unwind" fn less_than(state: *mut lua_State) -> c_int {
    // SAFETY: `sort.luau` passes two values.
    unsafe {
        if [1, 2].iter().all(|&index| ffi::lua_type(state, index) == ffi::LUA_TSTRING) {
            let bytes = ffi::lua_objlen_(state, 1).min(ffi::lua_objlen_(state, 2));
            charge(state, u64::from((bytes / BYTES_COMPARED).unsigned_abs()));
        }
        let is_less = ffi::lua_lessthan(state, 1, 2);
        ffi::lua_pushboolean(state, is_less);
    }
    1
}
