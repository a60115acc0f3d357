//! What the selected robot does: its processes, its console, its source.

use std::time::Duration;

use bevy::prelude::*;
use bevy::time::common_conditions::on_real_timer;
use bevy_luau_os::prelude::*;

use super::toolbar::button;
use super::{Area, area, shorten, thousands};
use crate::controls::Action;
use crate::robots::Robot;
use crate::theme::{self, SMALL};
use crate::view::Selected;

/// Lines of the console and of the source.
const CONSOLE: usize = 4;
const SOURCE: usize = 9;
/// Characters in a line.
const WIDTH: usize = 56;

pub fn plugin(app: &mut App) {
    app.add_systems(PostStartup, build).add_systems(
        Update,
        show.run_if(resource_changed::<Selected>.or_else(on_real_timer(Duration::from_millis(250)))),
    );
}

#[derive(Component)]
struct Panel;

#[derive(Component, Clone, Copy, PartialEq, Eq)]
enum Part {
    Title,
    Processes,
    Console,
    Source,
}

fn build(mut commands: Commands, areas: Query<(Entity, &Area)>) {
    let column =
        Node { flex_direction: FlexDirection::Column, row_gap: px(4), display: Display::None, ..default() };
    commands.entity(area(&areas, Area::Side)).with_children(|side| {
        side.spawn((Panel, column)).with_children(|panel| {
            panel.spawn((Part::Title, theme::text("", SMALL, theme::ACCENT)));
            panel.spawn((Part::Processes, theme::text("", SMALL, theme::TEXT)));
            panel.spawn(Node { column_gap: px(6), ..default() }).with_children(|row| {
                button(row, Action::Kill, "k kill");
                button(row, Action::Restart, "t restart");
                button(row, Action::Deselect, "esc close");
            });
            panel.spawn(theme::text("console", SMALL, theme::DIM));
            panel.spawn((Part::Console, theme::text("", SMALL, theme::GOOD)));
            panel.spawn(theme::text("source", SMALL, theme::DIM));
            panel.spawn((Part::Source, theme::text("", SMALL, theme::TEXT)));
        });
    });
}

fn show(
    selected: Res<Selected>,
    vms: Query<(&Vm, &Processes, Option<&VmConsole>, Option<&Robot>)>,
    processes: Query<&Process>,
    runtime: Res<LuauRuntime>,
    mut panel: Single<&mut Node, With<Panel>>,
    mut parts: Query<(&Part, &mut Text)>,
) {
    let shown = selected.0.and_then(|vm| Some((vm, vms.get(vm).ok()?)));
    let display = if shown.is_some() { Display::Flex } else { Display::None };
    if panel.display != display {
        panel.display = display;
    }
    let Some((entity, (vm, members, console, robot))) = shown else { return };
    let members: Vec<&Process> = members.iter().filter_map(|process| processes.get(process).ok()).collect();
    for (part, mut text) in &mut parts {
        let new = match part {
            Part::Title => {
                let kib = runtime.vm_bytes(vm).unwrap_or(0) as f64 / 1024.0;
                let what =
                    robot.map_or("runaway".to_owned(), |robot| format!("{:?} {}", robot.mind, robot.number));
                let cargo = robot.map_or(0.0, |robot| robot.cargo);
                format!("{what}   VM {}   {kib:.1} KiB   cargo {cargo}", entity.index_u32())
            }
            Part::Processes => {
                members.iter().map(|process| line(process, &runtime)).collect::<Vec<_>>().join("\n")
            }
            Part::Console => tail(&console.map(VmConsole::text).unwrap_or_default()),
            Part::Source => members.first().map(|process| source(process)).unwrap_or_default(),
        };
        theme::set(&mut text, new);
    }
}

fn line(process: &Process, runtime: &LuauRuntime) -> String {
    let info = runtime.process_info(process);
    let state = format!("{:?}", info.map_or(process.state(), |info| info.state));
    let (slices, safepoints) = info.map_or((0, 0), |info| (info.cpu.slices, info.cpu.safepoints));
    let pid = process.pid().map_or(0, |pid| pid.get());
    let script = process.name().rsplit('/').next().unwrap_or_default();
    format!(
        "{pid:>3} {:<16}{state:<9}{:>9} slices{:>9} sp",
        shorten(script, 15),
        thousands(slices),
        thousands(safepoints)
    )
}

/// The last lines of a console.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(CONSOLE)..];
    last.iter().map(|line| shorten(line, WIDTH)).collect::<Vec<_>>().join("\n")
}

/// The first lines of a script that are no comment.
fn source(process: &Process) -> String {
    let Some(script) = process.script() else { return "(loading)".to_owned() };
    let text = String::from_utf8_lossy(script.source()).replace('\t', "  ");
    let code = text.lines().skip_while(|line| line.starts_with("--") || line.is_empty());
    code.take(SOURCE).map(|line| shorten(line, WIDTH)).collect::<Vec<_>>().join("\n")
}
