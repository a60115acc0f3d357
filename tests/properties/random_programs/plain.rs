//! Runs a program on a plain Luau state, from start to end.

use std::sync::{Arc, Mutex};

use mlua::{Lua, LuaString};

/// What a program did: what its main chunk returned or the error that ended it, and what it printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Behaviour {
    pub result: Result<String, String>,
    pub printed: String,
}

/// `print` on top of a function that takes lines, and a main chunk that runs as a coroutine, as
/// in a process: what it yields is dropped.
const DRIVER: &str = r#"
    local emit, main = ...
    function print(...)
        local parts = table.pack(...)
        for i = 1, parts.n do parts[i] = tostring(parts[i]) end
        emit(table.concat(parts, "\t"))
    end
    local thread = coroutine.create(main)
    local ok, value
    repeat ok, value = coroutine.resume(thread) until coroutine.status(thread) == "dead"
    if type(value) == "table" then value = "(error object is a table value)" end
    return ok, tostring(value)
"#;

pub fn run(source: &str) -> Behaviour {
    let lua = Lua::new();
    let printed = Arc::<Mutex<String>>::default();
    let sink = printed.clone();
    let emit = lua.create_function(move |_, line: LuaString| {
        *sink.lock().expect("no panic") += &(line.to_string_lossy() + "\n");
        Ok(())
    });
    let main = lua.load(source).set_name("=test").into_function().unwrap_or_else(|error| panic!("{error}"));
    let (ok, value): (bool, LuaString) =
        lua.load(DRIVER).call((emit.expect("function"), main)).expect("the driver catches errors");
    let value = value.to_string_lossy();
    let printed = std::mem::take(&mut *printed.lock().expect("no panic"));
    Behaviour { result: if ok { Ok(value) } else { Err(value) }, printed }
}
