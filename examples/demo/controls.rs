//! Keys and buttons: both send an [`Action`].

use std::time::Duration;

use bevy::prelude::*;
use bevy::window::PrimaryWindow;
use bevy_framepace::{FramepaceSettings, Limiter};
use bevy_luau_os::prelude::*;

use crate::robots::{self, Robot};
use crate::runaways;
use crate::ui::top::Busiest;
use crate::view::{Selected, robot_at_cursor};

pub fn plugin(app: &mut App) {
    app.add_message::<Action>()
        .insert_resource(ScriptsRun(true))
        .add_systems(Update, (press_keys, press_buttons, select_by_click, apply).chain());
    let sets = (
        LuauOsSystems::Admit,
        LuauOsSystems::Wake,
        LuauOsSystems::Run,
        LuauOsSystems::Syscalls,
        LuauOsSystems::Collect,
        LuauOsSystems::Settle,
    );
    app.configure_sets(FixedUpdate, sets.run_if(|run: Res<ScriptsRun>| run.0));
}

/// Whether scripts run; the robots carry on with their last orders if not.
#[derive(Resource)]
pub struct ScriptsRun(pub bool);

/// What the person at the keyboard wants.
#[derive(Message, Component, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Add(usize),
    Remove(usize),
    Pause,
    Scripts,
    Quantum { up: bool },
    Budget { up: bool },
    Pacing,
    Runaways,
    Next,
    Previous,
    Deselect,
    Kill,
    Restart,
}

/// Keys, what they do, and what the buttons say.
pub const KEYS: [(KeyCode, char, Action, &str); 13] = [
    (KeyCode::Digit1, '1', Action::Add(1_000), "+1,000"),
    (KeyCode::Digit2, '2', Action::Add(10_000), "+10,000"),
    (KeyCode::Digit3, '3', Action::Remove(1_000), "-1,000"),
    (KeyCode::Digit4, '4', Action::Remove(10_000), "-10,000"),
    (KeyCode::KeyR, 'r', Action::Runaways, "release 1,000 runaways"),
    (KeyCode::KeyP, 'p', Action::Pause, "pause"),
    (KeyCode::KeyS, 's', Action::Scripts, "scripts"),
    (KeyCode::KeyQ, 'q', Action::Quantum { up: false }, "quantum -"),
    (KeyCode::KeyW, 'w', Action::Quantum { up: true }, "quantum +"),
    (KeyCode::KeyA, 'a', Action::Budget { up: false }, "budget -"),
    (KeyCode::KeyD, 'd', Action::Budget { up: true }, "budget +"),
    (KeyCode::KeyF, 'f', Action::Pacing, "pacing"),
    (KeyCode::KeyT, 't', Action::Restart, "restart"),
];

/// Keys without a button of their own in the bar.
const MORE_KEYS: [(KeyCode, Action); 4] = [
    (KeyCode::KeyK, Action::Kill),
    (KeyCode::Tab, Action::Next),
    (KeyCode::Backspace, Action::Previous),
    (KeyCode::Escape, Action::Deselect),
];

/// The key of a character.
pub fn key_of(character: char) -> Option<KeyCode> {
    let more = (character == 'k').then_some(KeyCode::KeyK);
    KEYS.iter().find(|key| key.1 == character).map(|key| key.0).or(more)
}

fn press_keys(keys: Res<ButtonInput<KeyCode>>, mut actions: MessageWriter<Action>) {
    let all = KEYS.iter().map(|&(key, _, action, _)| (key, action)).chain(MORE_KEYS);
    actions.write_batch(all.filter(|&(key, _)| keys.just_pressed(key)).map(|(_, action)| action));
}

fn press_buttons(
    buttons: Query<(&Interaction, &Action), Changed<Interaction>>,
    mut actions: MessageWriter<Action>,
) {
    let pressed = buttons.iter().filter(|(interaction, _)| **interaction == Interaction::Pressed);
    actions.write_batch(pressed.map(|(_, action)| *action));
}

fn select_by_click(
    mouse: Res<ButtonInput<MouseButton>>,
    window: Single<&Window, With<PrimaryWindow>>,
    camera: Single<(&Camera, &GlobalTransform), With<Camera2d>>,
    robots: Query<(Entity, &Robot)>,
    interface: Res<UiScale>,
    mut selected: ResMut<Selected>,
) {
    if mouse.just_pressed(MouseButton::Left)
        && let Some(robot) = robot_at_cursor(&window, interface.0, *camera, &robots)
    {
        selected.0 = Some(robot);
    }
}

fn apply(
    mut commands: Commands,
    mut actions: MessageReader<Action>,
    mut runtime: ResMut<LuauRuntime>,
    mut pacing: ResMut<FramepaceSettings>,
    mut time: ResMut<Time<Virtual>>,
    (mut scripts, mut selected): (ResMut<ScriptsRun>, ResMut<Selected>),
    busiest: Res<Busiest>,
) {
    for &action in actions.read() {
        match action {
            Action::Add(count) => commands.queue(move |world: &mut World| robots::add(world, count)),
            Action::Remove(count) => commands.queue(move |world: &mut World| robots::remove(world, count)),
            Action::Runaways => commands.queue(|world: &mut World| runaways::release(world, 1_000)),
            Action::Pause if time.is_paused() => time.unpause(),
            Action::Pause => time.pause(),
            Action::Scripts => scripts.0 = !scripts.0,
            Action::Quantum { up } => {
                let quantum = runtime.quantum();
                runtime.set_quantum(if up { quantum * 2 } else { quantum / 2 }.clamp(10, 100_000));
            }
            Action::Budget { up } => {
                if let TickBudget::Time(budget) = runtime.budget() {
                    let budget = if up { budget * 3 / 2 } else { budget * 2 / 3 };
                    let allowed = Duration::from_micros(100)..=Duration::from_millis(30);
                    runtime.set_budget(TickBudget::Time(budget.clamp(*allowed.start(), *allowed.end())));
                }
            }
            Action::Pacing => {
                let is_on = pacing.limiter.is_enabled();
                pacing.limiter = if is_on { Limiter::Off } else { Limiter::from_framerate(60.0) };
            }
            Action::Next => selected.0 = busiest.neighbour(selected.0, 1),
            Action::Previous => selected.0 = busiest.neighbour(selected.0, -1),
            Action::Deselect => selected.0 = None,
            Action::Kill | Action::Restart => {
                let Some(robot) = selected.0 else { continue };
                commands.entity(robot).despawn_related::<Processes>();
                if action == Action::Restart {
                    commands.queue(move |world: &mut World| robots::start(world, &[robot]));
                }
            }
        }
    }
}
