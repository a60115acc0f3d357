//! Runs a program on a plain Luau state, from start to end.

use std::sync::{Arc, Mutex};

use mlua::{Lua, LuaString};

/// What a program did: what its main chunk returned or the error that ended it, and what it printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Behaviour {
    pub result: Result<String, String>,
    pub printed: String,
}

/// Notes where something asks for a wait, or whether it could, and Luau's answer is no. In callbacks of our library
/// functions it is yes.
const NOTES: &str = r#"
    local can, yield = coroutine.isyieldable, coroutine.yield
    refused = false
    function coroutine.isyieldable()
        refused = refused or not can()
        return can()
    end
    function coroutine.yield(...)
        refused = refused or not can()
        return yield(...)
    end
"#;

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

/// `None` if it cannot be compared: Luau has refused to wait.
pub fn run(source: &str) -> Option<Behaviour> {
    let lua = Lua::new();
    lua.load(NOTES).exec().expect("it raises no errors");
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
    let refused: bool = lua.globals().get("refused").expect("the notes");
    (!refused).then_some(Behaviour { result: if ok { Ok(value) } else { Err(value) }, printed })
}
