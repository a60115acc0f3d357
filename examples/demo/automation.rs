//! Runs the demo without a person: keys at frames, a screenshot, a report, an exit.

mod measure;
mod report;

use bevy::app::AppExit;
use bevy::input::ButtonState;
use bevy::input::InputSystems;
use bevy::input::keyboard::{Key, KeyboardInput, NativeKey};
use bevy::prelude::*;
use bevy::render::view::screenshot::{Screenshot, ScreenshotCaptured, save_to_disk};
use bevy::window::PrimaryWindow;

use crate::controls::Action;
use crate::options::Options;

use report::{Parts, Reloads};

/// Frames of a screenshot for which no number was given.
const FRAMES: u32 = 300;
/// Frames that the screenshot may take to arrive.
const PATIENCE: u32 = 60;
/// Frames for which a key is held.
const HELD: u32 = 2;

pub fn plugin(app: &mut App) {
    app.init_resource::<Frame>()
        .init_resource::<Parts>()
        .init_resource::<Reloads>()
        .add_systems(PreUpdate, (press_keys.before(InputSystems), act))
        .add_systems(Last, (report::measure, report::follow_reloads, end, count).chain());
}

/// How many frames there were.
#[derive(Resource, Default)]
struct Frame(u32);

fn count(mut frame: ResMut<Frame>) {
    frame.0 += 1;
}

/// Presses the keys that are due, as if there were a keyboard.
fn press_keys(
    options: Res<Options>,
    frame: Res<Frame>,
    window: Single<Entity, With<PrimaryWindow>>,
    mut input: MessageWriter<KeyboardInput>,
) {
    for (press_at, name, key_code) in &options.press {
        let state = match frame.0.checked_sub(*press_at) {
            Some(0) => ButtonState::Pressed,
            Some(HELD) => ButtonState::Released,
            _ => continue,
        };
        let logical_key = match key_code {
            KeyCode::Tab => Key::Tab,
            KeyCode::Escape => Key::Escape,
            KeyCode::Backspace => Key::Backspace,
            _ if name.len() == 1 => Key::Character(name.as_str().into()),
            _ => Key::Unidentified(NativeKey::Unidentified),
        };
        input.write(KeyboardInput {
            key_code: *key_code,
            logical_key,
            state,
            text: None,
            repeat: false,
            window: *window,
        });
    }
}

/// Does what the measurement has to be done at this frame.
fn act(options: Res<Options>, frame: Res<Frame>, mut actions: MessageWriter<Action>) {
    if options.measure {
        actions.write_batch(measure::step_at(frame.0).and_then(|step| step.action));
    }
}

/// Takes the screenshot, and ends the demo after the last frame.
fn end(
    mut commands: Commands,
    options: Res<Options>,
    frame: Res<Frame>,
    report: report::ReportParam,
    mut exit: MessageWriter<AppExit>,
) {
    let measured = options.measure.then_some(measure::FRAMES);
    let pictured = options.screenshot.as_ref().map(|_| FRAMES);
    let Some(last) = options.frames.or(measured).or(pictured) else { return };
    if frame.0 == last {
        if let Some(path) = &options.report
            && let Err(error) = report.write(path)
        {
            error!("cannot write {}: {error}", path.display());
            exit.write(AppExit::error());
        }
        match &options.screenshot {
            Some(path) => {
                commands.spawn(Screenshot::primary_window()).observe(save_to_disk(path.clone())).observe(
                    |_: On<ScreenshotCaptured>, mut exit: MessageWriter<AppExit>| {
                        exit.write(AppExit::Success);
                    },
                );
            }
            None => _ = exit.write(AppExit::Success),
        }
    } else if frame.0 > last + PATIENCE {
        error!("there is no screenshot");
        exit.write(AppExit::error());
    }
}
