//! `table.sort`, in Luau, so that it is preempted as any code of a script is, comparator included.
//!
//! Two things differ from Luau's own: a comparator may yield, and one that makes the table longer is
//! told so less often.

use std::ffi::{c_int, c_void};

use mlua::ffi::{self, lua_State};

use super::call_original;
use crate::runtime::luau::slice::charge;

/// The algorithm: a chunk that gets [`sort_quickly`] and [`less_than`] and returns `table.sort`.
pub(in crate::runtime::luau) const ALGORITHM: &str = include_str!("sort.luau");

/// Up to this many numbers or short strings are sorted in one go, in less than 100 microseconds.
const QUICK_ELEMENTS: c_int = 512;

/// Two strings of this many bytes are compared about as quickly as numbers.
const SHORT_STRING: c_int = 64;

/// Bytes of two strings that are compared in the time of a safepoint.
const BYTES_COMPARED: c_int = 128;

/// Puts our `table.sort` in the place of Luau's, and on the stack: its environment is to be the base.
///
/// # Safety
///
/// The loaded [`ALGORITHM`] must be on top of the stack, with room for five values more; the
/// libraries must be open and not frozen. May throw.
pub(in crate::runtime::luau) unsafe fn install(state: *mut lua_State) {
    // SAFETY: by the contract. A C function's address fits a pointer.
    unsafe {
        ffi::lua_rawgetfield(state, ffi::LUA_GLOBALSINDEX, c"table".as_ptr());
        ffi::lua_insert(state, -2);
        ffi::lua_rawgetfield(state, -2, c"sort".as_ptr());
        let original = ffi::lua_tocfunction(state, -1).expect("Luau's table.sort");
        ffi::lua_pop(state, 1);
        ffi::lua_pushlightuserdata(state, original as *mut c_void);
        ffi::lua_pushcclosurek(state, sort_quickly, std::ptr::null(), 1, None);
        ffi::lua_pushcclosurek(state, less_than, std::ptr::null(), 0, None);
        ffi::lua_call(state, 2, 1);
        ffi::lua_pushvalue(state, -1);
        ffi::lua_rawsetfield(state, -3, c"sort".as_ptr());
        ffi::lua_remove(state, -2);
    }
}

/// Sorts a table that is quick to sort; says whether it was.
unsafe extern "C-unwind" fn sort_quickly(state: *mut lua_State) -> c_int {
    // SAFETY: `sort.luau` passes a table that is not frozen, and `install` made this function.
    unsafe {
        let elements = ffi::lua_objlen_(state, 1);
        let quick = is_quick(state, elements);
        if quick {
            let comparisons = elements * (c_int::BITS - elements.leading_zeros()).cast_signed();
            charge(state, u64::from((comparisons / 2).unsigned_abs()));
            call_original(state);
        }
        ffi::lua_pushboolean(state, quick.into());
    }
    1
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
