//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use clap::Parser;

/// Ticks a second of virtual time.
const TICK_RATE: f64 = 60.0;

/// Printed bytes kept of one file in one tick.
const CONSOLE_BYTES: usize = 16 * 1024 * 1024;

/// Runs Luau files at the same time, each as a process of its own VM
///
/// A file may require modules that are in its folder or below it. What is not said here is as a game has it by default.
#[derive(Parser)]
pub struct Options {
    /// Scripts to run
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Safepoints (loop iterations, calls, returns) that a process may pass in one slice
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    quantum: Option<u32>,
    /// What a tick may cost: "default", "unlimited", or milliseconds
    #[arg(long, value_name = "BUDGET", default_value = "default", value_parser = budget)]
    tick_budget: TickBudget,
    /// Memory of each VM
    #[arg(long, value_name = "MIB")]
    memory_mib: Option<usize>,
    /// Length that a source may have
    #[arg(long, value_name = "KIB")]
    source_kib: Option<usize>,
    /// What random numbers depend on
    #[arg(long)]
    seed: Option<u64>,
    /// VMs that share a Luau state
    #[arg(long, value_name = "VMS")]
    isolate_vms: Option<NonZeroUsize>,
    /// Threads that run isolates [default: one per processor]
    #[arg(long)]
    workers: Option<NonZeroUsize>,
    /// Stop after this many ticks
    #[arg(long)]
    pub ticks: Option<u64>,
    /// Stop after this many seconds
    #[arg(long, value_parser = positive)]
    pub seconds: Option<f64>,
    /// Run so many ticks a second, instead of as many as possible
    #[arg(long, value_parser = positive)]
    pub fps: Option<f64>,
    /// After every so many ticks, save everything, drop the app, and go on in a new one
    #[cfg(feature = "save")]
    #[arg(long, value_name = "TICKS", value_parser = clap::value_parser!(u64).range(1..))]
    pub migrate: Option<u64>,
    /// Print a digest of all that was printed and of how the files ended. It is the same in each run with
    /// `--tick-budget unlimited`
    #[arg(long)]
    pub hash: bool,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

impl Options {
    pub fn plugin(&self) -> LuauOsPlugin {
        let usual = LuauOsPlugin::default();
        LuauOsPlugin {
            quantum: self.quantum.unwrap_or(usual.quantum),
            budget: self.tick_budget,
            tick_rate: Some(TICK_RATE),
            seed: self.seed.unwrap_or(usual.seed),
            vms_per_isolate: self.isolate_vms.map_or(usual.vms_per_isolate, NonZeroUsize::get),
            workers: self.workers,
            ..usual
        }
    }

    pub fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits {
            memory_bytes: self.memory_mib.map_or(usual.memory_bytes, |mib| mib.saturating_mul(1 << 20)),
            source_bytes: self.source_kib.map_or(usual.source_bytes, |kib| kib.saturating_mul(1 << 10)),
            console_bytes: CONSOLE_BYTES,
            ..usual
        }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (1e-3..=1e6).contains(&number) => Ok(number),
        _ => Err("expected a number from 0.001 to 1,000,000".to_owned()),
    }
}

fn budget(text: &str) -> Result<TickBudget, String> {
    match text {
        "default" => Ok(TickBudget::default()),
        "unlimited" => Ok(TickBudget::Unlimited),
        milliseconds => positive(milliseconds)
            .map(|milliseconds| TickBudget::Time(Duration::from_secs_f64(milliseconds / 1e3)))
            .map_err(|_| "expected \"default\", \"unlimited\" or milliseconds".to_owned()),
    }
}
