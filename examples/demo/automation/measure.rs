//! `--measure`: what scripts, and what runaways, cost in frame time.
//!
//! With and without take turns; a turn is compared with the one before or after it.

use serde::Serialize;

use super::report::{Part, quantile};
use crate::controls::Action;

/// Frames until all processes have started and the robots are under way, ...
const WARM_UP: u32 = 500;
/// ... and of each turn: few, so that what else the machine does falls on both, and robots have their orders.
const TURN: u32 = 60;
/// Turns with and without, of scripts and of runaways.
const TURNS: u32 = 2 * 14;

/// When the turns with and without runaways begin.
const RELEASED: u32 = WARM_UP + TURNS * TURN;

/// Frames of a measurement.
pub const FRAMES: u32 = RELEASED + TURNS * TURN;

/// What happens at a frame.
pub struct Step {
    pub action: Option<Action>,
    /// What the frames from here to the next step are called.
    pub name: &'static str,
}

/// The step at `frame`, if it is the first of a part.
pub fn step_at(frame: u32) -> Option<Step> {
    let step = |action, name| Some(Step { action, name });
    match frame {
        0 => step(None, "start"),
        WARM_UP..RELEASED if (frame - WARM_UP).is_multiple_of(TURN) => {
            let suspends = ((frame - WARM_UP) / TURN).is_multiple_of(2);
            step(Some(Action::Scripts), if suspends { SUSPENDED } else { RUNNING })
        }
        RELEASED..FRAMES if (frame - RELEASED).is_multiple_of(TURN) => {
            let calm = ((frame - RELEASED) / TURN).is_multiple_of(2);
            if calm { step(Some(Action::Recall), CALM) } else { step(Some(Action::Release), RUNAWAYS_FREE) }
        }
        _ => None,
    }
}

const SUSPENDED: &str = "scripts suspended";
const RUNNING: &str = "scripts running";
const CALM: &str = "no runaways";
const RUNAWAYS_FREE: &str = "1,000 runaways";

/// The figures: medians over all turns.
#[derive(Serialize)]
pub struct Figures {
    scripts_suspended_ms: f64,
    scripts_running_ms: f64,
    /// Frame rate with scripts, as a part of that without.
    frame_rate_with_scripts: f64,
    no_runaways_ms: f64,
    runaways_ms: f64,
    /// Frame time with runaways, as a multiple of that without.
    frame_time_with_runaways: f64,
}

impl Figures {
    pub fn new(parts: &[Part]) -> Self {
        let medians = |name: &str| -> Vec<f64> {
            let turns = parts.iter().filter(|part| part.name == name);
            turns.map(|part| quantile(part.settled_ms().collect(), 0.5)).collect()
        };
        let ratio = |a: &[f64], b: &[f64]| quantile(a.iter().zip(b).map(|(a, b)| a / b).collect(), 0.5);
        let (suspended, running) = (medians(SUSPENDED), medians(RUNNING));
        let (calm, released) = (medians(CALM), medians(RUNAWAYS_FREE));
        Self {
            frame_rate_with_scripts: ratio(&suspended, &running),
            frame_time_with_runaways: ratio(&released, &calm),
            scripts_suspended_ms: quantile(suspended, 0.5),
            scripts_running_ms: quantile(running, 0.5),
            no_runaways_ms: quantile(calm, 0.5),
            runaways_ms: quantile(released, 0.5),
        }
    }
}
