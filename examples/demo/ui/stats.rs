//! The bar above: graphs, counters, and which colour means what.

use std::time::Duration;

use bevy::diagnostic::{Diagnostic, DiagnosticPath, DiagnosticsStore, FrameTimeDiagnosticsPlugin};
use bevy::prelude::*;
use bevy::time::common_conditions::on_real_timer;
use bevy_framepace::FramepaceSettings;
use bevy_luau_os::LuauOsDiagnosticsPlugin as Luau;
use bevy_luau_os::prelude::*;

use super::{Area, area, graph, thousands};
use crate::bodies::Look;
use crate::controls::ScriptsRun;
use crate::plain::Map;
use crate::theme::{self, SMALL};

pub fn plugin(app: &mut App) {
    app.add_systems(Update, count.run_if(on_real_timer(Duration::from_millis(250))));
}

/// A column of counters.
#[derive(Component, Clone, Copy)]
enum Column {
    Population,
    Work,
    Settings,
}

pub fn build(mut commands: Commands, areas: Query<(Entity, &Area)>, mut images: ResMut<Assets<Image>>) {
    commands.entity(area(&areas, Area::Top)).with_children(|bar| {
        graph::build(bar, &mut images);
        for column in [Column::Population, Column::Work, Column::Settings] {
            bar.spawn((column, theme::text("", SMALL, theme::TEXT)));
        }
        let legend = [
            ("miners dig", Look::Miner.color()),
            ("swarms gather", Look::Swarm.color()),
            ("patrols circle", Look::Patrol.color()),
            ("runaways run", Look::Runaway.color()),
        ];
        bar.spawn(theme::column(0.0)).with_children(|column| {
            for (what, color) in legend {
                column.spawn(theme::text(what, SMALL, color));
            }
        });
    });
}

fn count(
    mut columns: Query<(&mut Text, &Column)>,
    diagnostics: Res<DiagnosticsStore>,
    runtime: Res<LuauRuntime>,
    (map, scripts, pacing): (Res<Map>, Res<ScriptsRun>, Res<FramepaceSettings>),
    time: Res<Time<Virtual>>,
) {
    let value = |path: &DiagnosticPath| diagnostics.get(path).and_then(Diagnostic::value).unwrap_or(0.0);
    let whole = |path: &DiagnosticPath| thousands(value(path) as u64);
    let state = match (time.is_paused(), scripts.0) {
        (true, _) => "paused",
        (false, true) => "running",
        (false, false) => "suspended",
    };
    let budget = match runtime.budget() {
        TickBudget::Time(budget) => format!("{:.2} ms", budget.as_secs_f64() * 1e3),
        other => format!("{other:?}"),
    };
    let fps = diagnostics.get(&FrameTimeDiagnosticsPlugin::FPS).and_then(Diagnostic::smoothed).unwrap_or(0.0);
    let delivered: f32 = map.read().bases.iter().map(|base| base.ore).sum();
    for (mut text, column) in &mut columns {
        let lines = match column {
            Column::Population => [
                format!("VMs       {:>7}", whole(&Luau::VMS)),
                format!("processes {:>7}", whole(&Luau::PROCESSES)),
                format!("runnable  {:>7}", whole(&Luau::RUNNABLE)),
                format!("memory {:>6} MiB", whole(&Luau::ISOLATE_BYTES)),
            ],
            Column::Work => [
                format!("slices/s {:>9}", thousands(per_second(diagnostics.get(&Luau::RESUMES)) as u64)),
                format!("ticks/s  {:>9.0}", rate(diagnostics.get(&Luau::RESUMES))),
                format!("quantum  {:>9}", thousands(runtime.quantum().into())),
                format!("budget   {budget:>9}"),
            ],
            Column::Settings => [
                format!("scripts {state:>9}"),
                format!("pacing  {:>9}", if pacing.limiter.is_enabled() { "60 fps" } else { "off" }),
                format!("ore     {:>9}", thousands(delivered as u64)),
                format!("fps     {fps:>9.1}"),
            ],
        };
        theme::set(&mut text, lines.join("\n"));
    }
}

/// What is measured so many times a second.
fn rate(diagnostic: Option<&Diagnostic>) -> f64 {
    let measured = diagnostic.and_then(|diagnostic| Some((diagnostic.history_len(), diagnostic.duration()?)));
    measured.map_or(0.0, |(count, time)| (count - 1) as f64 / time.as_secs_f64().max(1e-3))
}

/// The sum of what is measured in a second.
fn per_second(diagnostic: Option<&Diagnostic>) -> f64 {
    diagnostic.and_then(Diagnostic::average).unwrap_or(0.0) * rate(diagnostic)
}
