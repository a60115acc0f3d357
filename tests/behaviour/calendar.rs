//! `os.time` and `os.date`: the calendar of the game.

use std::time::Duration;

use bevy_luau_os::prelude::*;

use crate::common::{self, returns, text};

#[test]
fn the_calendar_goes_with_virtual_time_from_the_epoch_on() {
    let epoch = Duration::from_secs(86_400 * 365);
    let mut app = common::app_with(LuauOsPlugin { epoch, ..common::plugin() });
    returns(
        &mut app,
        "local a = os.time() task.wait(3) return `{os.date('%Y-%m-%d')} {os.time() - a} {a == math.floor(a)}`",
        text("1971-01-01 3 true"),
    );
    // The same in every run, and on every machine.
    let mut app = common::app();
    returns(&mut app, "return os.date('%c')", text("Sat Jan  1 00:00:00 2000"));
}

#[test]
fn dates_are_those_of_utc() {
    let mut app = common::app();
    for (expression, expected) in [
        ("os.date('!%Y-%m-%d', 0)", "1970-01-01"),
        ("os.date('%Y-%m-%d %H:%M:%S', 1e9)", "2001-09-09 01:46:40"),
        ("os.date('*t', 1e9).yday .. ' ' .. tostring(os.date('*t', 1e9).isdst)", "252 false"),
        ("os.date('!*t', 1e9 + 0.9).sec", "40"),
        ("os.time(os.date('*t', 1234567890))", "1234567890"),
        ("os.time({ year = 2024, month = 2, day = 30, hour = 0 })", "1709251200"),
        ("tostring(os.date('%c', 1e300)) .. tostring(os.date('%c', 0 / 0))", "nilnil"),
        ("os.difftime(5, 3) .. ' ' .. os.difftime(5.9)", "2 5"),
        ("os.date('!%H:%M', '60')", "00:01"),
        ("select(2, pcall(os.date, '%Q'))", "invalid argument #1 to 'date' (invalid conversion specifier)"),
        ("select(2, pcall(os.date, {}))", "invalid argument #1 to 'date' (string expected, got table)"),
        ("select(2, pcall(os.time, { year = 2024 }))", "field 'day' missing in date table"),
        ("select(2, pcall(os.difftime))", "missing argument #1 to 'difftime' (number expected)"),
    ] {
        returns(&mut app, &format!("return tostring({expression})"), text(expected));
    }
}

#[test]
fn a_long_format_is_paid_for() {
    let mut app = common::app();
    let vm = common::vm(&mut app);
    common::process(&mut app, vm, "for _ = 1, 10 do os.date(('x'):rep(10000)) end");
    let exit = common::until_ended(&mut app, 1)[0].clone();
    assert_eq!(exit.outcome, Outcome::Finished(Vec::new()));
    assert!(exit.cpu.safepoints > 50_000, "{} safepoints", exit.cpu.safepoints);
}
