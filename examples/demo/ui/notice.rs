//! Shows for a while that a script has changed, and whether it could be loaded.

use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::ScriptReloaded;

use super::{file_name, shorten, thousands};
use crate::theme::{self, SMALL, TOP_BAR};

/// How long a notice is shown.
const SHOWN: Duration = Duration::from_secs(8);
/// Characters that fit beside the side panel.
const WIDTH: usize = 112;

pub fn plugin(app: &mut App) {
    app.add_systems(Update, show);
}

#[derive(Component)]
struct Notice {
    until: Duration,
}

pub fn build(mut commands: Commands) {
    let node = Node {
        position_type: PositionType::Absolute,
        left: px(8),
        top: px(TOP_BAR + 8.0),
        padding: UiRect::all(px(8)),
        display: Display::None,
        ..default()
    };
    commands
        .spawn((node, BackgroundColor(theme::PANEL)))
        .with_child((Notice { until: Duration::ZERO }, theme::text("", SMALL, theme::GOOD)));
}

fn show(
    mut reloads: MessageReader<ScriptReloaded>,
    notice: Single<(&mut Notice, &mut Text, &mut TextColor, &ChildOf)>,
    mut nodes: Query<&mut Node>,
    time: Res<Time<Real>>,
) {
    let (mut notice, mut text, mut color, panel) = notice.into_inner();
    for reload in reloads.read() {
        let script = file_name(&reload.name);
        let (new, new_color) = match &reload.result {
            Ok(processes) => (
                format!("{script} has changed: {} processes run it", thousands(*processes as u64)),
                theme::GOOD,
            ),
            Err(error) => (format!("{script} stays as it was: {error}"), theme::BAD),
        };
        theme::set(&mut text, shorten(&new, WIDTH));
        color.0 = new_color;
        notice.until = time.elapsed() + SHOWN;
    }
    if let Ok(mut node) = nodes.get_mut(panel.parent()) {
        theme::show(&mut node, time.elapsed() < notice.until);
    }
}
