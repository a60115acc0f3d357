//! Apps whose systems all run on the thread that updates them. To hand work to other threads takes longer than a tick
//! of a short script, and the tests that have very many ticks run beside each other anyway.

use bevy::ecs::schedule::{Schedules, SingleThreadedExecutor};
use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use super::app;

/// As [`app::app_with`]. Isolates still run on as many workers as the plugin says.
pub fn app_with(plugin: LuauOsPlugin) -> App {
    let mut app = app::app_with(plugin);
    for (_, schedule) in app.world_mut().resource_mut::<Schedules>().iter_mut() {
        schedule.set_executor(SingleThreadedExecutor::new());
    }
    app
}
