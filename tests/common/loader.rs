//! What must hold for any bytes that are given as a script, for the loader's tests and its fuzz target.

use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::Metrics;
use bevy_luau_os::prelude::*;

/// Ticks, each with a short rest, in which a script must be compiled: it may be done in the background.
const MAX_TICKS: u32 = 100_000;

/// An app as games have it, but that a tick is run by each update.
pub fn app() -> App {
    let mut app = App::new();
    app.add_plugins((MinimalPlugins, LuauOsPlugin { quantum: 100, ..default() }))
        .insert_resource(bevy::time::TimeUpdateStrategy::FixedTimesteps(1));
    app
}

/// Compiles `source` and runs it for a few ticks, on the threads that a game does that on. Whether it
/// compiles.
///
/// # Panics
///
/// When it runs and does not compile, never starts, is bytecode, or leaves something behind.
pub fn load(app: &mut App, source: &[u8]) -> bool {
    let failed_before = metrics(app).processes_failed;
    let script = Script::new("fuzz", source);
    let vm = app.world_mut().spawn(Vm::persistent()).id();
    let processes =
        [(); 2].map(|()| app.world_mut().spawn((Process::new(script.clone()), ProcessOf(vm))).id());
    let is_new = |app: &App| {
        let process = |&process| app.world().get::<Process>(process);
        processes.iter().filter_map(process).any(|process| process.pid().is_none())
    };
    for _ in 0..MAX_TICKS {
        app.update();
        if !is_new(app) {
            break;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    assert!(!is_new(app), "it was never compiled");
    for _ in 0..3 {
        app.update();
    }
    let failed = metrics(app).processes_failed - failed_before;
    let compiled = script.compile(); // it was; the result is kept
    let is_too_long = source.len() > Limits::default().source_bytes;
    assert!(compiled.is_ok() || is_too_long || failed == 2, "it ran, with {compiled:?}");
    let is_bytecode = source.first().is_some_and(|&byte| byte < b'\t');
    assert!(!is_bytecode || compiled.is_err(), "bytecode was accepted");
    app.world_mut().despawn(vm);
    assert_eq!(metrics(app).processes(), 0);
    compiled.is_ok()
}

fn metrics(app: &App) -> &Metrics {
    app.world().resource()
}
