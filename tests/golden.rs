//! Every script of `tests/scripts/golden` prints what the file beside it says, at every quantum.
//!
//! `UPDATE_GOLDEN=1 cargo test --test golden` writes the files; look at the difference.

mod common;

use std::path::{Path, PathBuf};

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

const QUANTA: [u32; 3] = [1000, 7, 2];

/// What one script prints, with how it ended as the last line if it did not finish.
fn run(path: &Path, quantum: u32) -> String {
    let mut app = common::app_with(LuauOsPlugin { quantum, ..common::plugin() });
    let limits = Limits { console_bytes: 1 << 20, ..default() };
    let vm = app.world_mut().spawn((Vm::persistent(), VmLimits::from(limits))).id();
    let source = std::fs::read(path).expect("source");
    let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
    let script = Script::new(name, source);
    let process = app.world_mut().spawn((Process::new(script), ProcessOf(vm))).id();
    let has_ended = |app: &App| common::ended(app).processes.iter().any(|exit| exit.entity == process);
    for _ in 0..200_000 {
        if has_ended(&app) {
            break;
        }
        app.update();
    }
    let console = app.world().get::<VmConsole>(vm).map(VmConsole::text).unwrap_or_default();
    let exits = &common::ended(&app).processes;
    match exits.iter().find(|exit| exit.entity == process).map(|exit| &exit.outcome) {
        Some(Outcome::Finished(_)) => console.to_owned(),
        Some(Outcome::Failed(error)) => format!("{console}failed: {error}\n{}", error.traceback),
        Some(Outcome::Killed(reason)) => format!("{console}killed: {reason}\n"),
        _ => format!("{console}did not end\n"),
    }
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/golden");
    let entries = std::fs::read_dir(folder).expect("folder of scripts");
    let paths = entries.map(|entry| entry.expect("entry").path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "luau")).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

#[test]
fn scripts_print_what_they_should_at_every_quantum() {
    let mut differences = String::new();
    for path in scripts() {
        let golden = path.with_extension("out");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, run(&path, QUANTA[0])).expect("written");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        for quantum in QUANTA {
            let printed = run(&path, quantum);
            if printed != expected {
                let name = path.file_name().expect("a file").to_string_lossy();
                differences += &format!("--- {name} at quantum {quantum}\n{printed}");
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
}
