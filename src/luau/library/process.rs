//! Functions that need the process that calls them: `print`, `os.clock`, `math.random`,
//! `math.randomseed`.

use std::ffi::c_int;
use std::ptr;

use mlua::ffi::{self, lua_State};

use crate::luau::shared::{with_context, with_outcome};
use crate::luau::slice::charge;
use crate::random::Pcg32;

/// Bytes that are printed in the time of a safepoint.
const BYTES_PRINTED: usize = 32;

/// `print(...)`: one line of the process's console.
pub(super) unsafe extern "C-unwind" fn print(state: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack. All conversions come first: they may run a script's
    // `__tostring`, which may throw, be interrupted, or print.
    unsafe {
        if with_context(state, |context| context.console.is_silent()) != Some(false) {
            return 0;
        }
        let count = ffi::lua_gettop(state);
        for index in 1..=count {
            ffi::luaL_tolstring_(state, index, ptr::null_mut());
            ffi::lua_replace(state, index);
        }
        let bytes = with_outcome(state, |context| {
            let (console, mut bytes) = (&mut context.console, 0);
            for index in 1..=count {
                if index > 1 {
                    console.push(b"\t");
                }
                let mut length = 0;
                let text = ffi::lua_tolstring(state, index, &raw mut length);
                console.push(std::slice::from_raw_parts(text.cast(), length));
                bytes += length;
            }
            console.push(b"\n");
            bytes
        });
        charge(state, (bytes.unwrap_or(0) / BYTES_PRINTED) as u64);
    }
    0
}

/// `os.clock()`: seconds of the game's virtual time.
pub(super) unsafe extern "C-unwind" fn clock(state: *mut lua_State) -> c_int {
    // SAFETY: a C function has room for its results.
    unsafe {
        let now = with_context(state, |context| context.now).unwrap_or_default();
        ffi::lua_pushnumber(state, now);
    }
    1
}

/// `math.random([m [, n]])`, from the process's own generator.
pub(super) unsafe extern "C-unwind" fn random(state: *mut lua_State) -> c_int {
    // SAFETY: arguments are checked by the calls that read them; one result is pushed.
    unsafe {
        let (low, high, argument) = match ffi::lua_gettop(state) {
            0 => {
                let number =
                    with_context(state, |context| context.caller().random.next_f64()).unwrap_or_default();
                ffi::lua_pushnumber(state, number);
                return 1;
            }
            1 => (1, ffi::luaL_checkinteger_(state, 1), 1),
            2 => (ffi::luaL_checkinteger_(state, 1), ffi::luaL_checkinteger_(state, 2), 2),
            _ => ffi::luaL_error(state, c"wrong number of arguments".as_ptr()),
        };
        if low > high {
            ffi::luaL_argerror(state, argument, c"interval is empty".as_ptr());
        }
        let number =
            with_context(state, |context| context.caller().random.in_range(low, high)).unwrap_or(low);
        ffi::lua_pushnumber(state, f64::from(number));
    }
    1
}

/// `math.randomseed(seed)`: seeds the process's own generator.
pub(super) unsafe extern "C-unwind" fn random_seed(state: *mut lua_State) -> c_int {
    // SAFETY: the argument is checked by the call that reads it.
    unsafe {
        let seed = ffi::luaL_checknumber(state, 1);
        with_context(state, |context| context.caller().random = Pcg32::from_seed(seed.to_bits()));
    }
    0
}
