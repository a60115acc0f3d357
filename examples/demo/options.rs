//! The command line.

use std::path::PathBuf;

use bevy::prelude::*;
use bevy_luau_os::TickBudget;
use clap::Parser;

use crate::tick_budget;

/// Tens of thousands of robots, each a VM whose processes steer it
#[derive(Parser, Resource, Clone)]
pub struct Options {
    /// Number of robots at the start
    #[arg(long, default_value_t = 20_000)]
    pub robots: usize,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Size of the window
    #[arg(long, default_value = "1280x720", value_parser = size)]
    pub size: (u32, u32),
    /// Safepoints (loop iterations, calls, returns) that a process may pass in one slice
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(2..))]
    pub quantum: u32,
    /// Time that a tick may take: milliseconds, `auto`, `unlimited`, or `default` (4 milliseconds)
    #[arg(long, value_name = "BUDGET", default_value = "2", value_parser = tick_budget::parse)]
    pub tick_budget: TickBudget,
    /// Render as many frames as possible, instead of 60 a second
    #[arg(long)]
    pub uncapped: bool,
    /// Exit after this many frames
    #[arg(long)]
    pub frames: Option<u32>,
    /// Save the last frame as a PNG, and exit [default number of frames: 300]
    #[arg(long, value_name = "FILE")]
    pub screenshot: Option<PathBuf>,
    /// Press a key at a frame. Keys have the names that the buttons show. May be given several times
    #[arg(long, value_name = "FRAME:KEY", value_parser = press)]
    pub press: Vec<(u32, String, KeyCode)>,
    /// Write counters and the frame times from one key to the next, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Measure for the report how much frame time scripts and runaways cost. Takes some minutes
    #[arg(long, conflicts_with_all = ["press", "frames"], requires = "report")]
    pub measure: bool,
    /// Which messages are logged, as in the variable RUST_LOG
    #[arg(long, default_value = "warn,bevy_luau_os=info,demo=info")]
    pub log: String,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let parse = |text: &str| text.parse().ok().filter(|pixels| (320..=7680).contains(pixels));
    let (width, height) = text.split_once('x').ok_or("expected WIDTHxHEIGHT")?;
    parse(width).zip(parse(height)).ok_or_else(|| "expected two numbers from 320 to 7680".to_owned())
}

fn press(text: &str) -> Result<(u32, String, KeyCode), String> {
    let (frame, key) = text.split_once(':').ok_or("expected FRAME:KEY")?;
    let frame = frame.parse().map_err(|_| format!("{frame:?} is no number of a frame"))?;
    let code = super::controls::key_of(key).ok_or_else(|| format!("{key:?} is no key of the demo"))?;
    Ok((frame, key.to_owned(), code))
}
