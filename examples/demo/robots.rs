//! Robots: VMs that move.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::minds::{Mind, Scripts};
use crate::options::Options;
use crate::plain::{Dice, HALF};
use crate::theme;
use crate::view::Art;

/// Units a second.
pub const SPEED: f32 = 40.0;
/// How near is there.
const ARRIVED: f32 = 3.0;
/// Seconds for which a signal is seen.
const SIGNAL: f32 = 0.8;

pub fn plugin(app: &mut App) {
    app.add_systems(Startup, |mut commands: Commands, options: Res<Options>| {
        let count = options.robots;
        commands.queue(move |world: &mut World| add(world, count));
    })
    .add_systems(Update, (drive, shine).chain());
}

/// A robot's body. Its VM is on the same entity.
#[derive(Component)]
#[require(Vm = Vm::persistent())]
pub struct Robot {
    pub number: usize,
    pub mind: Mind,
    pub position: Vec2,
    pub velocity: Vec2,
    pub cargo: f32,
    pub order: Order,
    /// Seconds for which its light is still on.
    pub light: f32,
}

/// What a robot is about. The script that ordered it waits for the answer.
#[derive(Default)]
pub enum Order {
    #[default]
    None,
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
        self.velocity = Vec2::ZERO;
    }

    /// Carries orders on, for `seconds`.
    fn step(&mut self, seconds: f32) {
        match &mut self.order {
            Order::GoTo { goal, .. } => {
                let way = *goal - self.position;
                if way.length_squared() < ARRIVED * ARRIVED {
                    self.velocity = Vec2::ZERO;
                    if let Order::GoTo { arrived, .. } = std::mem::take(&mut self.order) {
                        arrived.reply(true);
                    }
                } else {
                    self.velocity = way.normalize() * SPEED;
                }
            }
            Order::Mine { seconds: left, .. } => {
                *left -= seconds;
                if *left <= 0.0
                    && let Order::Mine { ore, loaded, .. } = std::mem::take(&mut self.order)
                {
                    self.cargo += ore;
                    loaded.reply(self.cargo);
                }
            }
            Order::None => {}
        }
        self.position += self.velocity * seconds;
        // Off the edge it turns back.
        let inside = self.position.clamp(-HALF, HALF);
        if inside != self.position {
            self.velocity = (self.velocity
                * if inside.x == self.position.x { Vec2::new(1.0, -1.0) } else { Vec2::new(-1.0, 1.0) })
            .clamp_length_max(SPEED);
            self.position = inside;
        }
    }

    /// Turns the light on.
    pub fn signal(&mut self) {
        self.light = SIGNAL;
    }
}

fn drive(mut robots: Query<(&mut Robot, &mut Transform)>, time: Res<Time>) {
    let seconds = time.delta_secs().min(0.1);
    robots.par_iter_mut().for_each(|(mut robot, mut transform)| {
        robot.step(seconds);
        let moved = robot.velocity != Vec2::ZERO;
        if moved {
            transform.translation = robot.position.extend(transform.translation.z);
            transform.rotation = Quat::from_rotation_z(robot.velocity.to_angle());
        }
    });
}

/// Robots are brighter while they signal, and while they carry something.
fn shine(mut robots: Query<(&mut Robot, &mut Sprite)>, time: Res<Time>) {
    for (mut robot, mut sprite) in &mut robots {
        if robot.light > 0.0 {
            robot.light -= time.delta_secs();
        }
        let color = match () {
            () if robot.light > 0.0 => Color::WHITE,
            () if robot.cargo > 0.0 => robot.mind.color().lighter(0.12),
            () => robot.mind.color(),
        };
        if sprite.color != color {
            sprite.color = color;
        }
    }
}

/// Adds robots, with their processes.
pub fn add(world: &mut World, count: usize) {
    let (seed, present) = (world.resource::<Options>().seed, count_of(world));
    let image = world.resource::<Art>().robot.clone();
    // Robots need little; their consoles are for the last lines only.
    let limits = VmLimits::from(Limits { memory_bytes: 256 << 10, console_bytes: 400, ..default() });
    let robots = (present..present + count).map(move |number| {
        let mut dice = Dice(seed ^ (number as u64) << 20);
        let (position, mind) = (dice.point(1.0), Mind::of_number(number));
        let sprite = Sprite {
            image: image.clone(),
            color: mind.color(),
            custom_size: Some(Vec2::splat(theme::ROBOT_SIZE)),
            ..default()
        };
        let robot = Robot {
            number,
            mind,
            position,
            velocity: Vec2::ZERO,
            cargo: 0.0,
            order: Order::None,
            light: 0.0,
        };
        (robot, limits.clone(), sprite, Transform::from_translation(position.extend(2.0)))
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
