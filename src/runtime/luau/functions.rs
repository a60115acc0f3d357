//! The functions of the sandbox that need the process that calls them: `print`, `os.clock`,
//! `math.random`, `math.randomseed`, and the ones that keep a process's globals its own.

use std::ffi::c_int;
use std::ptr;

use mlua::ffi::{self, lua_State};
use mlua::{Lua, Table};

use super::slice::with_context;

/// Puts our functions into the sandbox's tables before they are frozen. `base` is the table of
/// globals, `environment_metatable` the metatable that every process's `_G` will share.
pub(crate) fn register(lua: &Lua, base: &Table, environment_metatable: &Table) -> mlua::Result<()> {
    let function = |f| {
        // SAFETY: the functions below keep to the rules of C functions: they check their arguments,
        // return the number of results they push, and throw only where nothing needs dropping.
        unsafe { lua.create_c_function(f) }
    };
    base.raw_set("print", function(print)?)?;
    base.raw_get::<Table>("os")?.raw_set("clock", function(clock)?)?;
    let math = base.raw_get::<Table>("math")?;
    math.raw_set("random", function(random)?)?;
    math.raw_set("randomseed", function(random_seed)?)?;

    environment_metatable.raw_set("__newindex", new_global(lua, base, None)?)?;
    base.raw_set("rawset", new_global(lua, base, Some(environment_metatable))?)?;

    let base_metatable = lua.create_table()?;
    base_metatable.raw_set("__index", function(own_globals)?)?;
    base_metatable.raw_set("__metatable", false)?;
    base_metatable.set_readonly(true);
    base.set_metatable(Some(base_metatable))
}

/// `__newindex` of environments or, with their metatable, `rawset`.
fn new_global(lua: &Lua, base: &Table, only_with: Option<&Table>) -> mlua::Result<mlua::Function> {
    // SAFETY: two upvalues are pushed and taken by the closure, inside a protected call.
    unsafe {
        lua.exec_raw((base, only_with), |state| {
            let name = if only_with.is_some() { c"rawset" } else { c"__newindex" };
            let f = if only_with.is_some() { raw_set } else { set_global };
            ffi::lua_pushcclosurek(state, f, name.as_ptr(), 2, None);
        })
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
    // SAFETY: `__newindex` is called with table, key and value; the first upvalue is the base.
    unsafe {
        ffi::lua_settop(state, 3);
        ffi::lua_pushvalue(state, 2);
        if ffi::lua_rawget(state, ffi::lua_upvalueindex(1)) != ffi::LUA_TNIL {
            ffi::lua_setsafeenv(state, 1, 0);
        }
        ffi::lua_settop(state, 3);
        ffi::lua_rawset(state, 1);
    }
    0
}

/// `rawset(table, key, value)`, which must not get past [`set_global`].
unsafe extern "C-unwind" fn raw_set(state: *mut lua_State) -> c_int {
    // SAFETY: the arguments are checked; the second upvalue is the environments' metatable.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::luaL_checkany(state, 2);
        ffi::luaL_checkany(state, 3);
        ffi::lua_settop(state, 3);
        let is_environment = ffi::lua_getmetatable(state, 1) != 0
            && ffi::lua_rawequal(state, -1, ffi::lua_upvalueindex(2)) != 0;
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
