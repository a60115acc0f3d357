//! Keys and buttons: both send an [`Action`].

mod selection;
mod settings;

use bevy::prelude::*;
use bevy::window::PrimaryWindow;

use crate::view::{Bodies, Selected, robot_at_cursor};
use crate::{robots, runaways};

pub use settings::ScriptsRun;

pub fn plugin(app: &mut App) {
    app.add_message::<Action>().add_plugins((settings::plugin, selection::plugin)).add_systems(
        Update,
        ((press_keys, press_buttons, select_by_click).chain().in_set(ReadInput), populate.after(ReadInput)),
    );
}

/// The systems that send [`Action`]s.
#[derive(SystemSet, Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadInput;

/// What a key or a button does.
#[derive(Message, Component, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Add(usize),
    Remove(usize),
    /// Releases 1,000 runaways.
    Release,
    /// Takes all runaways back.
    Recall,
    /// Stops the game's time, and goes on.
    Pause,
    /// Suspends all scripts, and goes on.
    Scripts,
    Quantum {
        up: bool,
    },
    Budget {
        up: bool,
    },
    Pacing,
    Next,
    Previous,
    Deselect,
    Kill,
    /// Suspends the selected robot's processes, or resumes them.
    Suspend,
    Restart,
    Scroll {
        down: bool,
    },
}

/// A key, and the button that does the same.
pub struct Binding {
    pub key: KeyCode,
    /// What the button and the command line call the key.
    pub key_name: &'static str,
    pub action: Action,
    pub label: &'static str,
    pub place: Place,
}

/// Where a button is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Toolbar,
    Inspector,
    /// Nowhere: only the key does it.
    Hidden,
}

const fn binding(
    key: KeyCode,
    key_name: &'static str,
    action: Action,
    label: &'static str,
    place: Place,
) -> Binding {
    Binding { key, key_name, action, label, place }
}

/// Everything that can be done.
pub const BINDINGS: [Binding; 21] = {
    use Place::{Hidden, Inspector, Toolbar};
    [
        binding(KeyCode::Digit1, "1", Action::Add(1_000), "+1,000", Toolbar),
        binding(KeyCode::Digit2, "2", Action::Add(10_000), "+10,000", Toolbar),
        binding(KeyCode::Digit3, "3", Action::Remove(1_000), "-1,000", Toolbar),
        binding(KeyCode::Digit4, "4", Action::Remove(10_000), "-10,000", Toolbar),
        binding(KeyCode::KeyR, "r", Action::Release, "release 1,000 runaways", Toolbar),
        binding(KeyCode::KeyC, "c", Action::Recall, "recall", Toolbar),
        binding(KeyCode::KeyP, "p", Action::Pause, "pause", Toolbar),
        binding(KeyCode::KeyS, "s", Action::Scripts, "scripts", Toolbar),
        binding(KeyCode::KeyQ, "q", Action::Quantum { up: false }, "quantum -", Toolbar),
        binding(KeyCode::KeyW, "w", Action::Quantum { up: true }, "+", Toolbar),
        binding(KeyCode::KeyA, "a", Action::Budget { up: false }, "budget -", Toolbar),
        binding(KeyCode::KeyD, "d", Action::Budget { up: true }, "+", Toolbar),
        binding(KeyCode::KeyF, "f", Action::Pacing, "pacing", Toolbar),
        binding(KeyCode::Tab, "tab", Action::Next, "select", Toolbar),
        binding(KeyCode::Backspace, "backspace", Action::Previous, "back", Hidden),
        binding(KeyCode::KeyK, "k", Action::Kill, "kill", Inspector),
        binding(KeyCode::KeyU, "u", Action::Suspend, "suspend", Inspector),
        binding(KeyCode::KeyT, "t", Action::Restart, "restart", Inspector),
        binding(KeyCode::Minus, "-", Action::Scroll { down: false }, "up", Inspector),
        binding(KeyCode::Equal, "=", Action::Scroll { down: true }, "down", Inspector),
        binding(KeyCode::Escape, "esc", Action::Deselect, "close", Inspector),
    ]
};

/// The key of a name.
pub fn key_of(name: &str) -> Option<KeyCode> {
    BINDINGS.iter().find(|binding| binding.key_name == name).map(|binding| binding.key)
}

fn press_keys(keys: Res<ButtonInput<KeyCode>>, mut actions: MessageWriter<Action>) {
    let pressed = BINDINGS.iter().filter(|binding| keys.just_pressed(binding.key));
    actions.write_batch(pressed.map(|binding| binding.action));
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
    bodies: Bodies,
    interface: Res<UiScale>,
    mut selected: ResMut<Selected>,
) {
    if mouse.just_pressed(MouseButton::Left)
        && let Some(robot) = robot_at_cursor(&window, interface.0, *camera, &bodies)
    {
        selected.0 = Some(robot);
    }
}

/// More robots or fewer, runaways or none.
fn populate(mut commands: Commands, mut actions: MessageReader<Action>) {
    for &action in actions.read() {
        commands.queue(move |world: &mut World| match action {
            Action::Add(count) => robots::add(world, count),
            Action::Remove(count) => robots::remove(world, count),
            Action::Release => runaways::release(world, 1_000),
            Action::Recall => runaways::recall(world),
            _ => {}
        });
    }
}
