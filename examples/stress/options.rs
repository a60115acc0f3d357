//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use bevy_luau_os::TickBudget;
use clap::builder::RangedI64ValueParser;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::tick_budget;

/// Spawns very many VMs with Luau processes, ticks them until all have ended, and reports what that took
#[derive(Parser, Debug)]
pub struct Options {
    /// Number of VMs
    #[arg(long, value_name = "N", default_value_t = 400_000, value_parser = count(10_000_000))]
    pub vms: u32,
    /// Number of processes on each VM
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = count(100_000))]
    pub processes: u32,
    /// The script of all processes: a file of assets/scripts/stress/ without its extension
    #[arg(long, value_name = "NAME", default_value = "seed")]
    pub workload: String,
    /// Run this script instead of a workload
    #[arg(long, value_name = "FILE", conflicts_with = "workload")]
    pub script: Option<PathBuf>,
    /// Frames a second; each frame is one tick
    #[arg(long, default_value_t = 60.0, value_parser = frame_rate)]
    pub fps: f64,
    /// Safepoints (loop iterations, calls, returns) that a process may pass in one slice
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..))]
    pub quantum: u32,
    /// Threads that run isolates [default: one per processor]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// VMs that share a Luau state, or `unlimited` for one state for all
    #[arg(long, default_value = "255", value_name = "N", value_parser = vms_per_isolate)]
    pub vms_per_isolate: usize,
    /// Time that a tick may take. Processes that do not fit run in the next tick [default: auto]
    ///     auto       a share of what the rest of the frame leaves free; it holds the frame rate
    ///     unlimited  every tick runs every process once, however late the frame is then
    ///     default    what the plugin has if a game sets nothing: 4 milliseconds
    ///     a number   milliseconds
    #[arg(long, value_name = "BUDGET", value_parser = tick_budget::parse, verbatim_doc_comment)]
    tick_budget: Option<TickBudget>,
    /// Milliseconds of each frame that a simulated game takes for itself
    #[arg(long, value_name = "MS", value_parser = positive, conflicts_with = "baseline")]
    pub game_load_ms: Option<f64>,
    /// Begin each frame at once instead of waiting until it is due. Virtual time still advances by 1/FPS a frame
    #[arg(long)]
    pub uncapped: bool,
    /// Stop after so many seconds of ticking
    #[arg(long, value_name = "S", value_parser = positive)]
    pub seconds: Option<f64>,
    /// Stop after so many ticks
    #[arg(long, value_name = "N", conflicts_with = "baseline")]
    pub ticks: Option<u64>,
    /// Print a digest of how all processes ended and of what they printed. It is the same in each run with
    /// `--tick-budget unlimited`
    #[arg(long, conflicts_with = "baseline")]
    pub hash: bool,
    /// After those seconds, despawn all VMs in one command flush and run for another second
    #[arg(long, requires = "seconds", conflicts_with = "baseline")]
    pub despawn: bool,
    /// Switch the limits of VMs off, to measure what they cost
    #[arg(long, conflicts_with = "baseline")]
    pub no_limits: bool,
    /// With the workload `hostile`: how many scripts of tests/hostile/ run at the same time
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub attacks: u32,
    /// Run the same scripts without this crate: one Luau state, `mlua::Thread::resume` in a loop, an interrupt that
    /// yields, no ECS, no limits, no tick budget
    #[arg(long)]
    pub baseline: bool,
    /// Save all VMs to this file at the end, over as many frames as that takes
    #[cfg(feature = "save")]
    #[arg(long, value_name = "FILE", requires = "seconds", conflicts_with = "baseline")]
    pub save: Option<PathBuf>,
    /// Begin with the VMs of this file instead of new ones
    #[cfg(feature = "save")]
    #[arg(long, value_name = "FILE", requires = "seconds", conflicts_with_all = ["baseline", "workload", "script"])]
    pub load: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Draw frame times, collections and processes over the run, as SVG
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    pub chart: Option<PathBuf>,
    /// Print only the four lines of the summary
    #[arg(long)]
    pub quiet: bool,
}

impl Options {
    /// Reads the command line. Ends the program with a message if something is wrong with it.
    pub fn read() -> Self {
        let options = Self::parse();
        if options.baseline && options.tick_budget.is_some_and(|budget| budget != TickBudget::Unlimited) {
            let message = "`--baseline` has no tick budget: each of its ticks runs every process";
            Self::command().bin_name("stress").error(ErrorKind::ArgumentConflict, message).exit();
        }
        options
    }

    pub fn tick_budget(&self) -> TickBudget {
        self.tick_budget.unwrap_or(TickBudget::Auto)
    }

    /// The time from one frame to the next.
    pub fn frame(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.fps)
    }

    pub fn time_limit(&self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs_f64)
    }

    pub fn process_count(&self) -> u64 {
        u64::from(self.vms) * u64::from(self.processes)
    }
}

/// Whole numbers from 1 to `most`.
fn count(most: i64) -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=most)
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (1e-3..=1e6).contains(&number) => Ok(number),
        _ => Err("expected a number from 0.001 to 1,000,000".to_owned()),
    }
}

fn frame_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (4.0..=1e6).contains(&rate) => Ok(rate),
        _ => Err("expected a number from 4 to 1,000,000".to_owned()),
    }
}

fn vms_per_isolate(text: &str) -> Result<usize, String> {
    if text == "unlimited" {
        return Ok(usize::MAX);
    }
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a number above 0, or `unlimited`".to_owned()),
    }
}
