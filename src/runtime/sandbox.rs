//! What scripts can reach: an allowlist, copied into tables of our own and frozen.

use std::hash::{BuildHasher, RandomState};

use mlua::{Lua, LuaString, StdLib, Table, Value};

/// The libraries that are loaded to copy from. The base functions always are.
pub(crate) fn libraries() -> StdLib {
    StdLib::COROUTINE
        | StdLib::TABLE
        | StdLib::OS
        | StdLib::STRING
        | StdLib::UTF8
        | StdLib::BIT
        | StdLib::MATH
        | StdLib::BUFFER
        | StdLib::VECTOR
        | StdLib::DEBUG
}

/// Global functions and values. `print` and `rawset` are ours, `_G` is each process's own.
const GLOBALS: &[&str] = &[
    "_VERSION", "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal",
    "rawget", "rawlen", "select", "setmetatable", "tonumber", "tostring", "type", "typeof", "unpack",
    "xpcall",
];

/// Libraries that are taken whole: they compute and touch nothing outside their arguments.
const WHOLE_LIBRARIES: &[&str] = &["bit32", "buffer", "coroutine", "string", "table", "utf8", "vector"];

/// Libraries of which only some functions are taken. `math` without its generator, which all
/// processes would share, and nothing of `debug` that reaches another function's locals. Ours are
/// added afterwards: `os.clock`, `math.random`, `math.randomseed`.
const PARTIAL_LIBRARIES: &[(&str, &[&str])] = &[
    ("debug", &["traceback"]),
    (
        "math",
        &[
            "abs", "acos", "asin", "atan", "atan2", "ceil", "clamp", "cos", "cosh", "deg", "exp",
            "floor", "fmod", "frexp", "huge", "isfinite", "isinf", "isnan", "ldexp", "lerp", "log",
            "log10", "map", "max", "min", "modf", "noise", "pi", "pow", "rad", "round", "sign", "sin",
            "sinh", "sqrt", "tan", "tanh",
        ],
    ),
    ("os", &[]),
];

/// The frozen tables that all processes of a state share.
pub(crate) struct Base {
    /// What a process's own globals fall through to.
    pub(crate) globals: Table,
    /// The metatable of each process's own globals.
    pub(crate) environment_metatable: Table,
}

/// Builds the sandbox of a new state. `add_functions` puts the host's functions in before the tables
/// are frozen.
pub(crate) fn build(
    lua: &Lua,
    add_functions: impl FnOnce(&Table, &Table) -> mlua::Result<()>,
) -> mlua::Result<Base> {
    let all = lua.globals();
    let globals = lua.create_table()?;
    let environment_metatable = lua.create_table()?;
    for &name in GLOBALS {
        globals.raw_set(name, all.raw_get::<Value>(name)?)?;
    }
    for &name in WHOLE_LIBRARIES {
        let library = lua.create_table()?;
        for entry in all.raw_get::<Table>(name)?.pairs::<Value, Value>() {
            let (key, value) = entry?;
            library.raw_set(key, value)?;
        }
        globals.raw_set(name, library)?;
    }
    for &(name, members) in PARTIAL_LIBRARIES {
        let library = lua.create_table()?;
        let original: Table = all.raw_get(name)?;
        for &member in members {
            library.raw_set(member, original.raw_get::<Value>(member)?)?;
        }
        globals.raw_set(name, library)?;
    }
    add_functions(&globals, &environment_metatable)?;
    environment_metatable.raw_set("__index", &globals)?;
    environment_metatable.raw_set("__metatable", false)?;
    environment_metatable.set_readonly(true);
    share_string_methods(lua, &globals)?;
    for entry in globals.pairs::<Value, Value>() {
        if let Value::Table(library) = entry?.1 {
            library.set_readonly(true);
        }
    }
    globals.set_readonly(true);
    globals.set_safeenv(true);
    lua.sandbox(true)?;
    Ok(Base { globals, environment_metatable })
}

/// Lets `("text"):upper()` find our frozen `string` library.
fn share_string_methods(lua: &Lua, globals: &Table) -> mlua::Result<()> {
    let metatable = lua.create_table()?;
    metatable.raw_set("__index", globals.raw_get::<Table>("string")?)?;
    metatable.raw_set("__metatable", false)?;
    metatable.set_readonly(true);
    lua.set_type_metatable::<LuaString>(Some(metatable));
    Ok(())
}

/// Keys with which Luau encodes the addresses that `tostring({})` shows: different in each state, so
/// that scripts do not learn where the game's memory is.
pub(crate) fn pointer_keys() -> [u64; 4] {
    let hasher = RandomState::new();
    [0u64, 1, 2, 3].map(|key| hasher.hash_one(key))
}
