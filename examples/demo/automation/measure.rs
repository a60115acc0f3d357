//! `--measure`: what scripts, and what runaways, cost in frame time.
//!
//! With and without take turns, so that what else the machine does falls on both.

use serde::Serialize;

use super::report::Part;
use crate::controls::Action;

/// Frames until all processes have started and the robots are under way, ...
const WARM_UP: u32 = 1_000;
/// ... of each turn with or without scripts (short, so that robots do not run out of orders), ...
const SCRIPTS: u32 = 100;
/// ... and of each turn with or without runaways.
const RUNAWAYS: u32 = 250;
/// Turns of each.
const TURNS: u32 = 6;

/// When the turns with and without runaways begin.
const RELEASED: u32 = WARM_UP + 2 * TURNS * SCRIPTS;

/// Frames of a measurement.
pub const FRAMES: u32 = RELEASED + 2 * TURNS * RUNAWAYS;

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
        WARM_UP..RELEASED if (frame - WARM_UP).is_multiple_of(SCRIPTS) => {
            let suspends = ((frame - WARM_UP) / SCRIPTS).is_multiple_of(2);
            step(Some(Action::Scripts), if suspends { SUSPENDED } else { RUNNING })
        }
        RELEASED..FRAMES if (frame - RELEASED).is_multiple_of(RUNAWAYS) => {
            let calm = ((frame - RELEASED) / RUNAWAYS).is_multiple_of(2);
            if calm { step(Some(Action::Recall), CALM) } else { step(Some(Action::Release), RUNAWAYS_FREE) }
        }
        _ => None,
    }
}

const SUSPENDED: &str = "scripts suspended";
const RUNNING: &str = "scripts running";
const CALM: &str = "no runaways";
const RUNAWAYS_FREE: &str = "1,000 runaways";

/// The figures, of all turns together.
#[derive(Serialize)]
pub struct Figures {
    scripts_suspended_median_ms: f64,
    scripts_running_median_ms: f64,
    /// Frame rate with scripts, as a part of that without.
    frame_rate_with_scripts: f64,
    no_runaways_median_ms: f64,
    runaways_median_ms: f64,
    /// Median frame time with runaways, as a multiple of that without.
    frame_time_with_runaways: f64,
}

impl Figures {
    pub fn new(parts: &[Part]) -> Self {
        let median = |name: &str| {
            let times = parts.iter().filter(|part| part.name == name).flat_map(Part::settled_ms);
            super::report::quantile(times.collect(), 0.5)
        };
        let (suspended, running) = (median(SUSPENDED), median(RUNNING));
        let (calm, released) = (median(CALM), median(RUNAWAYS_FREE));
        Self {
            scripts_suspended_median_ms: suspended,
            scripts_running_median_ms: running,
            frame_rate_with_scripts: suspended / running,
            no_runaways_median_ms: calm,
            runaways_median_ms: released,
            frame_time_with_runaways: released / calm,
        }
    }
}
