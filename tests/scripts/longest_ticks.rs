//! What attacks cost a tick with the plugin's defaults. It measures, so it checks nothing.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bevy_luau_os::prelude::*;
use cpu_time::ThreadTime;

use crate::attack::expand;
use crate::range::CHURN;
use crate::{app, one_thread, run};

/// Ticks for which each attack runs.
const TICKS: usize = 200;
/// So many attacks are shown, those that hold up a tick longest.
const SHOWN: usize = 40;

/// Runs each attack beside one other process, and shows which took longest in a tick.
pub fn measure(attacks: &[PathBuf]) -> Result<(), String> {
    let mut longest = Vec::new();
    for path in attacks {
        let times = times(path)?;
        longest.push((times[TICKS - 1], times[TICKS - 5], crate::name(path)));
    }
    longest.sort();
    for (first, fifth, name) in longest.iter().rev().take(SHOWN) {
        println!("longest tick {first:?}, fifth longest {fifth:?}: {name}");
    }
    Ok(())
}

/// What each tick takes, the longest last.
fn times(path: &Path) -> Result<Vec<Duration>, String> {
    let source = expand(&crate::source(path)?);
    let mut app =
        one_thread::app_with(LuauOsPlugin { workers: NonZeroUsize::new(1), ..LuauOsPlugin::default() });
    let vm = app::vm(&mut app);
    app::process(&mut app, vm, CHURN);
    run::ticks(&mut app, 10);
    let vm = app::vm(&mut app);
    app::process(&mut app, vm, &source);
    let mut times = Vec::with_capacity(TICKS);
    for _ in 0..TICKS {
        let began = ThreadTime::now();
        app.update();
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times)
}
