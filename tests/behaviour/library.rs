//! What calls of Luau's library cost, and what is refused: no single call holds up a tick.

use bevy_luau_os::prelude::*;

use crate::common;

/// What a script costs, in safepoints and slices, if nothing goes wrong.
fn cost(source: &str) -> (u64, u64) {
    let mut app = common::app_with(LuauOsPlugin { quantum: 1000, ..common::plugin() });
    let vm = common::vm(&mut app);
    common::process(&mut app, vm, source);
    let exit = common::until_ended(&mut app, 1)[0].clone();
    assert_eq!(exit.outcome, Outcome::Finished(Vec::new()), "{source}");
    (exit.cpu.safepoints, exit.cpu.slices)
}

#[test]
fn a_call_with_large_arguments_costs_what_it_does_and_ends_its_slice() {
    let text = "local s = string.rep('x', 1000000)";
    let list = "local t = table.create(100000, 1)";
    let data = "local b = buffer.create(1000000)";
    for (setup, call) in [
        ("", "string.rep('x', 1000000)"),
        (text, "string.lower(s)"),
        (text, "s:upper()"),
        (text, "s:reverse()"),
        (text, "string.sub(s, 1, -1)"),
        (text, "s:sub(2)"),
        (text, "string.find(s, 'xy', 1, true)"),
        (text, "s:find('y')"),
        (text, "s:split('xy')"),
        (text, "string.format(s)"),
        (text, "string.format('%s', s)"),
        (text, "string.format('%q', s)"),
        (text, "string.gsub(s, '^x*', '%0')"),
        (text, "utf8.len(s)"),
        (text, "utf8.offset(s, 900000)"),
        (text, "buffer.fromstring(s)"),
        (text, "string.pack('z', s)"),
        ("local s = string.pack('s', string.rep('x', 1000000))", "string.unpack('s', s)"),
        ("", "table.create(100000)"),
        (list, "table.concat(t)"),
        (list, "table.insert(t, 1, 1)"),
        (list, "table.remove(t, 1)"),
        (list, "table.find(t, 2)"),
        (list, "table.move(t, 1, 100000, 2)"),
        (list, "table.clone(t)"),
        (list, "table.clear(table.clone(t))"),
        (list, "table.maxn(t)"),
        (list, "table.sort(t)"),
        (data, "buffer.tostring(b)"),
        (data, "buffer.fill(b, 0, 1)"),
        (data, "buffer.copy(b, 0, b)"),
        (data, "buffer.readstring(b, 0, 1000000)"),
    ] {
        let (without, _) = cost(&format!("{setup} for _ = 1, 10 do end"));
        let (with, slices) = cost(&format!("{setup} for _ = 1, 10 do {call} end"));
        assert!(with - without > 50_000, "{call}: {} safepoints", (with - without) / 10);
        assert!(slices >= 10, "{call}: {slices} slices");
    }
}

#[test]
fn a_call_with_small_arguments_costs_its_safepoint() {
    let calls = "local _ = s:sub(1, 3) .. s:upper() _ = s:find('l') _ = s:split(' ') _ = tonumber('12')
        table.insert(t, 1, 2) table.remove(t) table.concat(t) table.find(t, 3) utf8.len(s) string.format('%s', s)";
    let setup = "local s, t = 'hello', { 3, 1, 2 }";
    let (without, _) = cost(&format!("{setup} for _ = 1, 100 do end"));
    let (with, _) = cost(&format!("{setup} for _ = 1, 100 do {calls} end"));
    // The table of numbers is made text: five for each of them.
    assert!((900..3500).contains(&(with - without)), "{} safepoints", with - without);
}

#[test]
fn what_could_take_long_is_refused_with_a_reason() {
    let mut app = common::app();
    for (call, message) in [
        ("('x'):find(('x'):rep(32769) .. '.')", "pattern too long (more than 32768 bytes)"),
        ("string.gsub('x', ('x'):rep(32769), '')", "pattern too long (more than 32768 bytes)"),
        (
            "string.format(('%d'):rep(8192), table.unpack(table.create(8192, 1)))",
            "string.format of 8193 values; the limit is 8192",
        ),
        (
            "math.max(1, ('1'):rep(1025))",
            "test:1: invalid argument #2 to 'max' (number expected, got string)",
        ),
        (
            "string.format('%s %d', 1, ('1'):rep(1025))",
            "invalid argument #3 to 'format' (number expected, got string)",
        ),
        (
            "string.pack('s4 i4', 'x', ('1'):rep(1025))",
            "invalid argument #3 to 'pack' (number expected, got string)",
        ),
        (
            "table.move({}, 0, 262144, 0)",
            "table.move of 262145 elements; the limit is 262144, move them in parts",
        ),
        (
            "string.packsize(('x'):rep(16385))",
            "string.packsize with a format of 16385 bytes; the limit is 16384",
        ),
    ] {
        let outcome = common::outcome(&mut app, &format!("return {call}"));
        let Outcome::Failed(error) = outcome else { panic!("{call}: {outcome:?}") };
        assert!(error.message.contains(message), "{call}: {}", error.message);
        let caught = common::outcome(&mut app, &format!("return (pcall(function() return {call} end))"));
        assert_eq!(caught, Outcome::Finished(vec![bevy_luau_os::Value::Boolean(false)]), "{call}");
    }
    // Right at the limits it works, and so does what has none.
    for call in [
        "#('x'):rep(1048576):match('x*') == 1048576",
        "('x'):rep(1000000):find('[abcdefghijklmnop]') == nil",
        "('x'):find(('x'):rep(32767) .. '.') == nil",
        "select(2, ('x'):rep(100000):gsub('x', ('%0'):rep(20))) == 100000",
        "math.max(1, ('1'):rep(300)) > 1e299 and tonumber(('1'):rep(1025)) == nil",
        "bit32.band('0xff', '15') == 15 and string.char('65', 66) == 'AB' and ('x'):rep('3') == 'xxx'",
    ] {
        let outcome = common::outcome(&mut app, &format!("return {call}"));
        assert_eq!(outcome, Outcome::Finished(vec![bevy_luau_os::Value::Boolean(true)]), "{call}");
    }
}

#[test]
fn plain_searches_take_linear_time() {
    let mut app = common::app();
    // Compared at every position these take minutes: 10^6 times 5 * 10^5 bytes.
    let source = "
        local subject, needle = ('a'):rep(1000000), ('a'):rep(500000) .. 'b'
        assert(subject:find(needle, 1, true) == nil and subject:find(needle) == nil)
        assert(#subject:split(needle) == 1)
        return true";
    let outcome = common::outcome(&mut app, source);
    assert_eq!(outcome, Outcome::Finished(vec![bevy_luau_os::Value::Boolean(true)]));
}

#[test]
fn a_long_sort_is_preempted_and_a_comparator_may_yield() {
    let source = "
        local t, seed = {}, 1
        for i = 1, 100000 do seed = (seed * 1103515245 + 12345) % 2147483648 t[i] = seed end
        table.sort(t)
        for i = 2, #t do assert(t[i - 1] <= t[i]) end
        local yields = 0
        table.sort(t, function(a, b) yields += 1 if yields < 5 then coroutine.yield() end return a > b end)
        for i = 2, #t do assert(t[i - 1] >= t[i]) end";
    let (safepoints, slices) = cost(source);
    assert!(slices >= safepoints / 1100, "{safepoints} safepoints in {slices} slices");
}
