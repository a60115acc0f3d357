//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use bevy_luau_os::TickBudget;
use clap::Parser;

/// Creates very many VMs with Luau processes, ticks them until all have finished, and reports.
#[derive(Parser, Debug)]
pub struct Options {
    /// VMs to create
    #[arg(long, default_value_t = 400_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub vms: u32,
    /// Processes of each VM
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub processes: u32,
    /// What the processes run: a script of assets/scripts/stress/
    #[arg(long, value_name = "NAME", default_value = "seed")]
    pub workload: String,
    /// Run this script instead of a workload
    #[arg(long, value_name = "FILE", conflicts_with = "workload")]
    pub script: Option<PathBuf>,
    /// Ticks a second
    #[arg(long, default_value_t = 60.0, value_parser = frame_rate)]
    pub fps: f64,
    /// Safepoints in a slice
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..))]
    pub quantum: u32,
    /// Threads that run isolates [default: one per processor]
    #[arg(long)]
    pub workers: Option<NonZeroUsize>,
    /// VMs that share a Luau state; `unlimited` for one state for all
    #[arg(long, default_value = "255", value_name = "N", value_parser = vms_per_isolate)]
    pub vms_per_isolate: usize,
    /// What a tick may take: `unlimited` for all processes in every tick, however long that takes and however late the
    /// frame is; `default` for what games have that set nothing, 4 milliseconds; other milliseconds; `auto` for a part
    /// of what the game leaves free. What does not fit waits for the next tick
    #[arg(long, value_name = "BUDGET", default_value = "unlimited", value_parser = tick_budget)]
    #[arg(alias = "tick-budget-ms")]
    pub tick_budget: TickBudget,
    /// The same as `--tick-budget unlimited`
    #[arg(long, conflicts_with = "tick_budget")]
    pub unlimited: bool,
    /// Milliseconds of each frame that the game takes for itself: a system that burns so much
    #[arg(long, value_name = "X", value_parser = positive, conflicts_with = "naive")]
    pub game_ms: Option<f64>,
    /// Do not wait for the next frame: tick as fast as possible, each tick 1/fps of virtual time
    #[arg(long)]
    pub unpaced: bool,
    /// Stop after this many seconds of ticking
    #[arg(long, value_name = "S", value_parser = positive)]
    pub seconds: Option<f64>,
    /// When that time is over, despawn all VMs in one command flush, and run for another second
    #[arg(long, requires = "seconds", conflicts_with = "naive")]
    pub despawn: bool,
    /// Do not hold VMs to their limits, to see what that costs
    #[arg(long, conflicts_with = "naive")]
    pub no_limits: bool,
    /// With the workload `hostile`: attacks at a time, scripts of tests/hostile
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub attacks: u32,
    /// Run the usual way instead, as a baseline: one Luau state, each process compiled for itself,
    /// `mlua::Thread::resume`, an interrupt that yields, no ECS
    #[arg(long)]
    pub naive: bool,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Draw times and processes over the run as SVG
    #[arg(long, value_name = "FILE", conflicts_with = "naive")]
    pub chart: Option<PathBuf>,
    /// Print the closing summary only
    #[arg(long)]
    pub quiet: bool,
}

impl Options {
    /// The time from one frame to the next.
    pub fn frame(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.fps)
    }

    pub fn tick_budget(&self) -> TickBudget {
        if self.unlimited { TickBudget::Unlimited } else { self.tick_budget }
    }

    pub fn time_limit(&self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs_f64)
    }

    pub fn process_count(&self) -> u64 {
        u64::from(self.vms) * u64::from(self.processes)
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (1e-3..=1e6).contains(&number) => Ok(number),
        _ => Err("expected a number from 0.001 to 1,000,000".to_owned()),
    }
}

fn tick_budget(text: &str) -> Result<TickBudget, String> {
    match text {
        "auto" => Ok(TickBudget::Auto),
        "default" => Ok(TickBudget::default()),
        "unlimited" => Ok(TickBudget::Unlimited),
        _ => match positive(text) {
            Ok(ms) => Ok(TickBudget::Time(Duration::from_secs_f64(ms / 1e3))),
            Err(_) => Err("expected `auto`, `default`, `unlimited`, or milliseconds".to_owned()),
        },
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
