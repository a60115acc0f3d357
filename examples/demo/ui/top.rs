//! The busiest VMs, like `top`.

use std::time::Duration;

use bevy::ecs::entity::EntityHashMap;
use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use super::{Area, area, file_name, shorten};
use crate::theme::{self, SMALL};
use crate::view::Selected;

const ROWS: usize = 12;
/// Rows when the inspector needs the room.
const FEWER_ROWS: usize = 5;
/// Frames that a survey of all VMs takes.
const FRAMES: usize = 60;

pub fn plugin(app: &mut App) {
    app.init_resource::<Busiest>().init_resource::<Survey>().add_systems(Update, (survey, show).chain());
}

/// The table, as of the last survey.
#[derive(Resource, Default)]
pub struct Busiest(Vec<Row>);

struct Row {
    vm: Entity,
    text: String,
}

impl Busiest {
    /// The VM `steps` rows from one in the table, or the first.
    pub fn neighbour(&self, of: Option<Entity>, steps: isize) -> Option<Entity> {
        let at = of.and_then(|vm| self.0.iter().position(|row| row.vm == vm));
        let next = at.map_or(0, |at| (at as isize + steps).rem_euclid(self.0.len() as isize) as usize);
        self.0.get(next).map(|row| row.vm)
    }
}

/// A survey of all VMs.
#[derive(Resource, Default)]
struct Survey {
    /// VMs that the survey has not reached, and how many it reaches in each frame.
    pending: Vec<Entity>,
    per_frame: usize,
    /// Parts of a million of a processor that VMs took since the last survey.
    found: Vec<(u64, Entity)>,
    /// What each VM has taken of the processor, at which time.
    seen: EntityHashMap<(Duration, Duration)>,
}

/// A line of the table.
#[derive(Component)]
struct Line(usize);

pub fn build(mut commands: Commands, areas: Query<(Entity, &Area)>) {
    commands.entity(area(&areas, Area::Side)).with_children(|side| {
        side.spawn(theme::column(2.0)).with_children(|table| {
            table.spawn(theme::text("BUSIEST VMs   CPU: of one processor", SMALL, theme::ACCENT));
            let head = line("VM", "PID", "SCRIPT", "STATE", "CPU", "KiB");
            table.spawn(theme::text(head, SMALL, theme::DIM));
            for row in 0..ROWS {
                table.spawn((Line(row), theme::text("", SMALL, theme::TEXT)));
            }
        });
    });
}

fn line(vm: &str, pid: &str, script: &str, state: &str, cpu: &str, kib: &str) -> String {
    format!("{vm:<7}{pid:>4} {:<20}{state:<10}{cpu:>8}{kib:>5}", shorten(script, 19))
}

fn survey(
    mut survey: ResMut<Survey>,
    mut busiest: ResMut<Busiest>,
    vms: Query<(Entity, &Vm, &Processes)>,
    processes: Query<&Process>,
    runtime: Res<LuauRuntime>,
    time: Res<Time<Real>>,
) {
    let used = |process: &Process| runtime.process_info(process).map_or(Duration::ZERO, |info| info.cpu.time);
    let survey = &mut *survey;
    let rest = survey.pending.len().saturating_sub(survey.per_frame);
    for vm in survey.pending.drain(rest..) {
        let Ok((_, _, members)) = vms.get(vm) else {
            survey.seen.remove(&vm);
            continue;
        };
        let total: Duration = processes.iter_many(members.iter()).map(used).sum();
        let now = time.elapsed();
        let (before, then) = survey.seen.insert(vm, (total, now)).unwrap_or_default();
        let part = total.saturating_sub(before).as_secs_f64() / (now - then).as_secs_f64().max(1e-3);
        survey.found.push(((part * 1e6) as u64, vm));
    }
    if !survey.pending.is_empty() {
        return;
    }
    let mut found = std::mem::take(&mut survey.found);
    let last = ROWS.min(found.len());
    if last < found.len() {
        found.select_nth_unstable_by(last, |a, b| b.cmp(a));
    }
    found.truncate(last);
    found.sort_unstable_by(|a, b| b.cmp(a));
    let row = |(millionths, entity): (u64, Entity)| {
        let (_, vm, members) = vms.get(entity).ok()?;
        let process = processes.iter_many(members.iter()).max_by_key(|process| used(process))?;
        let info = runtime.process_info(process);
        let state = info.map_or_else(|| "Ended".to_owned(), |info| format!("{:?}", info.state));
        let text = line(
            &entity.index_u32().to_string(),
            &process.pid().map_or_else(String::new, |pid| pid.to_string()),
            file_name(process.name()),
            &state,
            &format!("{:.2}%", millionths as f64 / 1e4),
            &(runtime.vm_bytes(vm).unwrap_or(0) / 1024).to_string(),
        );
        Some(Row { vm: entity, text })
    };
    busiest.0 = found.into_iter().filter_map(row).collect();
    survey.pending.extend(vms.iter().map(|(vm, ..)| vm));
    survey.per_frame = survey.pending.len().div_ceil(FRAMES);
}

fn show(
    busiest: Res<Busiest>,
    selected: Res<Selected>,
    mut lines: Query<(&Line, &mut Text, &mut TextColor, &mut Node)>,
) {
    if !busiest.is_changed() && !selected.is_changed() {
        return;
    }
    let rows = if selected.0.is_some() { FEWER_ROWS } else { ROWS };
    for (line, mut text, mut color, mut node) in &mut lines {
        let row = busiest.0.get(line.0);
        theme::set(&mut text, row.map(|row| row.text.clone()).unwrap_or_default());
        theme::show(&mut node, line.0 < rows);
        let is_selected = row.is_some_and(|row| Some(row.vm) == selected.0);
        color.set_if_neq(TextColor(if is_selected { theme::ACCENT } else { theme::TEXT }));
    }
}
