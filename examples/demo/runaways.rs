//! Runaways: VMs that run the scripts with which the library is tested to bear anything, and the list of
//! what became of them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::plain::Dice;
use crate::theme;
use crate::view::Art;

/// From tests/hostile: endless loops, memory hogs, code that cannot be preempted, floods of errors.
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

/// What a runaway gets of each tick.
const TIME_PER_TICK: Duration = Duration::from_nanos(1_000);

/// What the game itself does not put up with: a robot that uses its time for so long and never waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// Kills that are listed.
pub const LISTED: usize = 9;

pub fn plugin(app: &mut App) {
    app.init_resource::<KillList>()
        .add_systems(PreStartup, load)
        .add_systems(Update, watch)
        .add_observer(record);
}

/// A VM without a body's sense.
#[derive(Component)]
#[require(Vm)]
pub struct Runaway {
    released_at: Duration,
}

#[derive(Resource)]
struct HostileScripts(Vec<Handle<LuauScript>>);

fn load(mut commands: Commands, assets: Res<AssetServer>) {
    let load = |name: &&str| assets.load(format!("hostile://{name}.luau"));
    commands.insert_resource(HostileScripts(SCRIPTS.iter().map(load).collect()));
}

/// Releases runaways.
pub fn release(world: &mut World, count: usize) {
    let (now, image) = (world.resource::<Time>().elapsed(), world.resource::<Art>().robot.clone());
    let limits =
        VmLimits::from(Limits { memory_bytes: 512 << 10, time_per_tick: TIME_PER_TICK, ..default() });
    let mut dice = Dice(now.as_nanos() as u64);
    let runaways: Vec<_> = (0..count)
        .map(|_| {
            let sprite = Sprite {
                image: image.clone(),
                color: theme::BAD,
                custom_size: Some(Vec2::splat(14.0)),
                ..default()
            };
            let place = Transform::from_translation(dice.point(1.0).extend(3.0));
            (Runaway { released_at: now }, limits.clone(), sprite, place)
        })
        .collect();
    let runaways: Vec<Entity> = world.spawn_batch(runaways).collect();
    let scripts = &world.resource::<HostileScripts>().0;
    let processes = runaways.into_iter().zip(scripts.iter().cycle());
    let processes: Vec<_> =
        processes.map(|(vm, script)| (Process::new(script.clone()), ProcessOf(vm))).collect();
    world.spawn_batch(processes);
    world.resource_mut::<KillList>().released += count;
}

/// What was done, and why.
#[derive(Resource, Default)]
pub struct KillList {
    /// The last ones, latest first.
    pub last: VecDeque<Kill>,
    /// How many there were of each kind.
    pub by_kind: HashMap<&'static str, usize>,
    pub released: usize,
}

pub struct Kill {
    pub at: Duration,
    pub script: String,
    pub kind: &'static str,
    pub why: String,
}

impl KillList {
    fn add(&mut self, kill: Kill) {
        *self.by_kind.entry(kill.kind).or_default() += 1;
        self.last.push_front(kill);
        self.last.truncate(LISTED);
    }
}

fn record(exit: On<ProcessExited>, mut list: ResMut<KillList>, time: Res<Time>) {
    let (kind, why) = match &exit.outcome {
        Outcome::Killed(reason) => ("killed", reason.to_string()),
        Outcome::Failed(error) => ("failed", error.to_string()),
        _ => return,
    };
    list.add(Kill { at: time.elapsed(), script: exit.name.to_string(), kind, why });
}

/// Despawns runaways that only burn time: the library lets them live, in the time that they are allowed.
fn watch(
    mut commands: Commands,
    runaways: Query<(Entity, &Runaway, &Processes)>,
    processes: Query<&Process>,
    runtime: Res<LuauRuntime>,
    mut list: ResMut<KillList>,
    time: Res<Time>,
) {
    // Some in each frame, so that a thousand at once are no burden.
    let due = |runaway: &Runaway| time.elapsed().saturating_sub(runaway.released_at) > PATIENCE;
    for (vm, _, members) in runaways.iter().filter(|(_, runaway, _)| due(runaway)).take(20) {
        let process = members.iter().find_map(|process| processes.get(process).ok());
        let slices =
            process.and_then(|process| runtime.process_info(process)).map_or(0, |info| info.cpu.slices);
        list.add(Kill {
            at: time.elapsed(),
            script: process.map_or_else(String::new, |process| process.name().to_owned()),
            kind: "stopped",
            why: format!("watchdog: never waited in {} s, {slices} slices", PATIENCE.as_secs()),
        });
        commands.entity(vm).despawn();
    }
}
