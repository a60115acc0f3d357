//! The busiest VMs, like `top`.

use std::time::Duration;

use bevy::prelude::*;
use bevy::time::common_conditions::on_real_timer;
use bevy_luau_os::prelude::*;

use super::{Area, area, shorten, thousands};
use crate::theme::{self, SMALL};
use crate::view::Selected;

const ROWS: usize = 12;

pub fn plugin(app: &mut App) {
    app.init_resource::<Busiest>()
        .add_systems(PostStartup, build)
        .add_systems(Update, (measure.run_if(on_real_timer(Duration::from_secs(1))), show).chain());
}

/// The VMs whose processes have used most since they were last looked at.
#[derive(Resource, Default)]
pub struct Busiest {
    rows: Vec<Row>,
    /// All safepoints so far, by VM.
    before: bevy::platform::collections::HashMap<Entity, u64>,
}

#[derive(Clone)]
struct Row {
    vm: Entity,
    text: String,
}

impl Busiest {
    /// The VM `steps` rows from one in the table, or the first.
    pub fn neighbour(&self, of: Option<Entity>, steps: isize) -> Option<Entity> {
        let at = of.and_then(|vm| self.rows.iter().position(|row| row.vm == vm));
        let next = at.map_or(0, |at| (at as isize + steps).rem_euclid(self.rows.len() as isize) as usize);
        self.rows.get(next).map(|row| row.vm)
    }
}

/// A line of the table.
#[derive(Component)]
struct Line(usize);

#[derive(Component)]
struct Table;

fn build(mut commands: Commands, areas: Query<(Entity, &Area)>) {
    commands.entity(area(&areas, Area::Side)).with_children(|side| {
        side.spawn((Table, Node { flex_direction: FlexDirection::Column, row_gap: px(2), ..default() }))
            .with_children(|table| {
                table.spawn(theme::text("BUSIEST VMs", SMALL, theme::ACCENT));
                let head = format!(
                    "{:<7}{:>4} {:<20}{:<9}{:>8}{:>7}",
                    "VM", "PID", "SCRIPT", "STATE", "CPU/s", "KiB"
                );
                table.spawn(theme::text(head, SMALL, theme::DIM));
                for row in 0..ROWS {
                    table.spawn((Line(row), theme::text("", SMALL, theme::TEXT)));
                }
            });
    });
}

fn measure(
    mut busiest: ResMut<Busiest>,
    vms: Query<(Entity, &Vm, &Processes)>,
    processes: Query<&Process>,
    runtime: Res<LuauRuntime>,
) {
    let used = |process: &Process| runtime.process_info(process).map_or(0, |info| info.cpu.safepoints);
    let mut before = std::mem::take(&mut busiest.before);
    let mut after = bevy::platform::collections::HashMap::default();
    after.reserve(before.len());
    let mut all: Vec<(u64, Entity)> = Vec::with_capacity(before.len());
    for (vm, _, members) in &vms {
        let total: u64 = members.iter().filter_map(|process| processes.get(process).ok()).map(used).sum();
        let since = total.saturating_sub(before.remove(&vm).unwrap_or(0));
        after.insert(vm, total);
        all.push((since, vm));
    }
    busiest.before = after;
    let last = ROWS.min(all.len());
    if last > 0 && last < all.len() {
        all.select_nth_unstable_by(last, |a, b| b.cmp(a));
    }
    all.truncate(last);
    all.sort_unstable_by(|a, b| b.cmp(a));
    let row = |&(since, entity): &(u64, Entity)| {
        let (_, vm, members) = vms.get(entity).ok()?;
        let process =
            members.iter().filter_map(|process| processes.get(process).ok()).max_by_key(|p| used(p))?;
        let script = process.name().rsplit('/').next().unwrap_or_default();
        let script = script.trim_end_matches(".luau");
        let state = format!("{:?}", runtime.process_info(process).map_or(process.state(), |info| info.state));
        let kib = runtime.vm_bytes(vm).unwrap_or(0) / 1024;
        let pid = process.pid().map_or(0, |pid| pid.get());
        let id = entity.index_u32();
        let text =
            format!("{id:<7}{pid:>4} {:<20}{state:<9}{:>8}{kib:>7}", shorten(script, 19), thousands(since));
        Some(Row { vm: entity, text })
    };
    busiest.rows = all.iter().filter_map(row).collect();
}

fn show(
    busiest: Res<Busiest>,
    selected: Res<Selected>,
    mut lines: Query<(&Line, &mut Text, &mut TextColor)>,
) {
    if !busiest.is_changed() && !selected.is_changed() {
        return;
    }
    for (line, mut text, mut color) in &mut lines {
        let row = busiest.rows.get(line.0);
        theme::set(&mut text, row.map(|row| row.text.clone()).unwrap_or_default());
        let is_selected = row.is_some_and(|row| Some(row.vm) == selected.0);
        let wanted = if is_selected { theme::ACCENT } else { theme::TEXT };
        if color.0 != wanted {
            color.0 = wanted;
        }
    }
}
