//! The bar above: what Bevy's overlay leaves room for, our own graphs and counters.

use bevy::diagnostic::{DiagnosticPath, DiagnosticsStore};
use bevy::prelude::*;
use bevy::time::common_conditions::on_real_timer;
use bevy_framepace::FramepaceSettings;
use bevy_luau_os::LuauOsDiagnosticsPlugin as Luau;
use bevy_luau_os::Metrics;
use bevy_luau_os::prelude::*;
use std::time::Duration;

use super::graph::{self, Graph};
use super::{Area, area, thousands};
use crate::controls::ScriptsRun;
use crate::plain::Map;
use crate::theme::{self, SMALL};

/// What Bevy's overlay takes.
const OVERLAY: f32 = 150.0;

pub fn plugin(app: &mut App) {
    app.add_systems(PostStartup, build).add_systems(
        Update,
        (
            draw_graphs.run_if(on_real_timer(Duration::from_millis(100))),
            count.run_if(on_real_timer(Duration::from_millis(250))),
        ),
    );
}

/// What a graph or a number shows.
#[derive(Component, Clone)]
struct Shows(DiagnosticPath);

/// A column of counters.
#[derive(Component, Clone, Copy)]
enum Column {
    Population,
    Work,
    Settings,
}

fn build(mut commands: Commands, areas: Query<(Entity, &Area)>, mut images: ResMut<Assets<Image>>) {
    let bar = area(&areas, Area::Top);
    commands.entity(bar).with_child(Node { width: px(OVERLAY), flex_shrink: 0.0, ..default() });
    let graphs = [
        ("tick time", Luau::TICK_TIME, 4.0, theme::ACCENT),
        ("garbage collection", Luau::GC_TIME, 1.0, theme::GOOD),
    ];
    for (name, path, at_least, color) in graphs {
        let picture = images.add(graph::picture());
        commands.entity(bar).with_children(|bar| {
            bar.spawn(Node { flex_direction: FlexDirection::Column, row_gap: px(3), ..default() })
                .with_children(|column| {
                    let size = Node {
                        width: px(graph::WIDTH as f32 * 1.15),
                        height: px(graph::HEIGHT as f32),
                        ..default()
                    };
                    column.spawn((
                        theme::text(name, SMALL, theme::DIM),
                        Shows(path.clone()),
                        Name::new(name),
                    ));
                    column.spawn((ImageNode::new(picture), size, Graph::new(at_least, color), Shows(path)));
                });
        });
    }
    for column in [Column::Population, Column::Work, Column::Settings] {
        commands.entity(bar).with_child((column, theme::text("", SMALL, theme::TEXT)));
    }
}

fn draw_graphs(
    diagnostics: Res<DiagnosticsStore>,
    mut graphs: Query<(&mut Graph, &Shows, &ImageNode)>,
    mut titles: Query<(&mut Text, &Shows, &Name)>,
    mut images: ResMut<Assets<Image>>,
) {
    let value =
        |path: &DiagnosticPath| diagnostics.get_measurement(path).map_or(0.0, |measured| measured.value);
    for (mut graph, shows, node) in &mut graphs {
        graph.push(value(&shows.0) as f32);
        if let Some(mut image) = images.get_mut(&node.image) {
            graph.draw(&mut image);
        }
    }
    for (mut title, shows, name) in &mut titles {
        theme::set(&mut title, format!("{name} {:5.2} ms", value(&shows.0)));
    }
}

fn count(
    mut columns: Query<(&mut Text, &Column)>,
    metrics: Res<Metrics>,
    runtime: Res<LuauRuntime>,
    (map, scripts, pacing): (Res<Map>, Res<ScriptsRun>, Res<FramepaceSettings>),
    time: Res<Time<Real>>,
    virtual_time: Res<Time<Virtual>>,
    mut last: Local<(u64, Duration)>,
) {
    let seconds = (time.elapsed() - last.1).as_secs_f64().max(1e-3);
    let slices = (metrics.resumes - last.0) as f64 / seconds;
    *last = (metrics.resumes, time.elapsed());
    let state = match (virtual_time.is_paused(), scripts.0) {
        (true, _) => "paused",
        (false, true) => "running",
        (false, false) => "suspended",
    };
    let budget = match runtime.budget() {
        TickBudget::Time(budget) => format!("{:.2} ms", budget.as_secs_f64() * 1e3),
        other => format!("{other:?}"),
    };
    for (mut text, column) in &mut columns {
        let lines = match column {
            Column::Population => [
                format!("VMs       {:>9}", thousands(metrics.vms())),
                format!("processes {:>9}", thousands(metrics.processes())),
                format!("runnable  {:>9}", thousands(runtime.runnable() as u64)),
                format!("memory    {:>5} MiB", runtime.heap_bytes() >> 20),
            ],
            Column::Work => [
                format!("slices/s   {:>9}", thousands(slices as u64)),
                format!("ticks      {:>9}", thousands(metrics.ticks)),
                format!("late ticks {:>9}", thousands(metrics.late_ticks)),
                format!(
                    "delivered  {:>9}",
                    thousands(map.read().bases.iter().map(|base| base.ore as u64).sum())
                ),
            ],
            Column::Settings => [
                format!("scripts {state:>10}"),
                format!("quantum {:>10}", thousands(runtime.quantum().into())),
                format!("budget  {budget:>10}"),
                format!("pacing  {:>10}", if pacing.limiter.is_enabled() { "60 fps" } else { "off" }),
            ],
        };
        theme::set(&mut text, lines.join("\n"));
    }
}
