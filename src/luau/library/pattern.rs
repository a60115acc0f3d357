//! Patterns: `string.match`, `gmatch`, `gsub`, and `string.find` where its needle is one.
//!
//! Luau calls the interrupt whenever it matches the rest of a pattern, so backtracking is counted and
//! stopped. What it does between two such calls is limited here: going through a repetition
//! (subject times the longest set), reading the pattern, copying a replacement.

use std::ffi::{CStr, c_int};

use memchr::memchr_iter;
use mlua::ffi::{self, lua_State};

use super::search::{check_string, start};
use super::{Replacement, call_original, replacement};
use crate::luau::slice::charge;

/// Bytes of the subject times bytes of the longest set, `[...]`, of the pattern: a millisecond.
const MAX_SCAN: usize = 1 << 20;

/// Bytes of a pattern.
const MAX_PATTERN: usize = 1 << 13;

/// Uses of captures, `%1`, in the replacement of `string.gsub`, which is made for every match.
const MAX_ESCAPES: usize = 1 << 8;

/// Bytes that are copied and hashed in the time of a safepoint.
const BYTES_COPIED: c_int = 32;

/// What they are called, and where.
pub(super) const REPLACEMENTS: &[Replacement] = &[
    replacement(c"string", c"gmatch", gmatch),
    replacement(c"string", c"gsub", gsub),
    replacement(c"string", c"match", r#match),
];

/// `string.match(s, pattern [, init])`.
unsafe extern "C-unwind" fn r#match(state: *mut lua_State) -> c_int {
    // SAFETY: arguments are checked by the calls that read them, in Luau's order, so that errors are
    // the same; `replace` made this function.
    unsafe {
        let subject = check_string(state, 1);
        let pattern = check_string(state, 2);
        let init = start(ffi::luaL_optinteger_(state, 3, 1), subject.len());
        check(state, c"match", subject.len().saturating_sub(init), pattern);
        call_original(state)
    }
}

/// `string.gmatch(s, pattern)`.
unsafe extern "C-unwind" fn gmatch(state: *mut lua_State) -> c_int {
    // SAFETY: as for `match`.
    unsafe {
        let subject = check_string(state, 1);
        let pattern = check_string(state, 2);
        check(state, c"gmatch", subject.len(), pattern);
        call_original(state)
    }
}

/// `string.gsub(s, pattern, replacement [, limit])`.
unsafe extern "C-unwind" fn gsub(state: *mut lua_State) -> c_int {
    // SAFETY: as for `match`. The result is below the count.
    unsafe {
        let subject = check_string(state, 1);
        let pattern = check_string(state, 2);
        check(state, c"gsub", subject.len(), pattern);
        if ffi::lua_type(state, 3) == ffi::LUA_TSTRING {
            let escapes = memchr_iter(b'%', check_string(state, 3)).count();
            if escapes > MAX_ESCAPES {
                ffi::luaL_error(
                    state,
                    c"string.gsub with %d escapes in the replacement; the limit is %d".as_ptr(),
                    escapes as c_int,
                    MAX_ESCAPES as c_int,
                );
            }
        }
        let results = call_original(state);
        charge(state, u64::from((ffi::lua_objlen_(state, -2) / BYTES_COPIED).unsigned_abs()));
        results
    }
}

/// Throws if a pattern could keep `function` busy for too long between two looks at the interrupt.
///
/// # Safety
///
/// `state` must be the running thread, in a C function.
pub(super) unsafe fn check(state: *mut lua_State, function: &CStr, subject: usize, pattern: &[u8]) {
    let set = longest_set(pattern);
    if pattern.len() > MAX_PATTERN {
        // SAFETY: by the contract; the arguments are what the format says.
        unsafe {
            ffi::luaL_error(
                state,
                c"string.%s with a pattern of %d bytes; the limit is %d".as_ptr(),
                function.as_ptr(),
                pattern.len() as c_int,
                MAX_PATTERN as c_int,
            )
        }
    }
    if subject.saturating_mul(set) > MAX_SCAN {
        // SAFETY: as above.
        unsafe {
            ffi::luaL_error(
                state,
                c"string.%s of %d bytes with a pattern whose longest set has %d bytes; the product is limited to %d"
                    .as_ptr(),
                function.as_ptr(),
                subject as c_int,
                set as c_int,
                MAX_SCAN as c_int,
            )
        }
    }
}

/// Bytes between the brackets of the longest set of a pattern, and 1 if there is none.
fn longest_set(pattern: &[u8]) -> usize {
    let (mut longest, mut at) = (1, 0);
    while let Some(&byte) = pattern.get(at) {
        at += 1;
        match byte {
            b'%' => at += 1,
            b'[' => {
                let opened = at;
                // As Luau's `classend`: what comes first does not close the set.
                at += usize::from(pattern.get(at) == Some(&b'^'));
                loop {
                    at += if pattern.get(at) == Some(&b'%') { 2 } else { 1 };
                    if pattern.get(at).is_none_or(|&byte| byte == b']') {
                        break;
                    }
                }
                longest = longest.max(at.min(pattern.len()) - opened.min(pattern.len()));
                at += 1;
            }
            _ => {}
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::longest_set;

    #[test]
    fn sets_end_where_luau_ends_them() {
        for (pattern, longest) in [
            ("", 1),
            ("abc.*%d+", 1),
            ("[ab]", 2),
            ("%[abcdef]", 1),
            ("%f[%w]x[abc]y[ab]", 3),
            ("[]]", 1),
            ("[^]ab]", 4),
            ("[%]ab]", 4),
            ("[a-z%]", 5),
            ("[", 1),
            ("[%", 1),
            ("[^", 1),
            ("%", 1),
        ] {
            assert_eq!(longest_set(pattern.as_bytes()), longest, "{pattern}");
        }
    }
}
