//! What scripts can reach, and what they cannot.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::common;

/// Runs a script that returns `true` when all is well, or a message.
#[track_caller]
fn holds(app: &mut App, source: &str) {
    match common::outcome(app, source) {
        Outcome::Finished(values) if values == [bevy_luau_os::Value::Boolean(true)] => {}
        other => panic!("{source}\n{other:?}"),
    }
}

#[test]
fn globals_belong_to_their_process() {
    let mut app = common::app();
    holds(&mut app, "x = 1; _G.y = 2; return _G.x == 1 and y == 2 and rawget(_G, 'print') == nil");
    holds(&mut app, "return x == nil and y == nil and _G.x == nil");
    holds(&mut app, "print = nil; return type(print) == 'function' and rawget(_G, 'print') == nil");
    holds(&mut app, "print = function() return 5 end; return print() == 5 and _G.print() == 5");
    holds(&mut app, "return print() == nil");
}

#[test]
fn a_coroutine_shares_the_globals_of_its_process() {
    let mut app = common::app();
    holds(
        &mut app,
        "coroutine.wrap(function() z = 3; _G.w = 4 end)() return z == 3 and w == 4 and coroutine.wrap(function() \
         return _G end)() == _G",
    );
}

#[test]
fn everything_shared_is_frozen() {
    let mut app = common::app();
    holds(
        &mut app,
        r#"
        local shared = { coroutine, table, string, bit32, buffer, utf8, math, vector, os, debug, task, process,
            mailbox, signal }
        assert(#shared == 14)
        for _, library in shared do
            assert(table.isfrozen(library))
            assert(not pcall(function() library.evil = 1 end))
            assert(not pcall(rawset, library, "evil", 1))
            assert(not pcall(table.clear, library))
            assert(not pcall(setmetatable, library, {}))
            for _, member in library do
                assert(type(member) ~= "table", "nested tables would have to be frozen, too")
            end
        end
        assert(getmetatable(process) == false and getmetatable(_G) == false and getmetatable("") == false)
        assert(not pcall(setmetatable, _G, {}))
        assert(not pcall(function() ("").evil = 1 end))
        return true
        "#,
    );
}

#[test]
fn nothing_dangerous_is_there() {
    let mut app = common::app();
    holds(
        &mut app,
        r#"
        local absent = { "getfenv", "setfenv", "loadstring", "load", "dofile", "collectgarbage", "gcinfo",
            "newproxy", "io", "package" }
        for _, name in absent do
            assert(_G[name] == nil, name)
        end
        for name in debug do assert(name == "traceback", name) end
        for name in os do assert(name == "clock", name) end
        return true
        "#,
    );
}

#[test]
fn addresses_are_not_shown() {
    let mut app = common::app();
    // Two runs of the same allocation in two apps: encoded with keys of their own.
    let show = |app: &mut App| common::outcome(app, "return tostring(print)");
    let (first, second) = (show(&mut app), show(&mut common::app()));
    assert_ne!(first, second);
}

#[test]
fn each_process_has_repeatable_random_numbers() {
    let draw = |seed: u64| {
        let mut app = common::app_with(LuauOsPlugin { seed, ..common::plugin() });
        ["return math.random(), math.random(1, 1000000), math.random(5)"; 2]
            .map(|source| common::outcome(&mut app, source))
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1)[0], draw(1)[1], "two processes");
    assert_ne!(draw(1), draw(2));
    let mut app = common::app();
    holds(
        &mut app,
        "math.randomseed(7) local a = math.random() math.randomseed(7) return a == math.random()",
    );
    holds(
        &mut app,
        "return not pcall(math.random, 2, 1) and not pcall(math.random, 'x') and not pcall(math.random, 1, 2, 3)",
    );
}

#[test]
fn the_clock_is_the_games() {
    let mut app = common::app();
    holds(
        &mut app,
        "local a = os.clock() coroutine.yield() local b = os.clock() return math.abs((b - a) - 1 / 60) < 1e-6",
    );
}
