//! `string.find` for plain text and `string.split`: Luau compares at every position, which takes
//! subject times needle. These take the sum.

use std::ffi::c_int;
use std::slice;

use memchr::memmem;
use mlua::ffi::{self, lua_State};

use super::pattern;
use super::{Replacement, call_original, replacement};
use crate::luau::slice::charge;

/// Bytes that are searched in the time of a safepoint.
const BYTES_SEARCHED: usize = 32;

/// What gives a byte of a pattern a meaning of its own (`SPECIALS` in lstrlib.cpp).
const SPECIALS: &[u8] = b"^$*+?.([%-";

/// What they are called, and where.
pub(super) const REPLACEMENTS: &[Replacement] =
    &[replacement(c"string", c"find", find), replacement(c"string", c"split", split)];

/// `string.find(s, pattern [, init [, plain]])`.
unsafe extern "C-unwind" fn find(state: *mut lua_State) -> c_int {
    // SAFETY: arguments are checked by the calls that read them, in Luau's order, so that errors are
    // the same; `replace` made this function.
    unsafe {
        let subject = check_string(state, 1);
        let needle = check_string(state, 2);
        let init = start(ffi::luaL_optinteger_(state, 3, 1), subject.len());
        let is_plain =
            ffi::lua_toboolean(state, 4) != 0 || !needle.iter().any(|byte| SPECIALS.contains(byte));
        if init > subject.len() {
            ffi::lua_pushnil(state);
            return 1;
        }
        if !is_plain {
            pattern::check(state, c"find", subject.len() - init, needle);
            return call_original(state);
        }
        match memmem::find(&subject[init..], needle) {
            Some(at) => {
                charge(state, ((at + needle.len()) / BYTES_SEARCHED) as u64);
                ffi::lua_pushinteger_(state, (init + at + 1) as c_int);
                ffi::lua_pushinteger_(state, (init + at + needle.len()) as c_int);
                2
            }
            None => {
                charge(state, ((subject.len() - init + needle.len()) / BYTES_SEARCHED) as u64);
                ffi::lua_pushnil(state);
                1
            }
        }
    }
}

/// `string.split(s [, separator])`.
unsafe extern "C-unwind" fn split(state: *mut lua_State) -> c_int {
    // SAFETY: as for `find`. The strings are anchored by the stack; the loops hold nothing that needs
    // dropping where making a string or growing the table throws.
    unsafe {
        let subject = check_string(state, 1);
        let mut length = 0;
        let separator = ffi::luaL_optlstring(state, 2, c",".as_ptr(), &raw mut length);
        let separator = slice::from_raw_parts(separator.cast::<u8>(), length);
        charge(state, ((subject.len() + separator.len()) / BYTES_SEARCHED) as u64);
        ffi::lua_createtable(state, 0, 0);
        let mut parts = 0;
        let mut push = |part: &[u8]| {
            parts += 1;
            if parts % 4 == 0 {
                charge(state, 1);
            }
            ffi::lua_pushlstring_(state, part.as_ptr().cast(), part.len());
            ffi::lua_rawseti_(state, -2, parts);
        };
        if separator.is_empty() {
            for byte in subject.chunks(1) {
                push(byte);
            }
            return 1;
        }
        let mut rest = subject;
        while let Some(at) = memmem::find(rest, separator) {
            push(&rest[..at]);
            rest = &rest[at + separator.len()..];
        }
        push(rest);
    }
    1
}

/// A string argument; throws if it is not one. A number becomes one, as everywhere in Luau.
///
/// # Safety
///
/// `state` must be the running thread, in a C function whose argument stays where it is while the
/// result is used.
pub(super) unsafe fn check_string<'a>(state: *mut lua_State, index: c_int) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: Luau gives a valid pointer, with that many bytes behind it.
    unsafe {
        let text = ffi::luaL_checklstring(state, index, &raw mut length);
        slice::from_raw_parts(text.cast::<u8>(), length)
    }
}

/// Where to start, counted from 0, for an argument counted from 1 or from the end.
pub(super) fn start(init: c_int, length: usize) -> usize {
    let init = if init < 0 { i64::from(init) + length as i64 + 1 } else { init.into() };
    init.max(1) as usize - 1
}
