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
    holds(&mut app, "x = 1; _G.y = 2; return _G.x == 1 and y == 2 and rawget(_G, 'x') == 1");
    holds(&mut app, "return x == nil and y == nil and _G.x == nil");
    holds(&mut app, "print = nil; return type(print) == 'function' and rawget(_G, 'print') == print");
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
            mailbox, signal, json, integer }
        assert(#shared == 16)
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
            "io", "package" }
        for _, name in absent do
            assert(_G[name] == nil, name)
        end
        for name in debug do assert(name == "traceback" or name == "info", name) end
        for name in os do assert(name == "clock" or name == "time" or name == "date" or name == "difftime", name) end
        return true
        "#,
    );
}

#[test]
fn the_library_is_seen_in_the_globals_of_a_process() {
    let mut app = common::app();
    holds(
        &mut app,
        r#"
        assert(rawget(_G, "bit32") == bit32 and rawget(_G, "_G") == _G and rawget(_G, "nothing") == nil)
        assert(not pcall(rawget, _G) and not pcall(rawget, 1, 2) and rawget({ 5 }, 1) == 5)
        mine = 1
        print = "replaced"
        local seen, count = {}, 0
        for name, value in pairs(_G) do
            assert(seen[name] == nil, name)
            seen[name], count = value, count + 1
        end
        assert(seen.mine == 1 and seen.print == "replaced" and seen.string == string and seen.pairs == pairs)
        local again = 0
        for name, value in _G do
            assert(seen[name] == value, name)
            again += 1
        end
        assert(again == count and count > 40, count)
        -- What is set to nil on the way is not there.
        for name in pairs(_G) do if name == "mine" then mine = nil end end
        for name in pairs(_G) do assert(name ~= "mine") end
        local f, s, v = pairs({ 7 })
        assert(f == next and s[1] == 7 and v == nil)
        return true
        "#,
    );
}

#[test]
fn a_proxy_is_an_object_of_its_own() {
    let mut app = common::app();
    holds(
        &mut app,
        r#"
        local key, other, plain = newproxy(true), newproxy(true), newproxy()
        getmetatable(key).__tostring = function() return "Symbol" end
        getmetatable(key).__index = function(_, name) return name .. "!" end
        assert(typeof(key) == "userdata" and tostring(key) == "Symbol" and key.x == "x!")
        assert(getmetatable(key) ~= getmetatable(other) and getmetatable(plain) == nil and key ~= other)
        assert(({ [key] = 1 })[key] == 1 and not pcall(newproxy, {}))
        assert(not pcall(process.send, process.pid, key))
        return true
        "#,
    );
}

#[test]
fn debug_info_tells_of_a_processes_own_code() {
    let mut app = common::app();
    holds(
        &mut app,
        r##"
        local function outer(a, b, ...)
            local source, line, name, f = debug.info(1, "slnf")
            assert(source == "test" and line == 3 and name == "outer")
            return f
        end
        assert(outer() == outer)
        local name, parameters, is_vararg = debug.info(outer, "na")
        assert(name == "outer" and parameters == 2 and is_vararg)
        assert(debug.info(print, "s") == "[C]" and debug.info(print, "f") == print)
        assert(debug.info(100, "s") == nil)
        local co = coroutine.create(function() coroutine.yield() end)
        coroutine.resume(co)
        assert(debug.info(co, 1, "s") == "test" and select("#", debug.info(co, 1, "fa")) == 3)
        -- Nothing of ours: not the sort that runs between a comparator and its caller.
        local between = {}
        table.sort({ 3, 1, 2 }, function(a, b)
            for level = 1, 10 do
                local source, f, line = debug.info(level, "sfl")
                if source == "[C]" then table.insert(between, f == nil) end
            end
            return a < b
        end)
        assert(#between >= 1 and not table.find(between, false))
        assert(select("#", debug.info(1, "afl")) == 4)
        for _, wrong in { "ss", "x", ("s"):rep(17) } do assert(not pcall(debug.info, 1, wrong)) end
        assert(not pcall(debug.info) and not pcall(debug.info, -1, "s") and not pcall(debug.info, {}, "s"))
        return true
        "##,
    );
}

#[test]
fn what_is_left_out_is_nil_and_a_call_of_it_says_what_to_use() {
    let mut app = common::app();
    for (call, message) in [
        ("loadstring('return 1')", "test:1: loadstring is not there: use process.spawn"),
        (
            "pcall(nil) local f = getfenv f()",
            "test:1: getfenv is not there: the globals of a process are in _G",
        ),
        ("os.execute('ls')", "test:1: os.execute is not there: use process.spawn"),
        ("debug.getinfo(1)", "test:1: debug.getinfo is not there: use debug.info"),
        ("wait(1)", "test:1: wait is not there: use task.wait"),
        (
            "io.open('x')",
            "test:1: attempt to index nil with 'open' (io is not there: scripts have no files: use print, and what \
             the game has added)",
        ),
        ("if loadstring then end\nlocal f f()", "test:2: attempt to call a nil value"),
        ("unknown()", "test:1: attempt to call a nil value"),
        ("os.unknown()", "test:1: attempt to call a nil value"),
        ("local t = {} t.x.y = 1", "test:1: attempt to index nil with 'y'"),
        ("local t = {} return t.x[1]", "test:1: attempt to index nil with number"),
        ("local t = {} t.x:y()", "test:1: attempt to index nil with 'y'"),
    ] {
        let outcome = common::outcome(&mut app, call);
        let Outcome::Failed(error) = outcome else { panic!("{call}: {outcome:?}") };
        assert_eq!(&*error.message, message, "{call}");
    }
    holds(
        &mut app,
        r#"
        local ok, message = pcall(function() return loadstring("x") end)
        assert(not ok and message == "test:2: loadstring is not there: use process.spawn", message)
        local ok, message = pcall(loadstring, "x")
        assert(not ok and message == "loadstring is not there: use process.spawn", message)
        assert(select(2, pcall(nil)) == "attempt to call a nil value")
        assert(getmetatable(nil) == false and not pcall(setmetatable, nil, {}) and tostring(nil) == "nil")
        assert(typeof(nil) == "nil" and not pcall(function() return nil + 1 end))
        return true
        "#,
    );
}

#[test]
fn addresses_are_not_shown() {
    // Two runs of the same allocation in two apps, encoded with keys of their own: from their seeds, or from nowhere.
    let show = |plugin| common::outcome(&mut common::app_with(plugin), "return tostring(print)");
    let seeded = |seed| show(LuauOsPlugin { seed, ..common::plugin() });
    assert_ne!(seeded(1), seeded(2));
    let budgeted = || show(LuauOsPlugin { budget: TickBudget::default(), ..common::plugin() });
    assert_ne!(budgeted(), budgeted());
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

/// Where it runs does not decide what a script sees.
#[test]
#[cfg_attr(not(unix), ignore = "addresses cannot be chosen")]
fn tables_with_objects_as_keys_have_the_same_order_in_each_app() {
    let run = || {
        let mut app = common::app();
        let vms = common::persistent_vms(&mut app, 4);
        for &vm in &vms {
            let script = "
                local t, garbage = {}, {}
                for i = 1, 400 do
                    t[if i % 3 == 0 then function() return i end elseif i % 3 == 1 then {} else newproxy()] = i
                    garbage[i % 7] = { i }
                end
                for round = 1, 3 do
                    task.wait()
                    for key, i in t do if i % 5 == round then t[key] = nil end end
                    for i = 1, 50 do t[coroutine.create(print)] = 1000 + i end
                end
                local order = {}
                for _, i in t do table.insert(order, i) end
                print(table.concat(order, ' '))";
            common::process(&mut app, vm, script);
        }
        common::until_ended(&mut app, 4);
        vms.iter().map(|&vm| common::console(&app, vm)).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
