//! What can be done to the selected robot.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use super::{Action, ReadInput};
use crate::robots::{self, Order, Robot};
use crate::ui::top::Busiest;
use crate::view::Selected;

pub fn plugin(app: &mut App) {
    app.add_systems(Update, (choose, command).chain().after(ReadInput));
}

/// Goes through the table of the busiest.
fn choose(mut actions: MessageReader<Action>, mut selected: ResMut<Selected>, busiest: Res<Busiest>) {
    for &action in actions.read() {
        match action {
            Action::Next => selected.0 = busiest.neighbour(selected.0, 1),
            Action::Previous => selected.0 = busiest.neighbour(selected.0, -1),
            Action::Deselect => selected.0 = None,
            _ => {}
        }
    }
}

fn command(
    mut commands: Commands,
    mut actions: MessageReader<Action>,
    selected: Res<Selected>,
    members: Query<&Processes>,
    processes: Query<&Process>,
    runtime: Res<LuauRuntime>,
    mut robots: Query<&mut Robot>,
) {
    for &action in actions.read() {
        let Some(vm) = selected.0 else { continue };
        let members = members.get(vm).into_iter().flat_map(Processes::iter);
        match action {
            Action::Kill => members.for_each(|process| _ = commands.entity(process).kill()),
            Action::Suspend => {
                let is_suspended = |&process: &Entity| {
                    let info = processes.get(process).ok().and_then(|process| runtime.process_info(process));
                    info.is_some_and(|info| info.state == ProcessState::Suspended)
                };
                let (suspended, running): (Vec<Entity>, Vec<Entity>) = members.partition(is_suspended);
                if running.is_empty() {
                    suspended.into_iter().for_each(|process| _ = commands.entity(process).resume());
                } else {
                    running.into_iter().for_each(|process| _ = commands.entity(process).suspend());
                }
            }
            Action::Restart => {
                members.for_each(|process| commands.entity(process).despawn());
                commands.queue(move |world: &mut World| robots::start(world, &[vm]));
            }
            _ => continue,
        }
        // Nobody waits for what it was about, unless it is only suspended.
        if action != Action::Suspend
            && let Ok(mut robot) = robots.get_mut(vm)
        {
            robot.order(Order::None);
        }
    }
}
