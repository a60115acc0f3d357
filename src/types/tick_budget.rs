//! What a tick may cost.

use std::time::Duration;

use bevy::prelude::*;
use serde::{Deserialize, Serialize};

/// How much of a frame a tick may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Reflect, Serialize, Deserialize)]
#[reflect(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum TickBudget {
    /// Every runnable process gets its slice in every tick, however long that takes. The only mode
    /// in which two runs of the same app give the same results.
    Unlimited,
    /// A tick stops when this much wall time is used up and the next goes on where it stopped.
    Time(Duration),
    /// As `Time`, with as much time as the game leaves: 60% of what a frame has after the game's own work,
    /// and 1 ms at least. It is learned from what past frames took without us.
    ///
    /// A frame is as long as a tick's timestep, or shorter if frames are more frequent than ticks. The
    /// game's work is that of its main schedule; when frames come late for reasons that do not show there
    /// (rendering), the budget is cut back by up to three quarters.
    ///
    /// Good for servers and other games that do not render; a run of 800,000 processes takes less than half
    /// the time of the default. Not the default itself, because what a renderer needs is only found out by
    /// frames that come late now and then.
    Auto,
}

/// 4 ms: a quarter of a frame at 60 frames a second.
impl Default for TickBudget {
    fn default() -> Self {
        Self::Time(Duration::from_millis(4))
    }
}
