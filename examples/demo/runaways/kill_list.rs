//! Which processes ended that should not have, and why.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

/// Entries that are kept.
const KEPT: usize = 16;

pub fn plugin(app: &mut App) {
    app.init_resource::<KillList>().add_observer(record);
}

/// What was done, and why.
#[derive(Resource, Default)]
pub struct KillList {
    /// The last ones, latest first.
    pub last: VecDeque<Kill>,
    /// How many there were of each kind.
    pub by_kind: BTreeMap<&'static str, usize>,
    /// Runaways so far.
    pub released: usize,
}

pub struct Kill {
    /// The game's time.
    pub at: Duration,
    pub script: String,
    pub kind: &'static str,
    pub why: String,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s: {} {}: {}", self.at.as_secs_f32(), self.script, self.kind, self.why)
    }
}

impl KillList {
    pub fn add(&mut self, kill: Kill) {
        *self.by_kind.entry(kill.kind).or_default() += 1;
        self.last.push_front(kill);
        self.last.truncate(KEPT);
    }
}

fn record(exit: On<ProcessExited>, mut list: ResMut<KillList>, time: Res<Time>) {
    let (kind, why) = match &exit.outcome {
        Outcome::Killed(reason) => ("killed", reason.to_string()),
        Outcome::Failed(error) => ("failed", error.to_string()),
        _ => return,
    };
    list.add(Kill { at: time.elapsed(), script: exit.name.to_string(), kind, why });
}
