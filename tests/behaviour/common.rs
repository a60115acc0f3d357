//! What the tests share: apps on manual time, and looks into them.

#[path = "../common/app.rs"]
mod app;
#[path = "../common/run.rs"]
mod run;

use std::sync::Once;
use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{Metrics, ProcessInfo, Value};

pub use app::*;
pub use run::*;

/// A script that never ends.
pub const SPIN: &str = "while true do end";

/// A budget that is used up before anything has run: each phase does as little as it may, whatever the machine's speed.
pub const NOTHING: Duration = Duration::from_nanos(1);

/// [`app_with`] the usual [`plugin`].
pub fn app() -> App {
    app_with(plugin())
}

/// Spawns a VM that stays.
pub fn persistent_vm(app: &mut App) -> Entity {
    app.world_mut().spawn(Vm::persistent()).id()
}

/// Spawns VMs that stay.
pub fn persistent_vms(app: &mut App, count: usize) -> Vec<Entity> {
    app.world_mut().spawn_batch((0..count).map(|_| Vm::persistent())).collect()
}

/// Spawns endless loops, each on a VM of its own.
pub fn spinners(app: &mut App, count: usize) -> Vec<Entity> {
    (0..count)
        .map(|_| {
            let vm = vm(app);
            process(app, vm, SPIN)
        })
        .collect()
}

pub fn metrics(app: &App) -> &Metrics {
    app.world().resource()
}

pub fn runtime(app: &App) -> &LuauRuntime {
    app.world().resource()
}

/// What the runtime knows of a process whose end was not reported.
#[track_caller]
pub fn info(app: &App, process: Entity) -> ProcessInfo {
    let process = app.world().get::<Process>(process).expect("it exists");
    runtime(app).process_info(process).expect("its end was not reported")
}

/// Where a process is in its life.
#[track_caller]
pub fn state(app: &App, process: Entity) -> ProcessState {
    info(app, process).state
}

/// What the processes of a VM have printed.
pub fn console(app: &App, vm: Entity) -> String {
    app.world().get::<VmConsole>(vm).map(VmConsole::text).unwrap_or_default().to_owned()
}

/// How the processes ended, in that order.
pub fn results(app: &App) -> Vec<Outcome> {
    ended(app).processes.iter().map(|exit| exit.outcome.clone()).collect()
}

/// Updates until `done`. What it waits for happens on other threads, so how many updates it takes is not known.
#[track_caller]
pub fn update_until(app: &mut App, mut done: impl FnMut(&App) -> bool) {
    for _ in 0..60_000 {
        app.update();
        if done(app) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it never happened");
}

/// Asserts that a script returns this one value.
#[track_caller]
pub fn returns(app: &mut App, source: &str, expected: Value) {
    assert_eq!(outcome(app, source), Outcome::Finished(vec![expected]), "{source}");
}

/// A string of a script.
pub fn text(text: &str) -> Value {
    Value::String(text.as_bytes().into())
}

/// What panics say that tests cause on purpose, on threads whose output is not captured.
pub const BOOM: &str = "boom";

/// Keeps panics that say [`BOOM`] out of the output. The hook is one for the whole program and so stays there.
pub fn silence_booms() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(BOOM) {
                hook(info);
            }
        }));
    });
}
