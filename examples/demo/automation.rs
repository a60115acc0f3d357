//! Runs the demo without a person: keys at frames, a screenshot, frame times.

use std::time::Duration;

use bevy::app::AppExit;
use bevy::input::ButtonState;
use bevy::input::keyboard::{Key, KeyboardInput};
use bevy::prelude::*;
use bevy::render::view::screenshot::{Screenshot, save_to_disk};
use bevy::window::PrimaryWindow;
use serde::Serialize;

use crate::options::Options;
use crate::runaways::KillList;
use crate::view::Selected;
use bevy_luau_os::Metrics;

/// Frames of a screenshot for which no number was given.
const FRAMES: u32 = 300;
/// Frames that the screenshot may take to arrive.
const PATIENCE: u32 = 60;
/// Frames left out of the statistics after each key: what it does takes a moment.
const SETTLING: usize = 10;

pub fn plugin(app: &mut App) {
    app.init_resource::<Frames>()
        .add_systems(PreUpdate, press_keys.before(bevy::input::InputSystems))
        .add_systems(Last, count_frames);
}

/// The frames so far, in parts: from one key to the next.
#[derive(Resource, Default)]
struct Frames {
    count: u32,
    parts: Vec<Part>,
}

struct Part {
    begins_with: String,
    times: Vec<Duration>,
}

fn press_keys(
    options: Res<Options>,
    frames: Res<Frames>,
    window: Single<Entity, With<PrimaryWindow>>,
    mut input: MessageWriter<KeyboardInput>,
) {
    let mut send = |key_code, state| {
        input.write(KeyboardInput {
            key_code,
            logical_key: Key::Unidentified(bevy::input::keyboard::NativeKey::Unidentified),
            state,
            text: None,
            repeat: false,
            window: *window,
        });
    };
    for &(frame, key) in &options.press {
        if frame == frames.count {
            send(key, ButtonState::Pressed);
        } else if frame + 2 == frames.count {
            send(key, ButtonState::Released);
        }
    }
}

fn count_frames(
    mut commands: Commands,
    options: Res<Options>,
    mut frames: ResMut<Frames>,
    time: Res<Time<Real>>,
    (metrics, kills, selected): (Res<Metrics>, Res<KillList>, Res<Selected>),
    mut exit: MessageWriter<AppExit>,
) {
    let count = frames.count;
    let keys: Vec<String> =
        options.press.iter().filter(|press| press.0 == count).map(|press| format!("{:?}", press.1)).collect();
    if frames.parts.is_empty() || !keys.is_empty() {
        let begins_with = if keys.is_empty() { "start".to_owned() } else { keys.join(" ") };
        frames.parts.push(Part { begins_with, times: Vec::new() });
    }
    let part = frames.parts.last_mut().expect("there is one now");
    part.times.push(time.delta());
    frames.count += 1;
    let Some(last) = options.frames.or(options.screenshot.as_ref().map(|_| FRAMES)) else { return };
    if count == last
        && let Some(path) = options.screenshot.clone()
    {
        commands.spawn(Screenshot::primary_window()).observe(save_to_disk(path)).observe(
            |_: On<bevy::render::view::screenshot::ScreenshotCaptured>, mut exit: MessageWriter<AppExit>| {
                exit.write(AppExit::Success);
            },
        );
    }
    let patience = if options.screenshot.is_some() { PATIENCE } else { 0 };
    if count == last
        && let Some(path) = &options.report
    {
        let report = Report {
            frames: count,
            vms: metrics.vms(),
            processes: metrics.processes(),
            resumes: metrics.resumes,
            late_ticks: metrics.late_ticks,
            runaways: kills.released,
            killed: kills.by_kind.values().sum(),
            selected: selected.0.is_some(),
            parts: frames.parts.iter().map(PartReport::new).collect(),
        };
        let json = serde_json::to_string_pretty(&report).expect("strings and numbers") + "\n";
        if let Err(error) = std::fs::write(path, json) {
            error!("cannot write {}: {error}", path.display());
            exit.write(AppExit::error());
        }
    }
    if count == last + patience {
        // The screenshot did not arrive, or none was wanted.
        exit.write(if patience > 0 { AppExit::error() } else { AppExit::Success });
    }
}

#[derive(Serialize)]
struct Report {
    frames: u32,
    vms: u64,
    processes: u64,
    resumes: u64,
    late_ticks: u64,
    runaways: usize,
    killed: usize,
    selected: bool,
    parts: Vec<PartReport>,
}

#[derive(Serialize)]
struct PartReport {
    begins_with: String,
    frames: usize,
    median_ms: f64,
    p95_ms: f64,
    mean_ms: f64,
}

impl PartReport {
    fn new(part: &Part) -> Self {
        let mut times: Vec<f64> =
            part.times.iter().skip(SETTLING).map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(0.0);
        Self {
            begins_with: part.begins_with.clone(),
            frames: times.len(),
            median_ms: at(0.5),
            p95_ms: at(0.95),
            mean_ms: times.iter().sum::<f64>() / times.len().max(1) as f64,
        }
    }
}
