//! Frame times and counters, as JSON.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use bevy::ecs::system::SystemParam;
use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{Metrics, ScriptReloaded};
use serde::Serialize;

use super::measure::{self, Figures};
use super::{Frame, Options};
use crate::plain::Map;
use crate::runaways::KillList;
use crate::view::Selected;

/// Frames left out of the statistics after each key: what it does takes a moment.
const SETTLING: usize = 10;

/// The frames, in parts: from one key, or step of the measurement, to the next.
#[derive(Resource, Default)]
pub struct Parts(Vec<Part>);

pub struct Part {
    pub name: String,
    frame_times: Vec<Duration>,
    /// What there was when it began.
    before: Metrics,
    after: Metrics,
}

impl Part {
    /// Frame times without those right after the key.
    pub fn settled_ms(&self) -> impl Iterator<Item = f64> {
        self.frame_times.iter().skip(SETTLING).map(|time| time.as_secs_f64() * 1e3)
    }
}

pub fn measure(
    mut parts: ResMut<Parts>,
    (frame, options): (Res<Frame>, Res<Options>),
    (time, metrics): (Res<Time<Real>>, Res<Metrics>),
) {
    let keys = options.press.iter().filter(|press| press.0 == frame.0).map(|press| press.1.as_str());
    let step = measure::step_at(frame.0).filter(|_| options.measure || frame.0 == 0);
    let begins: Vec<&str> = step.map(|step| step.name).into_iter().chain(keys).collect();
    if !begins.is_empty() {
        let (before, after) = (metrics.clone(), metrics.clone());
        parts.0.push(Part { name: begins.join(" "), frame_times: Vec::new(), before, after });
    }
    if let Some(part) = parts.0.last_mut() {
        part.frame_times.push(time.delta());
        part.after = metrics.clone();
    }
}

/// The value below which this part of `values` lies.
pub fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() as f64 * part) as usize).copied().unwrap_or(0.0)
}

/// Scripts that were changed while they ran.
#[derive(Resource, Default)]
pub struct Reloads(Vec<String>);

pub fn follow_reloads(mut messages: MessageReader<ScriptReloaded>, mut reloads: ResMut<Reloads>) {
    for ScriptReloaded { name, result, .. } in messages.read() {
        reloads.0.push(match result {
            Ok(processes) => format!("{name}: {processes} processes"),
            Err(error) => format!("{name}: {error}"),
        });
    }
}

/// What a report is made of.
#[derive(SystemParam)]
pub struct ReportParam<'w> {
    options: Res<'w, Options>,
    frame: Res<'w, Frame>,
    parts: Res<'w, Parts>,
    metrics: Res<'w, Metrics>,
    runtime: Res<'w, LuauRuntime>,
    kills: Res<'w, KillList>,
    reloads: Res<'w, Reloads>,
    selected: Res<'w, Selected>,
    map: Res<'w, Map>,
}

#[derive(Serialize)]
struct Report<'a> {
    frames: u32,
    robots: usize,
    vms: u64,
    processes: u64,
    runnable: usize,
    late_ticks: u64,
    ore_delivered: f32,
    runaways: usize,
    kills: &'a BTreeMap<&'static str, usize>,
    last_kills: Vec<String>,
    reloads: &'a [String],
    selected: bool,
    figures: Option<Figures>,
    parts: Vec<PartReport<'a>>,
}

#[derive(Serialize)]
struct PartReport<'a> {
    name: &'a str,
    frames: usize,
    median_ms: f64,
    p95_ms: f64,
    ticks: u64,
    slices: u64,
}

impl<'a> PartReport<'a> {
    fn new(part: &'a Part) -> Self {
        Self {
            name: &part.name,
            frames: part.frame_times.len(),
            median_ms: quantile(part.settled_ms().collect(), 0.5),
            p95_ms: quantile(part.settled_ms().collect(), 0.95),
            ticks: part.after.ticks - part.before.ticks,
            slices: part.after.resumes - part.before.resumes,
        }
    }
}

impl ReportParam<'_> {
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let report = Report {
            frames: self.frame.0,
            robots: self.options.robots,
            vms: self.metrics.vms(),
            processes: self.metrics.processes(),
            runnable: self.runtime.runnable(),
            late_ticks: self.metrics.late_ticks,
            ore_delivered: self.map.read().bases.iter().map(|base| base.ore).sum(),
            runaways: self.kills.released,
            kills: &self.kills.by_kind,
            last_kills: self.kills.last.iter().map(ToString::to_string).collect(),
            reloads: &self.reloads.0,
            selected: self.selected.0.is_some(),
            figures: self.options.measure.then(|| Figures::new(&self.parts.0)),
            parts: self.parts.0.iter().map(PartReport::new).collect(),
        };
        std::fs::write(path, serde_json::to_string_pretty(&report)? + "\n")
    }
}
