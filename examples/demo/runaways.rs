//! Runaways: VMs that run the attacks with which the library is tested.

mod kill_list;

use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::bodies::Body;
use crate::plain::Dice;

pub use kill_list::{Kill, KillList};

/// From tests/hostile: endless loops, memory hogs, code that cannot be preempted, comparators that never return.
const SCRIPTS: [&str; 12] = [
    "cpu/empty_loop",
    "memory/doubles_a_string",
    "not_yieldable/loop_in_comparator",
    "cpu/catches_everything",
    "memory/hoards_tables",
    "not_yieldable/loop_in_index",
    "cpu/loop_under_pcalls",
    "memory/hoards_coroutines",
    "not_yieldable/pcall_catches_the_kill",
    "cpu/exponential_calls",
    "memory/swallows_memory_errors",
    "not_yieldable/loop_in_gsub_callback",
];

/// What a runaway may use: less than the robots.
const MEMORY: usize = 512 << 10;
const TIME_PER_TICK: Duration = Duration::from_micros(1);

/// Slices after which the game stops a runaway that only computes. For the library it could run for ever.
const PATIENCE: u64 = 50;
/// Runaways that are stopped in one frame at most.
const STOPPED_PER_FRAME: usize = 20;

pub fn plugin(app: &mut App) {
    app.add_plugins(kill_list::plugin).add_systems(PreStartup, load).add_systems(Update, stop);
}

/// A VM that has no robot.
#[derive(Component)]
#[require(Vm)]
pub struct Runaway;

#[derive(Resource)]
struct HostileScripts(Vec<Handle<LuauScript>>);

fn load(mut commands: Commands, assets: Res<AssetServer>) {
    let load = |name: &&str| assets.load(format!("hostile://{name}.luau"));
    commands.insert_resource(HostileScripts(SCRIPTS.iter().map(load).collect()));
}

/// Releases runaways.
pub fn release(world: &mut World, count: usize) {
    let limits = VmLimits::from(Limits { memory_bytes: MEMORY, time_per_tick: TIME_PER_TICK, ..default() });
    let mut list = world.resource_mut::<KillList>();
    let mut dice = Dice(list.released as u64);
    list.released += count;
    let runaways: Vec<_> = (0..count).map(|_| (Runaway, Body::at(dice.point(1.0)), limits.clone())).collect();
    let runaways: Vec<Entity> = world.spawn_batch(runaways).collect();
    let scripts = &world.resource::<HostileScripts>().0;
    let processes = runaways.into_iter().zip(scripts.iter().cycle());
    let processes: Vec<_> =
        processes.map(|(vm, script)| (Process::new(script.clone()), ProcessOf(vm))).collect();
    world.spawn_batch(processes);
}

/// Takes back all that are left.
pub fn recall(world: &mut World) {
    let runaways: Vec<Entity> = world.query_filtered::<Entity, With<Runaway>>().iter(world).collect();
    runaways.into_iter().for_each(|runaway| _ = world.despawn(runaway));
}

fn stop(
    mut commands: Commands,
    runaways: Query<(Entity, &Processes), With<Runaway>>,
    processes: Query<&Process>,
    runtime: Res<LuauRuntime>,
    mut list: ResMut<KillList>,
    time: Res<Time>,
) {
    let slices = |process: &Process| runtime.process_info(process).map_or(0, |info| info.cpu.slices);
    let due = runaways.iter().filter_map(|(vm, members)| {
        let process = processes.iter_many(members.iter()).find(|process| slices(process) >= PATIENCE)?;
        Some((vm, process))
    });
    for (vm, process) in due.take(STOPPED_PER_FRAME) {
        list.add(Kill {
            at: time.elapsed(),
            script: process.name().to_owned(),
            kind: "stopped",
            why: format!("by the game: in {} slices it never waited", slices(process)),
        });
        commands.entity(vm).despawn();
    }
}
