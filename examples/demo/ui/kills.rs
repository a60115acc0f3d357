//! The list of what was killed and why. It gives way to the inspector.

use bevy::prelude::*;

use super::{Area, area, shorten, thousands};
use crate::runaways::{KillList, LISTED};
use crate::theme::{self, SMALL};
use crate::view::Selected;

pub fn plugin(app: &mut App) {
    app.add_systems(PostStartup, build).add_systems(Update, (show, give_way));
}

#[derive(Component)]
struct Panel;

#[derive(Component)]
struct Summary;

#[derive(Component)]
struct Line(usize);

fn build(mut commands: Commands, areas: Query<(Entity, &Area)>) {
    commands.entity(area(&areas, Area::Side)).with_children(|side| {
        side.spawn((Panel, Node { flex_direction: FlexDirection::Column, row_gap: px(2), ..default() }))
            .with_children(|panel| {
                panel.spawn((Summary, theme::text("", SMALL, theme::ACCENT)));
                for row in 0..LISTED {
                    panel.spawn((Line(2 * row), theme::text("", SMALL, theme::WARNING)));
                    panel.spawn((Line(2 * row + 1), theme::text("", SMALL, theme::DIM)));
                }
            });
    });
}

fn show(
    list: Res<KillList>,
    mut summary: Single<&mut Text, (With<Summary>, Without<Line>)>,
    mut lines: Query<(&Line, &mut Text)>,
) {
    if !list.is_changed() {
        return;
    }
    let of = |kind: &str| thousands(list.by_kind.get(kind).copied().unwrap_or(0) as u64);
    let text = format!(
        "KILL LIST   {} runaways   {} killed   {} failed   {} stopped",
        thousands(list.released as u64),
        of("killed"),
        of("failed"),
        of("stopped")
    );
    theme::set(&mut summary, text);
    for (line, mut text) in &mut lines {
        let kill = list.last.get(line.0 / 2);
        let new = match kill {
            None => String::new(),
            Some(kill) if line.0 % 2 == 0 => {
                let script = kill.script.trim_start_matches("hostile://");
                format!("{:>7.1} s {:<8}{}", kill.at.as_secs_f32(), kill.kind, shorten(script, 40))
            }
            Some(kill) => format!("   {}", shorten(&kill.why, 54)),
        };
        theme::set(&mut text, new);
    }
}

fn give_way(selected: Res<Selected>, mut panel: Single<&mut Node, With<Panel>>) {
    let display = if selected.0.is_some() { Display::None } else { Display::Flex };
    if panel.display != display {
        panel.display = display;
    }
}
