//! Our replacements of Luau's library print at any quantum what Luau's own do.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bevy_luau_os::prelude::*;

use crate::{app, one_thread};

const QUANTA: [u32; 3] = [2, 7, 1000];

/// Ticks that a script may take at the smallest quantum.
const MAX_TICKS: usize = 2_000_000;

/// See the [module](self).
pub fn prints_the_same(path: &Path) -> Result<(), String> {
    let (name, source) = (crate::name(path), crate::source(path)?);
    let expected = printed_by_luau(&name, &source);
    if expected.lines().count() <= 50 {
        return Err(format!("on a plain state it prints only {expected}"));
    }
    let mut problems = Vec::new();
    for quantum in QUANTA {
        let difference = printed_by_process(&name, &source, quantum)
            .and_then(|printed| difference(&printed, &expected).map_or(Ok(()), Err));
        problems.extend(difference.err().map(|difference| format!("at quantum {quantum}: {difference}")));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn difference(printed: &str, expected: &str) -> Option<String> {
    let pairs = printed.lines().zip(expected.lines());
    let mut different = pairs.enumerate().filter(|(_, (ours, luaus))| ours != luaus);
    if let Some((line, (ours, luaus))) = different.next() {
        let more = different.count();
        return Some(format!("line {line}, and {more} more:\n ours {ours}\nLuau's {luaus}"));
    }
    let (ours, luaus) = (printed.len(), expected.len());
    (ours != luaus).then(|| format!("it prints {ours} bytes, and Luau's {luaus}"))
}

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

/// What it prints as a process. An error if that does not finish.
fn printed_by_process(name: &str, source: &str, quantum: u32) -> Result<String, String> {
    let mut app = one_thread::app_with(LuauOsPlugin { quantum, ..app::plugin() });
    let limits = Limits { console_bytes: 1 << 22, ..Limits::default() };
    let vm = app.world_mut().spawn((Vm::persistent(), VmLimits::from(limits))).id();
    let script = Script::new(name, source);
    let process = app.world_mut().spawn((Process::new(script), ProcessOf(vm))).id();
    for _ in 0..MAX_TICKS {
        app.update();
        if app::exit(&app, process).is_some() {
            break;
        }
    }
    let exit = app::exit(&app, process).ok_or("it goes on")?;
    if exit.outcome != Outcome::Finished(Vec::new()) {
        return Err(format!("it ends with {:?}", exit.outcome));
    }
    Ok(app.world().get::<VmConsole>(vm).ok_or("it prints nothing")?.text().to_owned())
}
