//! Functions of the game that scripts call.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bevy::prelude::*;
use bevy::tasks::ComputeTaskPool;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{KillReason, Value};
use serde::{Deserialize, Serialize};

use crate::common::{self, BOOM, returns, silence_booms, text};

#[derive(Serialize, Deserialize)]
struct Item {
    name: String,
    count: u32,
    tags: Vec<String>,
}

#[derive(Serialize, Deserialize)]
enum Order {
    Stop,
    Go { to: (f64, f64) },
    Say(String),
}

fn app() -> App {
    let mut app = common::app();
    app.add_host_function("add", |a: f64, b: f64| Ok::<_, String>(a + b))
        .add_host_function("text.upper", |text: String| Ok::<_, String>(text.to_uppercase()))
        .add_host_function("text.pad", |text: String, width: Option<u8>| {
            Ok::<_, String>(format!("{text:>0$}", width.unwrap_or(4).into()))
        })
        .add_host_function("game.inventory.double", |mut item: Item| {
            item.count *= 2;
            item.tags.push("doubled".to_owned());
            Ok::<_, String>(item)
        })
        .add_host_function("order", |order: Order| {
            Ok::<_, String>(match order {
                Order::Stop => "stopping".to_owned(),
                Order::Go { to: (x, y) } => format!("going to {x}, {y}"),
                Order::Say(text) => format!("saying {text}"),
            })
        })
        .add_host_function("orders", || {
            Ok::<_, String>([Order::Stop, Order::Go { to: (1.0, 2.0) }, Order::Say("hi".to_owned())])
        })
        .add_host_function("fail", |what: String| Err::<(), _>(format!("no {what} today")))
        .add_host_function("explode", || -> Result<(), String> { panic!("{BOOM}") })
        .add_host_function("sum", |numbers: Vec<i64>| Ok::<_, String>(numbers.iter().sum::<i64>()))
        .add_host_function("length", |vector: [f64; 3]| {
            Ok::<_, String>(vector.iter().map(|x| x * x).sum::<f64>().sqrt())
        })
        .add_host_function("echo", |value: Value| Ok::<_, String>(value));
    app
}

#[test]
fn values_go_both_ways() {
    let mut app = app();
    returns(&mut app, "return add(1, 2)", Value::Number(3.0));
    returns(&mut app, "return text.upper('abc')", text("ABC"));
    returns(&mut app, "return text.pad('x')", text("   x"));
    returns(&mut app, "return text.pad('x', 2, 'more is ignored')", text(" x"));
    returns(&mut app, "return sum({ 1, 2, 3 })", Value::Number(6.0));
    returns(&mut app, "return sum({})", Value::Number(0.0));
    returns(&mut app, "return length(vector.create(3, 4, 0))", Value::Number(5.0));
    returns(
        &mut app,
        "local i = game.inventory.double({ name = 'ore', count = 21, tags = { 'raw' } }) return `{i.name} {i.count} \
         {table.concat(i.tags, ' ')}`",
        text("ore 42 raw doubled"),
    );
    returns(
        &mut app,
        "return table.concat({ order('Stop'), order({ Go = { to = { 1, 2.5 } } }), order({ Say = 'hi' }) }, '; ')",
        text("stopping; going to 1, 2.5; saying hi"),
    );
    returns(&mut app, "local o = orders() return `{o[1]} {o[2].Go.to[2]} {o[3].Say}`", text("Stop 2 hi"));
    returns(
        &mut app,
        "local e = echo({ 1, { x = true }, 'text' }) return `{e[1]} {e[2].x} {e[3]} {echo(nil)}`",
        text("1 true text nil"),
    );
}

#[test]
fn values_of_no_type_in_particular_stay_what_they_are() {
    let mut app = app();
    for value in [
        "nil",
        "true",
        "0.1",
        "'text'",
        "'not \\xff UTF-8'",
        "vector.create(1, 2.5, -3)",
        "{ vector.create(1, 2, 3), 'x\\xfe', { [vector.create(4, 5, 6)] = 'key' } }",
        "{ [3] = 'c', [2] = 'b', [1] = 'a' }",
        "{ a = 1, [true] = 2, [0.5] = 3 }",
        "buffer.fromstring('bytes')",
    ] {
        let source = format!(
            "local function same(a, b)
                 if type(a) == 'buffer' and type(b) == 'buffer' then return buffer.tostring(a) == buffer.tostring(b) end
                 if type(a) ~= 'table' or type(b) ~= 'table' then return a == b end
                 for key, value in a do if not same(value, b[key]) then return false end end
                 for key in b do if a[key] == nil then return false end end
                 return true
             end
             local value = {value}
             return same(value, echo(value))"
        );
        returns(&mut app, &source, Value::Boolean(true));
    }
    // In whatever order a table has them.
    returns(&mut app, "local t = {} for i = 9, 1, -1 do t[i] = i end return sum(t)", Value::Number(45.0));
}

#[test]
fn wrong_arguments_are_errors_that_name_the_place() {
    let mut app = app();
    for (call, expected) in [
        ("add(1, 'x')", "test:1: add: argument 2: expected number, got string"),
        ("add(1)", "test:1: add: missing argument: expected number, got nil"),
        ("text.upper({})", "test:1: text.upper: argument 1: expected string, got table"),
        ("text.upper(print)", "test:1: text.upper: argument 1: expected string, got function"),
        ("sum({ 1, 2.5 })", "test:1: sum: argument 1: [2]: expected integer, got 2.5"),
        (
            "text.pad('x', 300)",
            "test:1: text.pad: argument 2: expected integer that is not negative, got 300",
        ),
        (
            "game.inventory.double({ name = 'ore', count = 'many', tags = {} })",
            "test:1: game.inventory.double: argument 1: count: expected integer that is not negative, got string",
        ),
        (
            "game.inventory.double({ name = 'ore' })",
            "test:1: game.inventory.double: argument 1: missing field `count`",
        ),
        ("fail('cake')", "test:1: fail: no cake today"),
    ] {
        let Outcome::Failed(error) = common::outcome(&mut app, call) else { panic!("{call}") };
        assert_eq!(&*error.message, expected);
        assert!(error.traceback.contains("test:1"), "{}", error.traceback);
        returns(&mut app, &format!("return (pcall(function() {call} end))"), Value::Boolean(false));
    }
}

#[test]
fn a_panic_kills_the_process_and_nobody_else() {
    let mut app = app();
    let neighbour = common::vm(&mut app);
    let neighbour = common::process(&mut app, neighbour, "for i = 1, 50000 do add(i, 1) end return 'done'");
    silence_booms();
    for source in [
        "explode()",
        "pcall(explode) return 'caught'",
        "while true do pcall(explode) end",
        "coroutine.wrap(function() pcall(explode) end)() return 'caught'",
        "local _ = setmetatable({}, { __index = function() pcall(explode) end }).x return 'caught'",
    ] {
        let vm = common::vm(&mut app);
        let process = common::process(&mut app, vm, source);
        common::ticks(&mut app, 3);
        let exit = common::exit(&app, process).expect("it was killed");
        let expected = KillReason::HostPanic { function: "explode".into(), message: BOOM.into() };
        assert_eq!(exit.outcome, Outcome::Killed(expected), "{source}");
    }
    common::until_ended(&mut app, 6);
    let outcome = common::exit(&app, neighbour).map(|exit| &exit.outcome);
    assert_eq!(outcome, Some(&Outcome::Finished(vec![text("done")])));
    returns(&mut app, "return add(1, 2)", Value::Number(3.0));
}

#[test]
fn host_functions_are_frozen_and_called_from_anywhere() {
    let mut app = app();
    returns(
        &mut app,
        "return table.isfrozen(game) and table.isfrozen(game.inventory) and not pcall(function() game.x = 1 end)",
        Value::Boolean(true),
    );
    returns(
        &mut app,
        "local o = setmetatable({}, { __add = function(a, b) return add(20, 22) end }) return o + o",
        Value::Number(42.0),
    );
    // A process may use the name for itself.
    returns(&mut app, "add = function() return 'mine' end return add(1, 2)", text("mine"));
}

#[test]
fn the_game_may_add_to_tables_of_the_library() {
    let mut app = common::app();
    app.add_host_function("os.getenv", |name: String| Ok::<_, String>(format!("no {name}")))
        .add_host_function("os.time", || Ok::<_, String>(7.0))
        .add_host_function("string.trim", |text: String| Ok::<_, String>(text.trim().to_owned()));
    returns(&mut app, "return os.getenv('HOME')", text("no HOME"));
    returns(&mut app, "return os.time() + os.difftime(3, 2)", Value::Number(8.0));
    returns(&mut app, "return (' a '):trim()", text("a"));
    returns(&mut app, "return tostring(pcall(function() os.evil = 1 end))", text("false"));

    let mut app = common::app();
    app.add_host_function("math.abs", |number: f64| Ok::<_, String>(number));
    let outcome = common::outcome(&mut app, "return 1");
    let Outcome::Failed(error) = outcome else { panic!("{outcome:?}") };
    assert!(error.message.contains("math.abs is there already"), "{error}");
}

#[test]
fn wrong_registrations_say_why() {
    let fails = |path: &'static str, started: bool| {
        let mut app = app();
        if started {
            common::outcome(&mut app, "return 1");
        }
        let add = AssertUnwindSafe(|| app.add_host_function(path, || Ok::<_, String>(())).world().id());
        *catch_unwind(add).expect_err("it panics").downcast::<String>().expect("a message")
    };
    assert_eq!(fails("a b", false), "add_host_function(\"a b\"): expected names with dots between them");
    assert_eq!(fails("string", false), "add_host_function(\"string\"): `string` is Luau's");
    assert_eq!(fails("print.all", false), "add_host_function(\"print.all\"): `print` is Luau's");
    assert_eq!(fails("text", false), "add_host_function(\"text\"): there is `text.upper`");
    assert_eq!(fails("add.more", false), "add_host_function(\"add.more\"): there is `add`");
    assert_eq!(fails("late", true), "add_host_function(\"late\"): add it before the first process starts");
}

/// While a host function waits for its own tasks, its thread takes others from the pool: the slices of other isolates
/// among them.
#[test]
fn a_host_function_that_uses_the_task_pool_leaves_slices_as_they_are() {
    const VMS: usize = 64;
    let workers = NonZeroUsize::new(8);
    let mut app = common::app_with(LuauOsPlugin { vms_per_isolate: 1, workers, ..common::plugin() });
    app.add_host_function("sum_up", |count: u32| {
        let parts = ComputeTaskPool::get().scope(|scope| {
            for part in 0..count {
                scope.spawn(async move { f64::from(part) });
            }
        });
        Ok::<_, String>(parts.into_iter().sum::<f64>())
    });
    let script = "
        local sum = sum_up(100)
        print(sum)
        for i = 1, 100_000 do end
        local parked = setmetatable({}, { __index = function()
            for i = 1, 3_000 do end
            return sum_up(10)
        end })
        return parked.result + sum";
    for _ in 0..VMS {
        let vm = common::vm(&mut app);
        common::process(&mut app, vm, script);
    }
    for tick in 0..50 {
        app.update();
        assert_eq!(common::ended(&app).processes.len(), 0, "a slice went on without limits, in tick {tick}");
    }
    for exit in common::until_ended(&mut app, VMS) {
        assert_eq!(exit.outcome, Outcome::Finished(vec![Value::Number(4950.0 + 45.0)]));
    }
}

#[test]
fn a_tuple_is_several_results_and_three_f32_are_a_vector() {
    let mut app = app();
    app.add_host_function("divide", |a: u32, b: u32| Ok::<_, String>((a / b, a % b)))
        .add_host_function("here", || Ok::<_, String>(Vec3::new(1.0, 2.0, 3.0).to_array()))
        .add_syscall("where_am_i", |In(calls): In<Vec<Syscall<(), (f32, f32, f32)>>>| {
            calls.into_iter().for_each(|call| call.reply((1.0, 2.0, 3.0)));
        });
    returns(&mut app, "local q, r = divide(17, 5) return q * 10 + r", Value::Number(32.0));
    returns(&mut app, "return here() + vector.one", Value::Vector([2.0, 3.0, 4.0]));
    returns(&mut app, "return select('#', where_am_i())", Value::Number(3.0));
    returns(&mut app, "return length(here())", Value::Number(14_f64.sqrt()));
}

#[test]
fn long_integers_are_refused_both_ways() {
    let mut app = app();
    app.add_host_function("steam_id", || Ok::<_, String>(76_561_198_000_000_001_u64))
        .add_host_function("find", |id: u64| Ok::<_, String>(id));
    for (call, expected) in [
        ("steam_id()", "test:1: steam_id: result: 76561198000000001 is beyond 2^53"),
        ("find(76561198000000001)", "test:1: find: argument 1: 76561198000000000 is beyond 2^53"),
    ] {
        let Outcome::Failed(error) = common::outcome(&mut app, call) else { panic!("{call}") };
        assert!(error.message.starts_with(expected), "{}", error.message);
    }
    returns(&mut app, "return find(9007199254740991)", Value::Number(9_007_199_254_740_991.0));
}

#[test]
fn what_is_too_much_is_an_error_that_names_the_limit() {
    let mut app = app();
    app.add_syscall("tell", |_: In<Vec<Syscall<(Value,), ()>>>| {});
    for (value, expected) in [
        ("print", "functions cannot be passed: export it (`host.export`) and pass its name"),
        ("coroutine.running()", "threads cannot be passed"),
        ("table.create(5000, 1)", "there is too much in it: 1024 values are copied"),
        ("string.rep('x', 100000)", "a string in it is too long: 65536 bytes are copied"),
        ("{{{{{{{{{}}}}}}}}}", "tables in it are nested too deep: 8 levels are copied"),
        ("(function() local t = {} t[1] = t return t end)()", "a table in it contains itself"),
    ] {
        for function in ["echo", "tell"] {
            let source = format!("{function}({value})");
            let Outcome::Failed(error) = common::outcome(&mut app, &source) else { panic!("{source}") };
            assert_eq!(&*error.message, format!("test:1: {function}: argument 1: {expected}"));
        }
    }
    let inside = "game.inventory.double({ name = 'ore', count = 1, tags = {}, f = print }).count";
    returns(&mut app, &format!("return {inside}"), Value::Number(2.0));
}
