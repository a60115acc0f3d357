//! Saving everything, dropping the app, and going on in a new one.

use bevy::prelude::*;
use bevy_luau_os::VmSnapshots;
use bevy_luau_os::prelude::*;

use super::app::Ended;

/// Saves all VMs of an app, drops it, and loads them into another one, as a file would be. Its next update is a tick.
pub fn migrate(mut app: App, next: impl FnOnce() -> App) -> App {
    let saved = LuauRuntime::save_all_vms(app.world_mut()).expect("they can be saved");
    let ended = app.world_mut().remove_resource::<Ended>().expect("it was put there");
    drop(app);
    let mut app = next();
    app.insert_resource(ended);
    app.update(); // the first has no tick
    let bytes = saved.as_bytes().to_vec();
    let saved = VmSnapshots::from_bytes(bytes).expect("it was saved");
    for image in saved.images().expect("they were saved") {
        app.world_mut().spawn(image);
    }
    app
}
