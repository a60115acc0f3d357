//! What the selected robot does: its processes, its console, its source.

use std::time::Duration;

use bevy::prelude::*;
use bevy::time::common_conditions::on_real_timer;
use bevy_luau_os::prelude::*;

use super::toolbar::button;
use super::{Area, area, file_name, shorten, thousands};
use crate::controls::{Action, BINDINGS, Place};
use crate::robots::Robot;
use crate::theme::{self, SMALL};
use crate::view::Selected;

/// Lines of each part.
const PROCESSES: usize = 3;
const CONSOLE: usize = 4;
const SOURCE: usize = 14;
/// Characters in a line.
const WIDTH: usize = 55;

pub fn plugin(app: &mut App) {
    app.init_resource::<Scroll>().add_systems(
        Update,
        (
            scroll,
            show.run_if(
                resource_changed::<Selected>
                    .or_else(resource_changed::<Scroll>)
                    .or_else(on_real_timer(Duration::from_millis(250))),
            ),
        )
            .chain(),
    );
}

/// The first line of the source that is shown.
#[derive(Resource, Default)]
struct Scroll(usize);

#[derive(Component)]
struct Panel;

#[derive(Component, Clone, Copy, PartialEq, Eq)]
enum Part {
    Title,
    Processes,
    Console,
    Source,
}

pub fn build(mut commands: Commands, areas: Query<(Entity, &Area)>) {
    commands.entity(area(&areas, Area::Side)).with_children(|side| {
        side.spawn((Panel, theme::column(4.0))).with_children(|panel| {
            panel.spawn((Part::Title, theme::text("", SMALL, theme::ACCENT)));
            panel.spawn(theme::text(head(), SMALL, theme::DIM));
            panel.spawn((Part::Processes, theme::text("", SMALL, theme::TEXT)));
            panel.spawn(Node { column_gap: px(4), ..default() }).with_children(|row| {
                for binding in BINDINGS.iter().filter(|binding| binding.place == Place::Inspector) {
                    button(row, binding);
                }
            });
            panel.spawn(theme::text("CONSOLE", SMALL, theme::DIM));
            panel.spawn((Part::Console, theme::text("", SMALL, theme::GOOD)));
            panel.spawn(theme::text("SOURCE", SMALL, theme::DIM));
            panel.spawn((Part::Source, theme::text("", SMALL, theme::TEXT)));
        });
    });
}

fn scroll(mut actions: MessageReader<Action>, selected: Res<Selected>, mut scroll: ResMut<Scroll>) {
    if selected.is_changed() {
        scroll.0 = 0;
    }
    for action in actions.read() {
        match action {
            Action::Scroll { down: true } => scroll.0 += SOURCE / 2,
            Action::Scroll { down: false } => scroll.0 = scroll.0.saturating_sub(SOURCE / 2),
            _ => {}
        }
    }
}

fn show(
    selected: Res<Selected>,
    mut scroll: ResMut<Scroll>,
    vms: Query<(&Vm, &Processes, Option<&VmConsole>, Option<&Robot>)>,
    processes: Query<&Process>,
    runtime: Res<LuauRuntime>,
    mut panel: Single<&mut Node, With<Panel>>,
    mut parts: Query<(&Part, &mut Text)>,
) {
    let shown = selected.0.and_then(|vm| Some((vm, vms.get(vm).ok()?)));
    theme::show(&mut panel, shown.is_some());
    let Some((entity, (vm, members, console, robot))) = shown else { return };
    let members: Vec<&Process> = processes.iter_many(members.iter()).collect();
    let source = source(&members);
    let last_page = source.len().saturating_sub(SOURCE);
    if scroll.0 > last_page {
        scroll.bypass_change_detection().0 = last_page;
    }
    for (part, mut text) in &mut parts {
        let new = match part {
            Part::Title => {
                let kib = runtime.vm_bytes(vm).unwrap_or(0) as f64 / 1024.0;
                let what =
                    robot.map_or("runaway".to_owned(), |robot| format!("{:?} {}", robot.mind, robot.number));
                let cargo = robot.map_or(0.0, |robot| robot.cargo);
                format!("{what}   VM {}   {kib:.1} KiB   cargo {cargo}", entity.index_u32())
            }
            Part::Processes if members.is_empty() => "no processes".to_owned(),
            Part::Processes => {
                let lines = members.iter().take(PROCESSES).map(|process| line(process, &runtime));
                lines.collect::<Vec<_>>().join("\n")
            }
            Part::Console => tail(console.map(VmConsole::text).unwrap_or_default()),
            Part::Source => source[scroll.0..source.len().min(scroll.0 + SOURCE)].join("\n"),
        };
        theme::set(&mut text, new);
    }
}

fn head() -> String {
    format!("{:>3} {:<16}{:<11}{:>9}{:>13}", "PID", "SCRIPT", "STATE", "SLICES", "SAFEPOINTS")
}

fn line(process: &Process, runtime: &LuauRuntime) -> String {
    let info = runtime.process_info(process);
    let state = info.map_or_else(|| "Ended".to_owned(), |info| format!("{:?}", info.state));
    let cpu = info.map(|info| info.cpu).unwrap_or_default();
    let pid = process.pid().map_or(0, |pid| pid.get());
    format!(
        "{pid:>3} {:<16}{state:<11}{:>9}{:>13}",
        shorten(file_name(process.name()), 15),
        thousands(cpu.slices),
        thousands(cpu.safepoints)
    )
}

/// The last lines of a console.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(CONSOLE)..];
    let mut last: Vec<String> = last.iter().map(|line| shorten(line, WIDTH)).collect();
    last.resize(CONSOLE, String::new()); // what is below stays where it is
    last.join("\n")
}

/// The lines of all scripts.
fn source(processes: &[&Process]) -> Vec<String> {
    let mut lines = Vec::new();
    for process in processes {
        let Some(script) = process.script() else { continue };
        lines.push(format!("--- {}", shorten(script.name(), WIDTH - 4)));
        let text = String::from_utf8_lossy(script.source()).replace('\t', "  ");
        let numbered = text.lines().zip(1..).map(|(line, number)| format!("{number:>3}  {line}"));
        lines.extend(numbered.map(|line| shorten(&line, WIDTH)));
    }
    lines
}
