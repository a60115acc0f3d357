//! Saving all VMs at the end of a run, and beginning one with saved ones.

use std::process::exit;
use std::time::{Duration, Instant};

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{SaveCommandsExt, VmImage, VmSnapshots, VmsSaved};

use crate::options::Options;

/// What it took to save.
#[derive(Default)]
pub struct Saved {
    pub seconds: f64,
    pub bytes: u64,
    pub frame_max_ms: f64,
}

#[derive(Resource)]
struct Snapshots(VmSnapshots);

fn fail(error: impl std::fmt::Display) -> ! {
    eprintln!("stress: {error}");
    exit(2);
}

/// Saves all VMs to the file of `--save`, if there is one, frame by frame as a game would.
pub fn save(app: &mut App, options: &Options) -> Saved {
    let Some(path) = &options.save else { return Saved::default() };
    app.add_observer(|saved: On<VmsSaved>, mut commands: Commands| {
        commands.insert_resource(Snapshots(saved.snapshots.clone()));
    });
    app.world_mut().commands().save_vms();
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    while !app.world().contains_resource::<Snapshots>() {
        let frame_began = Instant::now();
        app.update();
        longest = longest.max(frame_began.elapsed());
        if !options.uncapped {
            std::thread::sleep(options.frame().saturating_sub(frame_began.elapsed()));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let bytes = app.world().resource::<Snapshots>().0.as_bytes();
    if let Err(error) = std::fs::write(path, bytes) {
        fail(format_args!("cannot write {}: {error}", path.display()));
    }
    Saved { seconds, bytes: bytes.len() as u64, frame_max_ms: longest.as_secs_f64() * 1e3 }
}

/// Loads the VMs of the file of `--load`, if there is one. Returns the seconds that it took.
pub fn load(app: &mut App, options: &Options) -> Option<f64> {
    let path = options.load.as_ref()?;
    let bytes = std::fs::read(path).unwrap_or_else(|error| fail(format_args!("{}: {error}", path.display())));
    let began = Instant::now();
    let images = VmSnapshots::from_bytes(bytes).and_then(|saved| saved.images());
    let images = images.unwrap_or_else(|error| fail(format_args!("{}: {error}", path.display())));
    let silent = VmLimits::from(Limits { console_bytes: 0, ..default() });
    app.world_mut()
        .spawn_batch(images.into_iter().map(move |image| (image, silent.clone())).collect::<Vec<_>>());
    let mut left = app.world_mut().query_filtered::<(), With<VmImage>>();
    while left.iter(app.world()).next().is_some() {
        app.update();
    }
    Some(began.elapsed().as_secs_f64())
}
