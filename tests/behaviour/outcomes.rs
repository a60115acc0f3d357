//! How processes end: with results or with an error, copied within limits.

use bevy_luau_os::Value;
use bevy_luau_os::prelude::*;

use crate::common::{self, SPIN, exists, process, ticks, until_ended, vm};

#[test]
fn a_failing_process_fails_alone_with_message_and_traceback() {
    let mut app = common::app();
    let vm = vm(&mut app);
    process(&mut app, vm, "local function inner() error('broken') end\ninner()");
    let healthy = process(&mut app, vm, SPIN);
    let Outcome::Failed(error) = until_ended(&mut app, 1)[0].outcome.clone() else { panic!() };
    assert_eq!(&*error.message, "test:1: broken");
    assert_eq!(&*error.traceback, "[C] function error\ntest:1 function inner\ntest:2\n");
    ticks(&mut app, 3);
    assert!(exists(&app, healthy) && exists(&app, vm));
}

#[test]
fn a_script_that_does_not_compile_fails_its_process() {
    let mut app = common::app();
    let Outcome::Failed(error) = common::outcome(&mut app, "local x = 1\nlocal = 2") else { panic!() };
    assert!(error.message.starts_with("test:2: "), "{error}");
    let Outcome::Failed(error) = common::outcome(&mut app, "\x03\x01\x02") else { panic!() };
    assert!(error.message.contains("bytecode"), "{error}");
    let Outcome::Finished(_) = common::outcome(&mut app, "return 1") else { panic!() };
}

#[test]
fn any_error_value_becomes_a_bounded_message() {
    let mut app = common::app();
    let mut message = |source: &str| match common::outcome(&mut app, source) {
        Outcome::Failed(error) => error.message.into_string(),
        other => panic!("{source}: {other:?}"),
    };
    assert_eq!(message("error()"), "nil");
    assert_eq!(message("error(12.5, 0)"), "12.5");
    assert_eq!(message("error(true)"), "true");
    assert_eq!(message("error({})"), "(error object is a table value)");
    assert_eq!(message("error(print)"), "(error object is a function value)");
    assert_eq!(message("error(coroutine.running())"), "(error object is a thread value)");
    assert_eq!(
        message("error(setmetatable({}, {__tostring = function() while true do end end}))"),
        "(error object is a table value)"
    );
    let long = message("error(string.rep('x', 1000000), 0)");
    assert!(long.len() < 5000 && long.ends_with("... (1000000 bytes)"), "{} bytes", long.len());
}

#[test]
fn results_are_copied_once_and_within_limits() {
    let mut app = common::app();
    let Outcome::Finished(values) = common::outcome(&mut app, "local t = {} return t, t, ('x'):rep(100000)")
    else {
        panic!()
    };
    let expected = [Value::Table(vec![]), Value::Opaque("table"), Value::Opaque("string")];
    assert_eq!(values, expected);
    let deep = "local t = {} for _ = 1, 100 do t = { t } end return t";
    let Outcome::Finished(values) = common::outcome(&mut app, deep) else { panic!() };
    assert!(format!("{values:?}").contains("Opaque(\"table\")"), "{values:?}");
}
