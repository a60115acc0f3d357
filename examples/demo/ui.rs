//! The interface: a bar above, a bar below, a panel at the side.

mod graph;
mod inspector;
mod kills;
mod notice;
mod stats;
mod toolbar;
pub mod top;

use bevy::prelude::*;

use crate::theme::{BOTTOM_BAR, SIDE_PANEL, TOP_BAR};

pub fn plugin(app: &mut App) {
    // In the order in which they are in the areas.
    let build = (
        build_areas,
        (stats::build, toolbar::build, top::build, kills::build, inspector::build, notice::build).chain(),
    );
    app.add_systems(Startup, build.chain()).add_plugins((
        graph::plugin,
        stats::plugin,
        toolbar::plugin,
        top::plugin,
        kills::plugin,
        inspector::plugin,
        notice::plugin,
    ));
}

/// Where the parts of the interface go.
#[derive(Component, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    Top,
    Side,
    Bottom,
}

fn build_areas(mut commands: Commands) {
    let area = Node { position_type: PositionType::Absolute, padding: UiRect::all(px(9)), ..default() };
    let top = Node {
        left: px(0),
        right: px(0),
        top: px(0),
        height: px(TOP_BAR),
        column_gap: px(14),
        ..area.clone()
    };
    let side = Node {
        right: px(0),
        top: px(TOP_BAR),
        bottom: px(BOTTOM_BAR),
        width: px(SIDE_PANEL),
        flex_direction: FlexDirection::Column,
        row_gap: px(6),
        overflow: Overflow::clip(),
        ..area.clone()
    };
    let bottom = Node {
        left: px(0),
        right: px(0),
        bottom: px(0),
        height: px(BOTTOM_BAR),
        flex_direction: FlexDirection::Column,
        row_gap: px(4),
        ..area
    };
    commands.spawn((Area::Top, top));
    commands.spawn((Area::Side, side));
    commands.spawn((Area::Bottom, bottom));
}

/// The entity of an area.
fn area(areas: &Query<(Entity, &Area)>, wanted: Area) -> Entity {
    areas.iter().find(|(_, area)| **area == wanted).expect("built at startup").0
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// At most `length` characters.
pub fn shorten(text: &str, length: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(length) {
        Some(_) => line.chars().take(length - 2).chain("..".chars()).collect(),
        None => line.to_owned(),
    }
}

/// The part of a path after its last slash.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
