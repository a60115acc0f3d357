//! Apps on manual time, and looks into them.

#[path = "../common/app.rs"]
mod app;

use bevy::prelude::*;
use bevy_luau_os::Value;
use bevy_luau_os::prelude::*;

pub use app::*;

/// [`app_with`] the usual [`plugin`].
pub fn app() -> App {
    app_with(plugin())
}

/// Spawns a VM that stays.
pub fn persistent_vm(app: &mut App) -> Entity {
    app.world_mut().spawn(Vm::persistent()).id()
}

/// Runs `count` ticks.
pub fn ticks(app: &mut App, count: usize) {
    (0..count).for_each(|_| app.update());
}

/// Where a process is in its life.
#[track_caller]
pub fn state(app: &App, process: Entity) -> ProcessState {
    let runtime = app.world().resource::<LuauRuntime>();
    let process = app.world().get::<Process>(process).expect("it exists");
    runtime.process_info(process).expect("its end was not reported").state
}

/// What the processes of a VM have printed.
pub fn console(app: &App, vm: Entity) -> String {
    app.world().get::<VmConsole>(vm).map(VmConsole::text).unwrap_or_default().to_owned()
}

/// A string of a script.
pub fn text(text: &str) -> Value {
    Value::String(text.as_bytes().into())
}
