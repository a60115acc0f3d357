//! Functions that go through their arguments once: they are charged to the slice and then do what
//! they always did.
//!
//! Where the arguments tell the cost it is charged before the call, so that a call that fails at its
//! end is paid for, too. Where only the result tells, it is charged after it.

use std::ffi::c_int;

use mlua::ffi::{self, lua_State};

use super::{Replacement, call_original, replacement};
use crate::luau::slice::charge;

/// Bytes that are copied and hashed in the time of a safepoint.
const BYTES_COPIED: u64 = 32;
/// Bytes that are looked at or written one by one in that time.
const BYTES_READ: u64 = 8;
/// Bytes of a buffer that are copied or filled in that time.
const BYTES_MOVED: u64 = 128;
/// Slots of a table or of the stack that are copied in that time.
const SLOTS_COPIED: u64 = 8;
/// Slots that are read and written one by one in that time.
const SLOTS_MOVED: u64 = 2;

/// Elements that one `table.move` may move: as many as fit the largest table. Luau goes through the
/// whole range, even where there is nothing.
const MAX_MOVE: i64 = 1 << 18;

/// Bytes of a format of `string.pack`, `packsize` and `unpack`: it may be one of millions of options
/// that take no argument.
const MAX_PACK_FORMAT: u64 = 1 << 14;

/// Defines a function that charges `$before`, calls the one that it replaces, and charges `$after`.
macro_rules! charged {
    ($name:ident, |$state:ident| $before:expr) => {
        charged!($name, |$state, results| $before, then 0);
    };
    ($name:ident, |$state:ident, $results:ident| then $after:expr) => {
        charged!($name, |$state, $results| 0, then $after);
    };
    ($name:ident, |$state:ident, $results:ident| $before:expr, then $after:expr) => {
        unsafe extern "C-unwind" fn $name($state: *mut lua_State) -> c_int {
            // SAFETY: these look at the running function's own stack; `replace` made that function.
            unsafe {
                charge($state, $before);
                let $results = call_original($state);
                charge($state, $after);
                $results
            }
        }
    };
}

charged!(string_byte, |state, results| then count(results) / SLOTS_COPIED);
charged!(string_char, |state| arguments(state) / SLOTS_COPIED);
charged!(
    string_format,
    |state, results| size(state, 1) / BYTES_READ,
    then size(state, -1) / BYTES_COPIED
);
charged!(string_case, |state| size(state, 1) / BYTES_READ);
charged!(
    string_pack,
    |state, results| pack_format(state, c"pack"),
    then size(state, -1) / BYTES_COPIED
);
charged!(string_packsize, |state| pack_format(state, c"packsize"));
charged!(string_unpack, |state, results| pack_format(state, c"unpack"), then results_size(state, results));
charged!(string_rep, |state| size(state, 1).saturating_mul(integer(state, 2, 0).max(0).cast_unsigned())
    / BYTES_COPIED);
charged!(string_sub, |state, results| then size(state, -1) / BYTES_COPIED);

charged!(table_clear, |state| size(state, 1) / SLOTS_COPIED);
charged!(table_clone, |state| size(state, 1) / SLOTS_COPIED);
charged!(
    table_concat,
    |state, results| elements(state, 3, 4),
    then size(state, -1) / BYTES_COPIED
);
charged!(table_create, |state| integer(state, 1, 0).max(0).cast_unsigned() / SLOTS_COPIED);
charged!(table_insert, |state| if ffi::lua_gettop(state) == 3 { shifted(state) } else { 0 });
charged!(table_remove, |state| if ffi::lua_gettop(state) >= 2 { shifted(state) } else { 0 });
charged!(table_maxn, |state| size(state, 1) / SLOTS_COPIED);
charged!(table_pack, |state| arguments(state) / SLOTS_COPIED);
charged!(table_unpack, |state| elements(state, 2, 3) / SLOTS_COPIED);

charged!(buffer_create, |state| integer(state, 1, 0).max(0).cast_unsigned() / BYTES_MOVED);
charged!(buffer_fromstring, |state| size(state, 1) / BYTES_MOVED);
charged!(buffer_tostring, |state| size(state, 1) / BYTES_COPIED);
charged!(buffer_readstring, |state, results| then size(state, -1) / BYTES_COPIED);
charged!(buffer_writestring, |state| size(state, 3) / BYTES_MOVED);
charged!(buffer_copy, |state| moved(state, 3, 5));
charged!(buffer_fill, |state| moved(state, 1, 4));

charged!(utf8_char, |state| arguments(state) / SLOTS_MOVED);
charged!(utf8_codepoint, |state, results| then count(results) / SLOTS_MOVED);
charged!(utf8_len, |state| {
    let length = size(state, 1);
    let first = position(integer(state, 2, 1), length);
    let last = position(integer(state, 3, -1), length);
    (last + 1).saturating_sub(first.max(1)) / BYTES_READ
});
// A character has up to four bytes.
charged!(utf8_offset, |state| {
    size(state, 1).min(integer(state, 2, 1).unsigned_abs().saturating_mul(4)) / BYTES_READ
});

charged!(select, |state| arguments(state) / SLOTS_COPIED);
charged!(tonumber, |state| size(state, 1) / BYTES_READ);

/// `table.move`, which also walks ranges that neither table has anything in.
unsafe extern "C-unwind" fn table_move(state: *mut lua_State) -> c_int {
    // SAFETY: looks at the running function's own stack; `replace` made that function.
    unsafe {
        let (first, last) = (integer(state, 2, 1), integer(state, 3, 0));
        let elements = last.saturating_sub(first).saturating_add(1).max(0);
        if elements > MAX_MOVE {
            ffi::luaL_error(
                state,
                c"table.move of %d elements; the limit is %d, move them in parts".as_ptr(),
                elements.min(c_int::MAX.into()) as c_int,
                MAX_MOVE as c_int,
            );
        }
        charge(state, elements.cast_unsigned() / SLOTS_MOVED);
        call_original(state)
    }
}

/// `table.find`, which goes on behind the array part as long as there are elements.
unsafe extern "C-unwind" fn table_find(state: *mut lua_State) -> c_int {
    // SAFETY: looks at the running function's own stack, and has room for one more value; `replace`
    // made that function. `lua_equal` may call a script's `__eq`, and throw.
    unsafe {
        let first = integer(state, 3, 1);
        let elements = (size(state, 1) as i64 + 1).saturating_sub(first);
        if elements > 0 || ffi::lua_type(state, 1) != ffi::LUA_TTABLE || ffi::lua_gettop(state) < 2 {
            charge(state, elements.max(0).cast_unsigned() / SLOTS_COPIED);
            return call_original(state);
        }
        // Not in the array part: nothing tells how many there are.
        for index in ffi::luaL_optinteger_(state, 3, 1)..=c_int::MAX {
            charge(state, 1);
            if ffi::lua_rawgeti_(state, 1, index) == ffi::LUA_TNIL {
                break;
            }
            if ffi::lua_equal(state, 2, -1) != 0 {
                ffi::lua_pushinteger_(state, index);
                return 1;
            }
            ffi::lua_pop(state, 1);
        }
        ffi::lua_pushnil(state);
    }
    1
}

/// `utf8.codes`, whose iterator skips continuation bytes from wherever it is called.
unsafe extern "C-unwind" fn utf8_codes(state: *mut lua_State) -> c_int {
    // SAFETY: `replace` made this function; the original returns iterator, string and 0, and leaves
    // the string at 1. There is room for two more values.
    unsafe {
        let results = call_original(state);
        let iterator = ffi::lua_tocfunction(state, -results).expect("the iterator of utf8.codes");
        ffi::lua_pushlightuserdata(state, iterator as *mut std::ffi::c_void);
        ffi::lua_pushcclosurek(state, utf8_next, std::ptr::null(), 1, None);
        ffi::lua_replace(state, -results - 1);
        results
    }
}

charged!(utf8_next, |state| {
    // A well-formed string has no more than three in a row.
    let from = integer(state, 2, 0).max(0).cast_unsigned();
    let (mut length, text) = (0, ffi::lua_type(state, 1) == ffi::LUA_TSTRING);
    let bytes = if text { ffi::lua_tolstring(state, 1, &raw mut length) } else { std::ptr::null() };
    let is_malformed = (from + 4) < length as u64
        && (0..4).all(|ahead| (*bytes.add((from + ahead) as usize)).cast_unsigned() & 0xc0 == 0x80);
    if is_malformed { length as u64 / BYTES_READ } else { 0 }
});

/// What they are called, and where.
pub(super) const REPLACEMENTS: &[Replacement] = &[
    Replacement { library: None, name: c"select", function: select, continuation: None },
    Replacement { library: None, name: c"tonumber", function: tonumber, continuation: None },
    Replacement { library: None, name: c"unpack", function: table_unpack, continuation: None },
    replacement(c"buffer", c"copy", buffer_copy),
    replacement(c"buffer", c"create", buffer_create),
    replacement(c"buffer", c"fill", buffer_fill),
    replacement(c"buffer", c"fromstring", buffer_fromstring),
    replacement(c"buffer", c"readstring", buffer_readstring),
    replacement(c"buffer", c"tostring", buffer_tostring),
    replacement(c"buffer", c"writestring", buffer_writestring),
    replacement(c"string", c"byte", string_byte),
    replacement(c"string", c"char", string_char),
    replacement(c"string", c"format", string_format),
    replacement(c"string", c"lower", string_case),
    replacement(c"string", c"pack", string_pack),
    replacement(c"string", c"packsize", string_packsize),
    replacement(c"string", c"rep", string_rep),
    replacement(c"string", c"reverse", string_case),
    replacement(c"string", c"sub", string_sub),
    replacement(c"string", c"unpack", string_unpack),
    replacement(c"string", c"upper", string_case),
    replacement(c"table", c"clear", table_clear),
    replacement(c"table", c"clone", table_clone),
    replacement(c"table", c"concat", table_concat),
    replacement(c"table", c"create", table_create),
    replacement(c"table", c"find", table_find),
    replacement(c"table", c"insert", table_insert),
    replacement(c"table", c"maxn", table_maxn),
    replacement(c"table", c"move", table_move),
    replacement(c"table", c"pack", table_pack),
    replacement(c"table", c"remove", table_remove),
    replacement(c"table", c"unpack", table_unpack),
    replacement(c"utf8", c"char", utf8_char),
    replacement(c"utf8", c"codepoint", utf8_codepoint),
    replacement(c"utf8", c"codes", utf8_codes),
    replacement(c"utf8", c"len", utf8_len),
    replacement(c"utf8", c"offset", utf8_offset),
];

/// How many arguments the running function has.
///
/// # Safety
///
/// As for all below: `state` must be the running thread, in a C function.
unsafe fn arguments(state: *mut lua_State) -> u64 {
    // SAFETY: by the contract.
    count(unsafe { ffi::lua_gettop(state) })
}

fn count(number: c_int) -> u64 {
    number.max(0).cast_unsigned().into()
}

/// Bytes of a string or a buffer, elements of a table, 0 for anything else.
unsafe fn size(state: *mut lua_State, index: c_int) -> u64 {
    // SAFETY: by the contract. The length of a number is not asked for: that would convert it.
    unsafe {
        match ffi::lua_type(state, index) {
            ffi::LUA_TSTRING | ffi::LUA_TTABLE | ffi::LUA_TBUFFER => count(ffi::lua_objlen_(state, index)),
            _ => 0,
        }
    }
}

/// All the strings among the results.
unsafe fn results_size(state: *mut lua_State, results: c_int) -> u64 {
    // SAFETY: by the contract; these are the topmost values.
    let bytes: u64 = (1..=results).map(|index| unsafe { size(state, -index) }).sum();
    bytes / BYTES_COPIED
}

/// An integer argument, or `default` where there is none.
unsafe fn integer(state: *mut lua_State, index: c_int, default: i64) -> i64 {
    // SAFETY: by the contract. A string is converted elsewhere: it stays what it is.
    unsafe {
        match ffi::lua_type(state, index) {
            ffi::LUA_TNUMBER | ffi::LUA_TSTRING => {
                let number = ffi::lua_tonumberx(state, index, std::ptr::null_mut());
                (number as i64).clamp(c_int::MIN.into(), c_int::MAX.into())
            }
            _ => default,
        }
    }
}

/// A position in a string, counted from its end if it is negative, and 0 before its start.
fn position(position: i64, length: u64) -> u64 {
    let length = length.cast_signed();
    (if position < 0 { position + length + 1 } else { position }).clamp(0, length).cast_unsigned()
}

/// How many elements lie between the bounds that two arguments give, by default all.
unsafe fn elements(state: *mut lua_State, first: c_int, last: c_int) -> u64 {
    // SAFETY: by the contract.
    unsafe {
        let (first, last) = (integer(state, first, 1), integer(state, last, size(state, 1).cast_signed()));
        (last - first + 1).max(0).cast_unsigned()
    }
}

/// How many elements come behind the position that argument 2 gives.
unsafe fn shifted(state: *mut lua_State) -> u64 {
    // SAFETY: by the contract.
    unsafe {
        let length = size(state, 1).cast_signed();
        match integer(state, 2, length) {
            position if (1..=length).contains(&position) => (length - position).cast_unsigned() / SLOTS_MOVED,
            _ => 0,
        }
    }
}

/// Bytes that a buffer function moves: as many as argument `count` says, by default the buffer.
unsafe fn moved(state: *mut lua_State, buffer: c_int, count: c_int) -> u64 {
    // SAFETY: by the contract.
    unsafe {
        let all = size(state, buffer);
        integer(state, count, all.cast_signed()).clamp(0, all.cast_signed()).cast_unsigned() / BYTES_MOVED
    }
}

/// What it costs to read the format in argument 1. Throws when that is too long.
unsafe fn pack_format(state: *mut lua_State, function: &std::ffi::CStr) -> u64 {
    // SAFETY: by the contract.
    unsafe {
        let length = size(state, 1);
        if length > MAX_PACK_FORMAT {
            ffi::luaL_error(
                state,
                c"string.%s with a format of %d bytes; the limit is %d".as_ptr(),
                function.as_ptr(),
                length as c_int,
                MAX_PACK_FORMAT as c_int,
            );
        }
        length
    }
}
