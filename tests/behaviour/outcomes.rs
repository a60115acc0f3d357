//! How processes end: with results or with an error, copied within limits.

use bevy_luau_os::prelude::*;
use bevy_luau_os::{ScriptPlace, Value};

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
    assert_eq!(error.place, Some(ScriptPlace { script: "test".into(), line: 1 }));
    ticks(&mut app, 3);
    assert!(exists(&app, healthy) && exists(&app, vm));
}

#[test]
fn a_script_that_does_not_compile_fails_its_process() {
    let mut app = common::app();
    let Outcome::Failed(error) = common::outcome(&mut app, "local x = 1\nlocal = 2") else { panic!() };
    assert!(error.message.starts_with("test:2: "), "{error}");
    assert_eq!(error.place.map(|place| place.line), Some(2));
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

/// The code that makes text of an error runs after the slices of others.
#[test]
fn the_text_of_an_error_object_is_made_by_its_own_process() {
    let mut app = common::app_with(LuauOsPlugin { vms_per_isolate: 255, ..common::plugin() });
    for what in ["process.address", "tostring(mailbox.receive(0))", "tostring(math.random())"] {
        let error = format!("error(setmetatable({{}}, {{ __tostring = function() return {what} end }}))");
        for source in [error.clone(), format!("task.spawn(function() {error} end) process.exit()")] {
            let attacker = app.world_mut().spawn(Vm::persistent()).id();
            let failing =
                process(&mut app, attacker, &format!("print(process.address) task.wait(0.1) {source}"));
            // Whoever ran last when it fails.
            let victim = vm(&mut app);
            process(
                &mut app,
                victim,
                "process.send(process.address, 'secret') while true do task.wait() end",
            );
            ticks(&mut app, 30);
            let said = match &common::exit(&app, failing).expect("it has ended").outcome {
                Outcome::Failed(error) => error.message.to_string(),
                _ => common::console(&app, attacker).lines().nth(1).expect("it is reported").to_owned(),
            };
            let own = common::console(&app, attacker).lines().next().expect("it has printed").to_owned();
            assert!(!said.contains("secret"), "{source}: {said}");
            assert!(what != "process.address" || said == own, "{source}: {said} instead of {own}");
            app.world_mut().entity_mut(victim).despawn();
        }
    }
}

#[test]
fn an_error_object_gives_its_own_text_and_reaches_the_game_and_other_processes() {
    let mut app = common::app();
    let mut error = |source: &str| match common::outcome(&mut app, source) {
        Outcome::Failed(error) => error,
        other => panic!("{source}: {other:?}"),
    };
    let class = "local Class = {}
        Class.__tostring = function(self) return 'MyError: ' .. self.message end
        error(setmetatable({ code = 7, message = 'disk on fire' }, Class))";
    let object = error(class);
    assert_eq!(&*object.message, "MyError: disk on fire");
    let Some(Value::Table(fields)) = &object.value else { panic!("{object:?}") };
    assert!(fields.contains(&("code".into(), 7.0.into())), "{fields:?}");
    assert!(object.traceback.contains("test:3"), "{}", object.traceback);

    assert_eq!(&*error("error({ message = 'no disk' })").message, "no disk");
    assert_eq!(error("error('text')").value, None);
    assert_eq!(error("error(12, 0)").value, Some(12.0.into()));
    assert_eq!(error("error()").value, Some(Value::Nil));
    assert_eq!(error("error(print)").value, Some(Value::Opaque("function")));
    let proxy =
        "local p = newproxy(true) getmetatable(p).__tostring = function() return 'a proxy' end error(p)";
    assert_eq!(&*error(proxy).message, "a proxy");

    let script = format!(
        "local how, message, traceback, object = process.join(process.spawn({source}))
        local monitored = process.spawn('task.wait() ' .. {source})
        process.monitor(monitored)
        local details = mailbox.receive().details
        return how, message, object.code, details[1], details[3].code",
        source = format_args!("[[{class}]]")
    );
    let expected = ["failed".into(), "MyError: disk on fire".into(), 7.0.into()];
    let expected = expected.into_iter().chain(["MyError: disk on fire".into(), 7.0.into()]).collect();
    let vm = vm(&mut app);
    let parent = process(&mut app, vm, &script);
    common::update_until(&mut app, |app| common::exit(app, parent).is_some());
    let exit = common::exit(&app, parent).expect("it has ended");
    assert_eq!(exit.outcome, Outcome::Finished(expected));
}

/// The text of an error is made after the end of its process. Whatever it does there, it comes to nothing.
#[test]
fn the_text_of_an_error_object_has_limits_of_its_own() {
    let mut app = common::app();
    for body in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "for i in function() return 1 end do coroutine.wrap(function() while true do end end)() end",
        "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
        "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1000) .. #t end) end",
        "return ('x'):rep(10000000)",
        "task.wait(1) return 'waited'",
        "coroutine.yield() return 'yielded'",
        "process.exit('gone')",
        "error(setmetatable({}, { __tostring = function() return 'another' end }))",
        "local function f() return tostring(setmetatable({}, { __tostring = f })) end return f()",
        "return {}",
        "task.spawn(function() task.wait() end) return {}",
        "task.defer(print, 'late') return {}",
        "process.send(1, 'x') return {}",
    ] {
        let source = format!("error(setmetatable({{}}, {{ __tostring = function() {body} end }}))");
        let Outcome::Failed(error) = common::outcome(&mut app, &source) else { panic!("{body}") };
        assert_eq!(&*error.message, "(error object is a table value)", "{body}");
    }
    let vm = common::persistent_vm(&mut app);
    let text = "function(self) print('said') return self.made .. tostring(self.made) end";
    process(&mut app, vm, &format!("error(setmetatable({{ made = 'a' }}, {{ __tostring = {text} }}))"));
    let count = common::ended(&app).processes.len();
    let Outcome::Failed(error) = until_ended(&mut app, count + 1)[count].outcome.clone() else { panic!() };
    assert_eq!((&*error.message, &*common::console(&app, vm)), ("aa", ""));
    assert_eq!(common::outcome(&mut app, "return 1"), Outcome::Finished(vec![1.0.into()]));
}

#[test]
fn results_are_copied_within_limits() {
    let mut app = common::app();
    let Outcome::Finished(values) = common::outcome(&mut app, "local t = {} return t, t, ('x'):rep(100000)")
    else {
        panic!()
    };
    let expected = [Value::Table(vec![]), Value::Table(vec![]), Value::Opaque("string")];
    assert_eq!(values, expected);
    let Outcome::Finished(values) = common::outcome(&mut app, "local t = {} t.t = t return t") else {
        panic!()
    };
    assert_eq!(values, [Value::Table(vec![("t".into(), Value::Opaque("table"))])]);
    let deep = "local t = {} for _ = 1, 100 do t = { t } end return t";
    let Outcome::Finished(values) = common::outcome(&mut app, deep) else { panic!() };
    assert!(format!("{values:?}").contains("Opaque(\"table\")"), "{values:?}");
}
