//! Scripts that are saved after every tick and go on in another app.

use std::path::Path;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{KillReason, VmLoadFailed};

use crate::attack::expand;
use crate::hostile::Expectation;
use crate::migrate::migrate;
use crate::{app, one_thread};

const QUANTA: [u32; 2] = [2, 7];

/// Ticks after which a golden script has ended.
const MAX_TICKS: usize = 200_000;

/// Ticks after which a script goes on in another app only now and then, since that takes much longer than a tick, ...
const MANY_TICKS: usize = 100;

/// ... after so many ticks.
const INTERVAL: usize = 20;

/// Ticks for which an attack is saved and loaded.
const ATTACKED_TICKS: usize = 30;

fn app(quantum: u32) -> App {
    let mut app = one_thread::app_with(LuauOsPlugin { quantum, ..app::plugin() });
    app.add_observer(|failed: On<VmLoadFailed>| panic!("what was saved is not loaded: {}", failed.error));
    app
}

/// How its first process ended, and what it has printed, after so many ticks at most.
fn run(script: &Script, quantum: u32, ticks: usize) -> (Option<Outcome>, String) {
    let mut app = app(quantum);
    let limits = VmLimits::from(Limits { console_bytes: 1 << 20, ..default() });
    let vm = app.world_mut().spawn((Vm::persistent(), limits)).id();
    app.world_mut().spawn((Process::new(script.clone()), ProcessOf(vm)));
    app.update();
    let first = |app: &App| app::ended(app).processes.iter().find(|exit| exit.pid.get() == 1).cloned();
    for tick in 0..ticks {
        app.update();
        if first(&app).is_some() {
            break;
        }
        if tick >= MANY_TICKS && tick % INTERVAL > 0 {
            continue;
        }
        app = migrate(app, || self::app(quantum));
    }
    let mut consoles = app.world_mut().query::<&VmConsole>();
    let console = consoles.iter(app.world()).map(VmConsole::text).collect();
    (first(&app).map(|exit| exit.outcome), console)
}

/// A golden script prints what it prints otherwise.
pub fn prints_the_same(path: &Path) -> Result<(), String> {
    let script = Script::new(crate::name(path), crate::source(path)?);
    let expected = std::fs::read_to_string(path.with_extension("out")).map_err(|error| error.to_string())?;
    for quantum in QUANTA {
        let (outcome, console) = run(&script, quantum, MAX_TICKS);
        let printed = match outcome {
            Some(Outcome::Finished(_)) => console,
            Some(Outcome::Failed(error)) => format!("{console}failed: {error}\n{}", error.traceback),
            other => format!("{console}{other:?}\n"),
        };
        if printed != expected {
            return Err(format!("at quantum {quantum} it prints\n{printed}"));
        }
    }
    Ok(())
}

/// An attack does no more than it does otherwise.
pub fn does_no_more(path: &Path) -> Result<(), String> {
    let source = expand(&crate::source(path)?);
    let expected = Expectation::of(&source)?;
    let script = Script::new(crate::name(path), source);
    for quantum in QUANTA {
        let (outcome, _) = run(&script, quantum, ATTACKED_TICKS);
        // One that never leaves what cannot be saved is not.
        let is_refused = matches!(outcome, Some(Outcome::Killed(KillReason::NotSaved { .. })));
        if outcome.is_some() && !is_refused && !expected.includes(outcome.as_ref()) {
            return Err(format!("at quantum {quantum}: {outcome:?} instead of {expected:?}"));
        }
    }
    Ok(())
}
