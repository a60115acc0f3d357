//! What was killed and why. All but the sums gives way to the inspector.

use bevy::prelude::*;

use super::{Area, area, shorten, thousands};
use crate::runaways::KillList;
use crate::theme::{self, SMALL};
use crate::view::Selected;

/// Kills that are shown, on two lines each.
const SHOWN: usize = 9;

pub fn plugin(app: &mut App) {
    app.add_systems(Update, (show, give_way));
}

#[derive(Component)]
struct Summary;

#[derive(Component)]
struct List;

#[derive(Component)]
struct Line(usize);

pub fn build(mut commands: Commands, areas: Query<(Entity, &Area)>) {
    commands.entity(area(&areas, Area::Side)).with_children(|side| {
        side.spawn((Summary, theme::text("", SMALL, theme::ACCENT)));
        side.spawn((List, theme::column(2.0))).with_children(|list| {
            for row in 0..SHOWN {
                list.spawn((Line(2 * row), theme::text("", SMALL, theme::WARNING)));
                list.spawn((Line(2 * row + 1), theme::text("", SMALL, theme::DIM)));
            }
        });
    });
}

fn show(
    kills: Res<KillList>,
    mut summary: Single<&mut Text, (With<Summary>, Without<Line>)>,
    mut lines: Query<(&Line, &mut Text)>,
) {
    if !kills.is_changed() {
        return;
    }
    let of = |kind: &str| thousands(kills.by_kind.get(kind).copied().unwrap_or(0) as u64);
    let text = format!(
        "RUNAWAYS {}  killed {}  stopped {}  failed {}",
        thousands(kills.released as u64),
        of("killed"),
        of("stopped"),
        of("failed"),
    );
    theme::set(&mut summary, text);
    for (line, mut text) in &mut lines {
        let new = match kills.last.get(line.0 / 2) {
            None => String::new(),
            Some(kill) if line.0 % 2 == 0 => {
                let script = kill.script.trim_start_matches("hostile://");
                format!("{:>7.1} s  {:<9}{}", kill.at.as_secs_f32(), kill.kind, shorten(script, 36))
            }
            // The font has no such letter.
            Some(kill) => format!("   {}", shorten(&kill.why.replace('µ', "u"), 52)),
        };
        theme::set(&mut text, new);
    }
}

fn give_way(selected: Res<Selected>, mut list: Single<&mut Node, With<List>>) {
    theme::show(&mut list, selected.0.is_none());
}
