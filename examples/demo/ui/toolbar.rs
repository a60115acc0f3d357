//! The bar below: buttons, and a line of help.

use bevy::prelude::*;

use super::{Area, area};
use crate::controls::{Action, BINDINGS, Binding, Place};
use crate::theme::{self, BUTTON, BUTTON_HOVERED, SMALL};

const HELP: &str = "tab, backspace or click: look into a robot    arrows, wheel, page up / down: look around    \
                    edit assets/scripts/demo/*.luau while this runs: the robots follow";

pub fn plugin(app: &mut App) {
    app.add_systems(Update, light_up);
}

pub fn build(mut commands: Commands, areas: Query<(Entity, &Area)>) {
    commands.entity(area(&areas, Area::Bottom)).with_children(|bar| {
        bar.spawn(Node { column_gap: px(6), ..default() }).with_children(|row| {
            for binding in BINDINGS.iter().filter(|binding| binding.place == Place::Toolbar) {
                button(row, binding);
            }
        });
        bar.spawn(theme::text(HELP, SMALL, theme::DIM));
    });
}

/// A button that does what a key does.
pub fn button(parent: &mut ChildSpawnerCommands, binding: &Binding) {
    let node =
        Node { padding: UiRect::axes(px(5), px(4)), border_radius: BorderRadius::all(px(4)), ..default() };
    let color = if binding.action == Action::Release { theme::BAD } else { theme::TEXT };
    parent.spawn((Button, binding.action, node, BackgroundColor(BUTTON))).with_children(|button| {
        button.spawn(theme::text(binding.key_name, SMALL, theme::ACCENT)).with_child((
            TextSpan::new(format!(" {}", binding.label)),
            theme::font(SMALL),
            TextColor(color),
        ));
    });
}

fn light_up(mut buttons: Query<(&Interaction, &mut BackgroundColor), (Changed<Interaction>, With<Button>)>) {
    for (interaction, mut color) in &mut buttons {
        color.0 = if *interaction == Interaction::None { BUTTON } else { BUTTON_HOVERED };
    }
}
