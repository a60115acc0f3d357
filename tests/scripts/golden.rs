//! Golden scripts print what the file beside them says, at every quantum.

use std::path::Path;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::{app, one_thread};

const QUANTA: [u32; 3] = [1000, 7, 2];

/// Ticks within which a script must have ended.
const MAX_TICKS: usize = 200_000;

/// Whether a file has what the script beside it prints.
pub fn is_output(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "out") && path.with_extension("luau").exists()
}

/// See the [module](self). With `UPDATE_GOLDEN` in the environment, what it prints becomes what it should.
pub fn check(path: &Path) -> Result<(), String> {
    let source = crate::source(path)?;
    let run = |quantum| run(&crate::name(path), &source, quantum);
    let golden = path.with_extension("out");
    let name = golden.display();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, run(QUANTA[0])).map_err(|error| format!("{name}: {error}"))?;
    }
    let expected = std::fs::read_to_string(&golden);
    let expected = expected.map_err(|error| format!("{name}: {error}; UPDATE_GOLDEN=1 writes it"))?;
    let printed = QUANTA.map(|quantum| (quantum, run(quantum)));
    let different = printed.into_iter().filter(|(_, printed)| *printed != expected);
    let different: Vec<_> =
        different.map(|(quantum, printed)| format!("at quantum {quantum} it prints\n{printed}")).collect();
    if different.is_empty() { Ok(()) } else { Err(different.join("\n")) }
}

/// What a script prints, with how it ended as the last line if it did not finish.
fn run(name: &str, source: &str, quantum: u32) -> String {
    let mut app = one_thread::app_with(LuauOsPlugin { quantum, ..app::plugin() });
    let limits = Limits { console_bytes: 1 << 20, ..default() };
    let vm = app.world_mut().spawn((Vm::persistent(), VmLimits::from(limits))).id();
    let script = Script::new(name, source);
    let process = app.world_mut().spawn((Process::new(script), ProcessOf(vm))).id();
    for _ in 0..MAX_TICKS {
        app.update();
        if app::exit(&app, process).is_some() {
            break;
        }
    }
    let console = app.world().get::<VmConsole>(vm).map(VmConsole::text).unwrap_or_default();
    match app::exit(&app, process).map(|exit| &exit.outcome) {
        Some(Outcome::Finished(_)) => console.to_owned(),
        Some(Outcome::Failed(error)) => format!("{console}failed: {error}\n{}", error.traceback),
        Some(Outcome::Killed(reason)) => format!("{console}killed: {reason}\n"),
        _ => format!("{console}did not end\n"),
    }
}
