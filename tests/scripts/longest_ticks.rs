//! What attacks cost a tick with the plugin's defaults. It measures, so it checks nothing.
//!
//! `ATTACKERS=100` runs each attack on so many VMs at once. `ATTACK=one_call` measures those with that in their paths.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bevy_luau_os::prelude::*;
use cpu_time::ThreadTime;

use crate::attack::expand;
use crate::{app, one_thread, run};

/// Ticks for which each attack runs.
const TICKS: usize = 200;
/// Times that each attack runs. What the machine does beside it comes to one of them: the best one counts.
const RUNS: usize = 3;
/// Who runs beside an attack. It takes no time to speak of, so that what a tick takes is the attack's.
const INNOCENT: &str = "while true do task.wait() end";
/// So many attacks are shown, those that hold up a tick longest.
const SHOWN: usize = 40;

/// Runs each attack beside one other process, and shows which took longest in a tick.
pub fn measure(attacks: &[PathBuf]) -> Result<(), String> {
    let attackers = variable("ATTACKERS").and_then(|count| count.parse().ok()).unwrap_or(1);
    let part = variable("ATTACK").unwrap_or_default();
    let mut longest = Vec::new();
    for path in attacks.iter().filter(|path| path.to_string_lossy().contains(&part)) {
        let runs = (0..RUNS).map(|_| times(path, attackers)).collect::<Result<Vec<_>, _>>()?;
        let best = |rank: usize| runs.iter().map(|times| times[TICKS - rank]).min().unwrap_or_default();
        longest.push((best(1), best(5), crate::name(path)));
    }
    longest.sort();
    for (first, fifth, name) in longest.iter().rev().take(SHOWN) {
        println!("longest tick {first:?}, fifth longest {fifth:?}: {name}");
    }
    Ok(())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What each tick takes, the longest last.
fn times(path: &Path, attackers: usize) -> Result<Vec<Duration>, String> {
    let source = expand(&crate::source(path)?);
    let mut app =
        one_thread::app_with(LuauOsPlugin { workers: NonZeroUsize::new(1), ..LuauOsPlugin::default() });
    let vm = app::vm(&mut app);
    app::process(&mut app, vm, INNOCENT);
    run::ticks(&mut app, 10);
    for _ in 0..attackers {
        let vm = app::vm(&mut app);
        app::process(&mut app, vm, &source);
    }
    let mut times = Vec::with_capacity(TICKS);
    for _ in 0..TICKS {
        let began = ThreadTime::now();
        app.update();
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times)
}
