//! Running apps tick by tick.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use super::app::{ended, process, vm};

/// Runs `count` ticks.
pub fn ticks(app: &mut App, count: usize) {
    for _ in 0..count {
        app.update();
    }
}

/// Runs ticks until `count` processes have ended.
#[track_caller]
pub fn until_ended(app: &mut App, count: usize) -> &[ProcessExited] {
    for _ in 0..100_000 {
        if ended(app).processes.len() >= count {
            break;
        }
        app.update();
    }
    assert_eq!(ended(app).processes.len(), count, "processes ended");
    &ended(app).processes
}

/// Runs one script on a VM of its own to its end.
#[track_caller]
pub fn outcome(app: &mut App, source: &str) -> Outcome {
    let before = ended(app).processes.len();
    let vm = vm(app);
    process(app, vm, source);
    until_ended(app, before + 1)[before].outcome.clone()
}
