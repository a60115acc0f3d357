//! Entities as values of scripts.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{EntityValue, Value};

use crate::common::{self, returns};

/// An app whose scripts can ask for the entity of their VM, and whether something is it.
fn app() -> App {
    let mut app = common::app();
    app.add_syscall("me", |In(calls): In<Vec<Syscall<(), EntityValue>>>| {
        for call in calls {
            let vm = EntityValue(call.vm);
            call.reply(vm);
        }
    })
    .add_syscall("is_me", |In(calls): In<Vec<Syscall<(EntityValue,), bool>>>| {
        for call in calls {
            let is_me = call.args.0.0 == call.vm;
            call.reply(is_me);
        }
    });
    app
}

#[test]
fn an_entity_is_a_value_that_scripts_keep_compare_and_pass_back() {
    let script = r#"
        local a, b = me(), me()
        assert(a == b and typeof(a) == "Entity" and string.find(tostring(a), "entity %d+v%d+"))
        local by_entity = { [a] = "here" }
        process.send(process.pid, { a })
        local sent = mailbox.receive()[1]
        return is_me(sent), by_entity[sent], a
    "#;
    let mut app = app();
    let vm = common::vm(&mut app);
    common::process(&mut app, vm, script);
    let exits = common::until_ended(&mut app, 1);
    let results = vec![true.into(), "here".into(), Value::Entity(vm)];
    assert_eq!(exits[0].outcome, Outcome::Finished(results));
}

#[test]
fn scripts_cannot_make_entities() {
    let mut app = app();
    for forged in ["7", "'entity 7v0'", "{ ['$bevy_luau_os::Entity'] = 7 }", "buffer.create(8)", "newproxy()"]
    {
        let script = format!(
            "local is_read, why = pcall(is_me, {forged})
            assert(not is_read and string.find(why, 'expected entity'), why)
            return true"
        );
        returns(&mut app, &script, true.into());
    }
    let script =
        "local e = me() return getmetatable(e) or pcall(setmetatable, e, {}) or pcall(json.encode, e)";
    returns(&mut app, script, false.into());
}
