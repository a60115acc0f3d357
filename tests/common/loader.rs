//! What must hold for any bytes that are given as a script, for the loader's tests and its fuzz target.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

/// An app with two processes' worth of threads, whose ticks a script cannot hold up for long.
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
/// When that leaves more behind than it should, or `source` is taken for bytecode.
pub fn load(app: &mut App, source: &[u8]) -> bool {
    let script = Script::new("fuzz", source);
    let vm = app.world_mut().spawn(Vm::persistent()).id();
    for _ in 0..2 {
        app.world_mut().spawn((Process::new(script.clone()), ProcessOf(vm)));
    }
    for _ in 0..3 {
        app.update();
    }
    let metrics = app.world().resource::<bevy_luau_os::Metrics>();
    let failed = metrics.processes_failed;
    // Compiled by now, unless it is too long; the result is kept.
    let compiled = script.compile();
    if compiled.is_err() && source.len() <= Limits::default().source_bytes {
        assert!(failed >= 2, "a script that does not compile ran: {compiled:?}");
    }
    let looks_like_bytecode = source.first().is_some_and(|&byte| byte < b'\t');
    assert!(!looks_like_bytecode || compiled.is_err(), "bytecode was accepted");
    app.world_mut().despawn(vm);
    assert_eq!(app.world().resource::<bevy_luau_os::Metrics>().processes(), 0);
    compiled.is_ok()
}
