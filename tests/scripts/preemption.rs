//! A script cannot notice that it is preempted: at any quantum it does exactly what it does when it runs through on a
//! plain Luau state.

use std::path::Path;

use bevy_luau_os::prelude::*;
use mlua::Lua;

use crate::{app, one_thread};

/// From the smallest to the largest.
const QUANTA: [u32; 4] = [2, 3, 7, 1000];

/// At which programs of ordinary size run.
const FEW_QUANTA: [u32; 3] = [2, 7, 1000];

/// Ticks within which a script must have ended: a matrix product is long at a quantum of 2.
const MAX_TICKS: usize = 5_000_000;

/// The text that a script returns, or the error that ends it.
type Ending = Result<String, String>;

/// The script returns the same at every quantum.
pub fn returns_the_same(path: &Path) -> Result<(), String> {
    compare(path, Ending::is_ok, &QUANTA)
}

/// The same for a program of ordinary size: nothing that it does is too much for the default limits.
pub fn is_ordinary(path: &Path) -> Result<(), String> {
    compare(path, Ending::is_ok, &FEW_QUANTA)
}

/// The script fails in the same way at every quantum.
pub fn fails_the_same(path: &Path) -> Result<(), String> {
    compare(path, Ending::is_err, &QUANTA)
}

fn compare(path: &Path, is_meant: fn(&Ending) -> bool, quanta: &[u32]) -> Result<(), String> {
    let (name, source) = (crate::name(path), crate::source(path)?);
    let expected = uninterrupted(&name, &source);
    if !is_meant(&expected) {
        return Err(format!("uninterrupted it ends with {expected:?}"));
    }
    let runs: Vec<_> = quanta.iter().map(|&quantum| (quantum, preempted(&name, &source, quantum))).collect();
    let different = runs.iter().filter(|(_, (ending, _))| *ending != expected);
    let mut problems: Vec<_> =
        different.map(|(quantum, (ending, _))| format!("at quantum {quantum}: {ending:?}")).collect();
    if !problems.is_empty() {
        problems.push(format!("uninterrupted: {expected:?}"));
        return Err(problems.join("\n"));
    }
    let slices: Vec<u64> = runs.into_iter().map(|(_, (_, slices))| slices).collect();
    if slices.first() > slices.last() {
        Ok(())
    } else {
        Err(format!("it was never preempted: {slices:?} slices"))
    }
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
    for _ in 0..MAX_TICKS {
        app.update();
        if !app::ended(&app).processes.is_empty() {
            break;
        }
    }
    let Some(exit) = app::ended(&app).processes.first().cloned() else {
        return (Err("it goes on".to_owned()), 0);
    };
    let ending = match exit.outcome {
        Outcome::Finished(values) => {
            Ok(values.first().and_then(|value| value.as_str()).unwrap_or("no string").to_owned())
        }
        Outcome::Failed(error) => Err(error.message.into()),
        other => Err(format!("{other:?}")),
    };
    (ending, exit.cpu.slices)
}
