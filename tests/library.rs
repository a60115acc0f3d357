//! Our replacements of Luau's library do what Luau's own does, at any quantum, and no call of them
//! holds up a tick.

mod common;

use std::sync::{Arc, Mutex};

use bevy_luau_os::prelude::*;

const QUANTA: [u32; 3] = [2, 7, 1000];

/// Ticks that a script may take at the smallest quantum.
const MAX_TICKS: usize = 2_000_000;

/// What a script prints on a plain Luau state.
fn printed_by_luau(name: &str, source: &str) -> String {
    let lua = mlua::Lua::new();
    let text = Arc::<Mutex<Vec<u8>>>::default();
    let sink = text.clone();
    let print = lua.create_function(move |_, line: mlua::LuaString| {
        let mut text = sink.lock().expect("no panic");
        text.extend_from_slice(&line.as_bytes());
        text.push(b'\n');
        Ok(())
    });
    lua.globals().set("print", print.expect("function")).expect("print");
    lua.load(source).set_name(format!("={name}")).exec().expect(name);
    let text = text.lock().expect("no panic");
    String::from_utf8_lossy(&text).into_owned()
}

/// What it prints as a process.
fn printed_by_process(name: &str, source: &str, quantum: u32) -> String {
    let plugin = LuauOsPlugin { quantum, console_bytes: 1 << 22, ..common::plugin() };
    let mut app = common::app_with(plugin);
    let vm = common::vm(&mut app);
    common::process(&mut app, vm, "while true do coroutine.yield() end"); // keeps the VM alive
    app.world_mut().spawn((Process::new(Script::new(name, source)), ProcessOf(vm)));
    for _ in 0..MAX_TICKS {
        app.update();
        if !common::ended(&app).processes.is_empty() {
            break;
        }
    }
    let [exit] = &common::ended(&app).processes[..] else { panic!("{name} goes on") };
    assert_eq!(exit.outcome, Outcome::Finished(Vec::new()), "{name} at quantum {quantum}");
    app.world().get::<VmConsole>(vm).expect("it printed").text()
}

fn compare(name: &str, source: &str) {
    let expected = printed_by_luau(name, source);
    assert!(expected.lines().count() > 50, "{name} prints {expected}");
    for quantum in QUANTA {
        let printed = printed_by_process(name, source, quantum);
        let pairs = printed.lines().zip(expected.lines());
        let mut different = pairs.enumerate().filter(|(_, (ours, luaus))| ours != luaus);
        if let Some((line, (ours, luaus))) = different.next() {
            let more = different.count();
            panic!(
                "{name} at quantum {quantum}, line {line}, and {more} more:\n ours {ours}\nLuau's {luaus}"
            );
        }
        assert_eq!(printed.len(), expected.len(), "{name} at quantum {quantum}: bytes printed");
    }
}

#[test]
fn strings() {
    compare("strings", include_str!("scripts/library/strings.luau"));
}

#[test]
fn tables() {
    compare("tables", include_str!("scripts/library/tables.luau"));
}

#[test]
fn buffers_and_utf8() {
    compare("buffers", include_str!("scripts/library/buffers.luau"));
}

#[test]
fn sort() {
    compare("sort", include_str!("scripts/library/sort.luau"));
}

/// A process that does `setup` and then `call` for ever; what it and one call of it cost.
fn cost(setup: &str, call: &str) -> (u64, u64) {
    let mut app = common::app_with(LuauOsPlugin { quantum: 1000, ..common::plugin() });
    let vm = common::vm(&mut app);
    let source = format!("{setup}\ncoroutine.yield()\nwhile true do {call} end");
    let process = common::process(&mut app, vm, &source);
    let cpu = |app: &App| {
        let runtime = app.world().resource::<bevy_luau_os::LuauRuntime>();
        let process = app.world().get::<Process>(process).expect("it runs");
        runtime.process_info(process).expect("it runs").cpu
    };
    let is_ready = |app: &App| cpu(app).slices > 0 && cpu(app).safepoints % 1000 != 0;
    common::ticks(&mut app, 1);
    for _ in 0..10_000 {
        if is_ready(&app) {
            break;
        }
        common::ticks(&mut app, 1);
    }
    let before = cpu(&app);
    common::ticks(&mut app, 4);
    let after = cpu(&app);
    assert_eq!(after.slices - before.slices, 4, "{call}: {:?}", common::ended(&app).processes);
    (before.safepoints, (after.safepoints - before.safepoints) / 4)
}
