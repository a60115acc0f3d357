//! A script cannot notice that it is preempted: at any quantum it does exactly what it does when it runs through on a
//! plain Luau state.

use std::path::Path;

use bevy_luau_os::prelude::*;
use mlua::Lua;

use crate::{app, one_thread, run};

/// From the smallest to the largest.
const QUANTA: [u32; 4] = [2, 3, 7, 1000];

/// The text that a script returns, or the error that ends it.
type Ending = Result<String, String>;

/// The script returns the same at every quantum.
pub fn returns_the_same(path: &Path) -> Result<(), String> {
    compare(path, Ending::is_ok)
}

/// The script fails in the same way at every quantum.
pub fn fails_the_same(path: &Path) -> Result<(), String> {
    compare(path, Ending::is_err)
}

fn compare(path: &Path, is_meant: fn(&Ending) -> bool) -> Result<(), String> {
    let (name, source) = (crate::name(path), crate::source(path)?);
    let expected = uninterrupted(&name, &source);
    if !is_meant(&expected) {
        return Err(format!("uninterrupted it ends with {expected:?}"));
    }
    let runs = QUANTA.map(|quantum| (quantum, preempted(&name, &source, quantum)));
    let different = runs.iter().filter(|(_, (ending, _))| *ending != expected);
    let mut problems: Vec<_> =
        different.map(|(quantum, (ending, _))| format!("at quantum {quantum}: {ending:?}")).collect();
    if !problems.is_empty() {
        problems.push(format!("uninterrupted: {expected:?}"));
        return Err(problems.join("\n"));
    }
    let slices = runs.map(|(_, (_, slices))| slices);
    if slices[0] > slices[3] { Ok(()) } else { Err(format!("it was never preempted: {slices:?} slices")) }
}

fn uninterrupted(name: &str, source: &str) -> Ending {
    let lua = Lua::new();
    let main = lua.load(source).set_name(format!("={name}")).into_function().expect("it compiles");
    // On a thread, as in a process: the main thread cannot yield.
    let thread = lua.create_thread(main).expect("thread");
    loop {
        match thread.resume::<mlua::Value>(()) {
            Ok(_) if thread.is_resumable() => {}
            Ok(value) => return Ok(value.to_string().expect("a string")),
            Err(mlua::Error::RuntimeError(message)) => {
                return Err(message.split("\nstack traceback:").next().unwrap_or_default().to_owned());
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// How it ends as a process, and in how many slices.
fn preempted(name: &str, source: &str, quantum: u32) -> (Ending, u64) {
    let mut app = one_thread::app_with(LuauOsPlugin { quantum, ..app::plugin() });
    let vm = app::vm(&mut app);
    app.world_mut().spawn((Process::new(Script::new(name, source)), ProcessOf(vm)));
    let exit = run::until_ended(&mut app, 1)[0].clone();
    let ending = match exit.outcome {
        Outcome::Finished(values) => {
            Ok(values.first().and_then(|value| value.as_str()).unwrap_or("no string").to_owned())
        }
        Outcome::Failed(error) => Err(error.message.into()),
        other => Err(format!("{other:?}")),
    };
    (ending, exit.cpu.slices)
}
