//! The command line.

use std::path::PathBuf;

use bevy::prelude::*;
use clap::Parser;

/// Tens of thousands of robots, each a VM whose processes steer it.
#[derive(Parser, Resource, Clone)]
pub struct Options {
    /// Robots at the start
    #[arg(long, default_value_t = 20_000)]
    pub robots: usize,
    /// What all random numbers depend on
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Size of the window
    #[arg(long, default_value = "1280x720", value_parser = size)]
    pub size: (u32, u32),
    /// Safepoints in a slice
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(2..))]
    pub quantum: u32,
    /// What a tick may cost, in milliseconds
    #[arg(long, default_value_t = 2.0)]
    pub budget_ms: f64,
    /// Render as many frames as possible
    #[arg(long)]
    pub no_pacing: bool,
    /// Exit after this many frames
    #[arg(long)]
    pub frames: Option<u32>,
    /// Save the last frame as a PNG, and exit [default number of frames: 300]
    #[arg(long, value_name = "FILE")]
    pub screenshot: Option<PathBuf>,
    /// Press a key at a frame, named as on the buttons; may be repeated
    #[arg(long, value_name = "FRAME:KEY", value_parser = press)]
    pub press: Vec<(u32, String, KeyCode)>,
    /// Write counters and the frame times from one key to the next, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Measure what scripts and runaways cost in frame time, for the report; takes some minutes
    #[arg(long, conflicts_with_all = ["press", "frames"], requires = "report")]
    pub measure: bool,
    /// What is logged
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
