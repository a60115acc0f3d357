//! The functions of the sandbox that need the process that calls them: `print`, `os.clock`,
//! `math.random`, `math.randomseed`, and the ones that keep a process's globals its own.

use std::ffi::{CStr, c_int};
use std::ptr;

use mlua::ffi::{self, lua_CFunction, lua_State};

use super::slice::with_context;

/// What `sandbox.luau` gets of ours, by the names that it uses.
pub(super) const FUNCTIONS: &[(&CStr, lua_CFunction)] = &[
    (c"print", print),
    (c"clock", clock),
    (c"random", random),
    (c"randomseed", random_seed),
    (c"own_globals", own_globals),
    (c"newindex", set_global),
    (c"rawset", raw_set),
];

/// Where [`set_global`] and [`raw_set`] find the base, in the registry.
const BASE: &CStr = c"bevy_luau_os.base";
/// Where [`raw_set`] finds the metatable of environments, in the registry.
const ENVIRONMENT: &CStr = c"bevy_luau_os.environment";

/// Tells the functions of a state which tables are the base, at stack index `base`, and the metatable
/// of environments, at `environment`.
///
/// # Safety
///
/// The indices must be valid, absolute, and those of tables; there must be room for a value. May throw.
pub(super) unsafe fn connect(state: *mut lua_State, base: c_int, environment: c_int) {
    // SAFETY: by the contract.
    unsafe {
        ffi::lua_pushvalue(state, base);
        ffi::lua_rawsetfield(state, ffi::LUA_REGISTRYINDEX, BASE.as_ptr());
        ffi::lua_pushvalue(state, environment);
        ffi::lua_rawsetfield(state, ffi::LUA_REGISTRYINDEX, ENVIRONMENT.as_ptr());
    }
}

/// `print(...)`: one line of the process's console.
unsafe extern "C-unwind" fn print(state: *mut lua_State) -> c_int {
    if with_context(|context| context.console.is_silent()) != Some(false) {
        return 0;
    }
    // SAFETY: a C function's own stack. All conversions come first: they may run a script's
    // `__tostring`, which may throw, be interrupted, or print.
    unsafe {
        let count = ffi::lua_gettop(state);
        for index in 1..=count {
            ffi::luaL_tolstring_(state, index, ptr::null_mut());
            ffi::lua_replace(state, index);
        }
        with_context(|context| {
            for index in 1..=count {
                if index > 1 {
                    context.console.push(b"\t");
                }
                let mut length = 0;
                let text = ffi::lua_tolstring(state, index, &raw mut length);
                context.console.push(std::slice::from_raw_parts(text.cast(), length));
            }
            context.console.push(b"\n");
        });
    }
    0
}

/// `os.clock()`: seconds of the game's virtual time.
unsafe extern "C-unwind" fn clock(state: *mut lua_State) -> c_int {
    let now = with_context(|context| context.now).unwrap_or_default();
    // SAFETY: a C function has room for its results.
    unsafe { ffi::lua_pushnumber(state, now) };
    1
}

/// `math.random([m [, n]])`, from the process's own generator.
unsafe extern "C-unwind" fn random(state: *mut lua_State) -> c_int {
    // SAFETY: arguments are checked by the calls that read them; one result is pushed.
    unsafe {
        let (low, high, argument) = match ffi::lua_gettop(state) {
            0 => {
                let number = with_context(|context| context.random.next_f64()).unwrap_or_default();
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
        let number = with_context(|context| context.random.in_range(low, high)).unwrap_or(low);
        ffi::lua_pushnumber(state, f64::from(number));
    }
    1
}

/// `math.randomseed(seed)`: seeds the process's own generator.
unsafe extern "C-unwind" fn random_seed(state: *mut lua_State) -> c_int {
    // SAFETY: the argument is checked by the call that reads it.
    let seed = unsafe { ffi::luaL_checknumber(state, 1) };
    with_context(|context| context.random = super::Pcg32::from_seed(seed.to_bits()));
    0
}

/// `__index` of the base: what no process and no base defines. `_G` is the process's own table.
///
/// On the main thread there is no process: that is `luau_load`, which would keep what it gets.
unsafe extern "C-unwind" fn own_globals(state: *mut lua_State) -> c_int {
    // SAFETY: `__index` is called with the table and the key.
    unsafe {
        let is_main = ffi::lua_mainthread(state) == state;
        ffi::lua_pushliteral(state, c"_G");
        if !is_main && ffi::lua_rawequal(state, 2, -1) != 0 {
            ffi::lua_pushvalue(state, ffi::LUA_GLOBALSINDEX);
        } else {
            ffi::lua_pushnil(state);
        }
    }
    1
}

/// `__newindex` of environments: called for each first assignment to a global.
///
/// Luau resolves globals of the base when a script is loaded and may call builtins without a look-up
/// while an environment is "safe". A process that gives one of those names a value of its own must
/// get its own value from then on, so its environment stops being safe.
unsafe extern "C-unwind" fn set_global(state: *mut lua_State) -> c_int {
    // SAFETY: `__newindex` is called with table, key and value; `connect` was called.
    unsafe {
        ffi::lua_settop(state, 3);
        ffi::lua_rawgetfield(state, ffi::LUA_REGISTRYINDEX, BASE.as_ptr());
        ffi::lua_pushvalue(state, 2);
        if ffi::lua_rawget(state, 4) != ffi::LUA_TNIL {
            ffi::lua_setsafeenv(state, 1, 0);
        }
        ffi::lua_settop(state, 3);
        ffi::lua_rawset(state, 1);
    }
    0
}

/// `rawset(table, key, value)`, which must not get past [`set_global`].
unsafe extern "C-unwind" fn raw_set(state: *mut lua_State) -> c_int {
    // SAFETY: the arguments are checked; `connect` was called.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::luaL_checkany(state, 2);
        ffi::luaL_checkany(state, 3);
        ffi::lua_settop(state, 3);
        ffi::lua_rawgetfield(state, ffi::LUA_REGISTRYINDEX, ENVIRONMENT.as_ptr());
        let is_environment = ffi::lua_getmetatable(state, 1) != 0 && ffi::lua_rawequal(state, -1, 4) != 0;
        ffi::lua_settop(state, 3);
        if is_environment {
            set_global(state);
        } else {
            ffi::lua_rawset(state, 1);
        }
        ffi::lua_settop(state, 1);
    }
    1
}
