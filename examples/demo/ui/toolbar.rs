//! The bar below: buttons, and a line of help.

use bevy::prelude::*;

use super::{Area, area};
use crate::controls::{Action, KEYS};
use crate::theme::{self, BUTTON, BUTTON_HOVERED, SMALL};

const HELP: &str = "click or tab / backspace: select a robot   k: kill   t: restart   esc: close   \
                    arrows, wheel, page up / down: look around   edit assets/scripts/demo while it runs";

pub fn plugin(app: &mut App) {
    app.add_systems(PostStartup, build).add_systems(Update, light_up);
}

fn build(mut commands: Commands, areas: Query<(Entity, &Area)>) {
    commands.entity(area(&areas, Area::Bottom)).with_children(|bar| {
        bar.spawn(Node { column_gap: px(6), ..default() }).with_children(|row| {
            for (_, key, action, name) in KEYS {
                if action != Action::Restart {
                    button(row, action, &format!("{key} {name}"));
                }
            }
        });
        bar.spawn(theme::text(HELP, SMALL, theme::DIM));
    });
}

/// A button that sends an action.
pub fn button(parent: &mut ChildSpawnerCommands, action: Action, label: &str) {
    let node =
        Node { padding: UiRect::axes(px(7), px(4)), border_radius: BorderRadius::all(px(4)), ..default() };
    let color = if action == Action::Runaways { theme::BAD } else { theme::TEXT };
    parent
        .spawn((Button, action, node, BackgroundColor(BUTTON)))
        .with_child(theme::text(label, SMALL, color));
}

fn light_up(mut buttons: Query<(&Interaction, &mut BackgroundColor), (Changed<Interaction>, With<Button>)>) {
    for (interaction, mut color) in &mut buttons {
        color.0 = if *interaction == Interaction::None { BUTTON } else { BUTTON_HOVERED };
    }
}
