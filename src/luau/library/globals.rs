//! The functions that keep a process's globals its own.

use std::ffi::{CStr, c_int};

use mlua::ffi::{self, lua_State};

use crate::luau::modules;

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
pub(in crate::luau) unsafe fn connect(state: *mut lua_State, base: c_int, environment: c_int) {
    // SAFETY: by the contract.
    unsafe {
        ffi::lua_pushvalue(state, base);
        ffi::lua_rawsetfield(state, ffi::LUA_REGISTRYINDEX, BASE.as_ptr());
        ffi::lua_pushvalue(state, environment);
        ffi::lua_rawsetfield(state, ffi::LUA_REGISTRYINDEX, ENVIRONMENT.as_ptr());
    }
}

/// `__index` of the base: what no process and no base defines. `_G` is the process's own table.
///
/// On the main thread there is no process: that is `luau_load`, which would keep what it gets.
pub(super) unsafe extern "C-unwind" fn own_globals(state: *mut lua_State) -> c_int {
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
pub(super) unsafe extern "C-unwind" fn set_global(state: *mut lua_State) -> c_int {
    // SAFETY: `__newindex` is called with table, key and value; `connect` was called.
    unsafe {
        ffi::lua_settop(state, 3);
        ffi::lua_rawgetfield(state, ffi::LUA_REGISTRYINDEX, BASE.as_ptr());
        ffi::lua_pushvalue(state, 2);
        if ffi::lua_rawget(state, 4) != ffi::LUA_TNIL {
            ffi::lua_setsafeenv(state, 1, 0);
        }
        ffi::lua_settop(state, 3);
        ffi::lua_pushvalue(state, 2);
        ffi::lua_pushvalue(state, 3);
        ffi::lua_rawset(state, 1);
        modules::call_on_reload(state);
    }
    0
}

/// `rawset(table, key, value)`, which must not get past [`set_global`].
pub(super) unsafe extern "C-unwind" fn raw_set(state: *mut lua_State) -> c_int {
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
