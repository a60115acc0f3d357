//! `json.encode` and `json.decode`.

use bevy_luau_os::Value;
use bevy_luau_os::prelude::*;

use crate::common::{self, returns, text};

#[test]
fn values_are_written() {
    let mut app = common::app();
    for (value, expected) in [
        ("nil", "null"),
        ("true", "true"),
        ("1", "1"),
        ("-0.5", "-0.5"),
        ("2^60", "1.152921504606847e18"),
        ("'a\"\\n\\u{e9}'", "\"a\\\"\\n\u{e9}\""),
        ("{}", "[]"),
        ("{ 1, { 2 }, 'x' }", "[1,[2],\"x\"]"),
        ("{ b = 1, a = { c = json.null } }", "{\"a\":{\"c\":null},\"b\":1}"),
        ("{ json.null, 2 }", "[null,2]"),
        ("{ a = {}, b = { 1 } }, true", "{\n  \"a\": [],\n  \"b\": [\n    1\n  ]\n}"),
    ] {
        returns(&mut app, &format!("return json.encode({value})"), text(expected));
    }
    // A table may occur in many places.
    returns(&mut app, "local t = { 1 } return json.encode({ t, t, { t } })", text("[[1],[1],[[1]]]"));
}

#[test]
fn what_json_has_no_form_for_is_refused_with_its_place() {
    let mut app = common::app();
    for (value, message) in [
        ("{ a = { 1, print } }", "json.encode: a function has no form in JSON (at .a[2])"),
        ("0 / 0", "json.encode: the number NaN has no form in JSON"),
        ("'\\xff'", "json.encode: a string is not UTF-8"),
        ("{ 1, x = 2 }", "json.encode: a table has both elements and named members"),
        ("{ [1] = 1, [3] = 3 }", "json.encode: an array has holes: json.null can fill them"),
        ("{ [true] = 1 }", "json.encode: a key is a boolean that has no form in JSON"),
        (
            "(function() local t = {} t.x = { t } return t end)()",
            "json.encode: a table is inside itself (at .x[1])",
        ),
        ("newproxy()", "json.encode: a userdata has no form in JSON"),
        ("('x'):rep(300000)", "json.encode: the text becomes longer than 262144 bytes"),
        ("table.create(300000, 1)", "json.encode: the text becomes longer than 262144 bytes"),
    ] {
        returns(&mut app, &format!("return (select(2, pcall(json.encode, {value})))"), text(message));
    }
    returns(
        &mut app,
        "local t = {} for _ = 1, 127 do t = { t } end
        return (select(2, pcall(json.encode, t))):match('^[^(]+')",
        text("json.encode: more than 127 tables are inside each other "),
    );
}

#[test]
fn text_is_read() {
    let mut app = common::app();
    for (source, expected) in [
        ("return json.decode('[1, -2.5e1, true, null, 5]')[5]", Value::Number(5.0)),
        ("return json.decode('[1, -2.5e1, true, null, 5]')[2]", Value::Number(-25.0)),
        ("return json.decode('[null]')[1]", Value::Nil),
        ("return json.decode('{\"a\": {\"b\": \"x\\\\n\\\\u00e9\"}, \"c\": []}').a.b", text("x\n\u{e9}")),
        ("return json.decode('{\"a\": 1, \"a\": 2}').a", Value::Number(2.0)),
        ("return json.decode('{\"a\\\\t\": [{}, {\"b\": [1]}]}')['a\\t'][2].b[1]", Value::Number(1.0)),
        ("return json.decode(' null ')", Value::Nil),
        ("return json.decode(12)", Value::Number(12.0)),
        ("return #json.decode(json.encode(table.create(10000, 'x')))", Value::Number(10000.0)),
    ] {
        returns(&mut app, source, expected);
    }
}

#[test]
fn what_is_no_json_is_refused_with_its_position() {
    let mut app = common::app();
    for (json, message) in [
        ("[1,]", "json.decode: trailing comma at line 1 column 4"),
        ("{\\n \"a\" 1}", "json.decode: expected `:` at line 2 column 6"),
        ("", "json.decode: EOF while parsing a value at line 1 column 0"),
        ("1 2", "json.decode: trailing characters at line 1 column 3"),
        ("1e999", "json.decode: number out of range at line 1 column 5"),
    ] {
        returns(&mut app, &format!("return (select(2, pcall(json.decode, '{json}')))"), text(message));
    }
    returns(
        &mut app,
        "return (select(2, pcall(json.decode, ('['):rep(200))))",
        text("json.decode: recursion limit exceeded at line 1 column 128"),
    );
    returns(
        &mut app,
        "return (select(2, pcall(json.decode, (' '):rep(300000))))",
        text("json.decode: the text has 300000 bytes; the limit is 262144"),
    );
}

/// Whatever a script has in its tables, one call does not hold up a tick, and is paid for.
#[test]
fn long_texts_are_paid_for() {
    let cost = |source: &str| {
        let mut app = common::app();
        let vm = common::vm(&mut app);
        common::process(&mut app, vm, source);
        let exit = common::until_ended(&mut app, 1)[0].clone();
        assert_eq!(exit.outcome, Outcome::Finished(Vec::new()), "{source}");
        exit.cpu.safepoints
    };
    let encoding = cost("local t = table.create(50000, 1) for _ = 1, 4 do json.encode(t) end");
    assert!(encoding > 4 * 50_000, "{encoding} safepoints");
    let decoding = cost("local t = '[' .. ('1,'):rep(50000) .. '1]' for _ = 1, 4 do json.decode(t) end");
    assert!(decoding > 4 * 10_000, "{decoding} safepoints");
    // A large empty table in many places is gone through a few times.
    let repeated = cost("local t = table.create(100000) local all = table.create(20000, t) json.encode(all)");
    assert!(repeated < 200_000, "{repeated} safepoints");
}

#[test]
fn a_process_without_memory_for_it_gets_an_error() {
    let mut app = common::app();
    let vm = common::vm(&mut app);
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    app.world_mut().entity_mut(vm).insert(VmLimits::from(limits));
    common::process(
        &mut app,
        vm,
        "local text = '[' .. ('{},'):rep(60000) .. '1]'
        for _ = 1, 10 do pcall(json.decode, text) end",
    );
    let exit = common::until_ended(&mut app, 1)[0].clone();
    assert!(matches!(exit.outcome, Outcome::Killed(_)), "{:?}", exit.outcome);
    returns(&mut app, "return json.decode('[1]')[1]", Value::Number(1.0));
}
