//! Robots: VMs that move.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::bodies::{Body, Look};
use crate::minds::{Mind, Scripts};
use crate::options::Options;
use crate::plain::Dice;

/// Units a second.
pub const SPEED: f32 = 40.0;
/// At this distance from its goal, a robot has arrived.
const ARRIVED: f32 = 3.0;
/// Seconds for which a signal is seen.
const SIGNAL: f32 = 0.8;

pub fn plugin(app: &mut App) {
    app.add_systems(Startup, |mut commands: Commands, options: Res<Options>| {
        let count = options.robots;
        commands.queue(move |world: &mut World| add(world, count));
    })
    .add_systems(Update, drive);
}

/// A robot. Its VM and its [`Body`] are on the same entity.
#[derive(Component)]
#[require(Vm = Vm::persistent())]
pub struct Robot {
    pub number: usize,
    pub mind: Mind,
    pub cargo: f32,
    order: Order,
    /// Seconds for which its light is still on.
    light: f32,
}

/// What a robot does. The script that ordered it waits for the answer.
#[derive(Default)]
pub enum Order {
    #[default]
    None,
    /// With this velocity, until the next order.
    Steer(Vec2),
    GoTo {
        goal: Vec2,
        /// Whether it got there.
        arrived: ReplyTo<bool>,
    },
    Mine {
        seconds: f32,
        ore: f32,
        /// What it has on board then.
        loaded: ReplyTo<f32>,
    },
}

impl Robot {
    /// Gives an order. One under way ends, and its script learns that it was not carried out.
    pub fn order(&mut self, order: Order) {
        if let Order::GoTo { arrived, .. } = std::mem::replace(&mut self.order, order) {
            arrived.reply(false);
        }
    }

    /// Carries orders on, for `seconds`.
    fn step(&mut self, body: &mut Body, seconds: f32) {
        match &mut self.order {
            Order::None => {}
            Order::Steer(velocity) => *velocity = body.drive(*velocity, seconds),
            Order::GoTo { goal, .. } => {
                let way = *goal - body.position;
                if way.length_squared() > ARRIVED * ARRIVED {
                    _ = body.drive(way.normalize() * SPEED, seconds);
                } else if let Order::GoTo { arrived, .. } = std::mem::take(&mut self.order) {
                    body.velocity = Vec2::ZERO;
                    arrived.reply(true);
                }
            }
            Order::Mine { seconds: left, .. } => {
                body.velocity = Vec2::ZERO;
                *left -= seconds;
                if *left <= 0.0
                    && let Order::Mine { ore, loaded, .. } = std::mem::take(&mut self.order)
                {
                    self.cargo += ore;
                    loaded.reply(self.cargo);
                }
            }
        }
        self.light -= seconds;
    }

    /// Turns the light on.
    pub fn signal(&mut self) {
        self.light = SIGNAL;
    }

    pub fn look(&self) -> Look {
        match self.mind {
            _ if self.light > 0.0 => Look::Signal,
            Mind::Miner if self.cargo > 0.0 => Look::LadenMiner,
            Mind::Miner => Look::Miner,
            Mind::Swarm => Look::Swarm,
            Mind::Patrol => Look::Patrol,
        }
    }
}

fn drive(mut robots: Query<(&mut Robot, &mut Body)>, time: Res<Time>) {
    let seconds = time.delta_secs().min(0.1);
    robots.par_iter_mut().for_each(|(mut robot, mut body)| robot.step(&mut body, seconds));
}

/// Adds robots and their processes.
pub fn add(world: &mut World, count: usize) {
    let (seed, present) = (world.resource::<Options>().seed, count_of(world));
    // Robots need little; their consoles are for the last lines only.
    let limits = VmLimits::from(Limits { memory_bytes: 256 << 10, console_bytes: 400, ..default() });
    let robots = (present..present + count).map(move |number| {
        let mut dice = Dice(seed ^ (number as u64) << 20);
        let (position, mind) = (dice.point(1.0), Mind::of_number(number));
        let robot = Robot { number, mind, cargo: 0.0, order: Order::None, light: 0.0 };
        (robot, Body::at(position), limits.clone())
    });
    let robots: Vec<Entity> = world.spawn_batch(robots.collect::<Vec<_>>()).collect();
    start(world, &robots);
}

/// Starts the processes of robots that have none.
pub fn start(world: &mut World, robots: &[Entity]) {
    let minds = robots.iter().filter_map(|&robot| Some((robot, world.get::<Robot>(robot)?.mind)));
    let minds: Vec<(Entity, Mind)> = minds.collect();
    let scripts = world.resource::<Scripts>();
    let processes = minds
        .into_iter()
        .flat_map(|(robot, mind)| scripts.processes(mind).map(|process| (process, ProcessOf(robot))));
    let processes: Vec<_> = processes.collect();
    world.spawn_batch(processes);
}

/// Removes the robots that came last.
pub fn remove(world: &mut World, count: usize) {
    let mut robots: Vec<(usize, Entity)> =
        world.query::<(Entity, &Robot)>().iter(world).map(|(entity, robot)| (robot.number, entity)).collect();
    robots.sort_unstable();
    for (_, robot) in robots.into_iter().rev().take(count) {
        world.despawn(robot);
    }
}

fn count_of(world: &mut World) -> usize {
    world.query::<&Robot>().iter(world).map(|robot| robot.number + 1).max().unwrap_or(0)
}
