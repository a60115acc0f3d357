//! What scripts can ask of their robot and of the plain.
//!
//! Syscalls reach these systems in batches, one batch a tick; `map` is answered inside the slice.

use std::convert::Infallible;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use serde::Serialize;

use crate::bodies::Body;
use crate::plain::{Crowd, HALF, Map, Neighbours, Place, Places, REACH, nearest};
use crate::robots::{Order, Robot, SPEED};

/// Ore that is dug in one go, the seconds that takes, and what a robot can carry.
const BITE: f32 = 2.0;
const DIGGING: f32 = 1.5;
const CAPACITY: f32 = 6.0;

pub fn plugin(app: &mut App) {
    let map = Map::default();
    let (ore, base) = (map.clone(), map.clone());
    app.add_host_function("map.nearest_ore", move |x: f32, y: f32| nearest_ore(&ore.read(), Vec2::new(x, y)))
        .add_host_function("map.nearest_base", move |x: f32, y: f32| {
            nearest_base(&base.read(), Vec2::new(x, y))
        })
        .add_host_function("map.size", || Ok::<_, Infallible>([2.0 * HALF.x, 2.0 * HALF.y]))
        .add_syscall("robot.status", status)
        .add_syscall("robot.scan", scan)
        .add_syscall("robot.steer", steer)
        .add_syscall("robot.go_to", go_to)
        .add_syscall("robot.mine", mine)
        .add_syscall("robot.deliver", deliver)
        .add_syscall("robot.signal", signal)
        .insert_resource(map);
}

fn nearest_ore(places: &Places, point: Vec2) -> Result<Option<Place>, Infallible> {
    let rich: Vec<Place> = places.deposits.iter().filter(|deposit| deposit.ore >= BITE).copied().collect();
    Ok(nearest(&rich, point).map(|i| rich[i]))
}

fn nearest_base(places: &Places, point: Vec2) -> Result<Option<Place>, Infallible> {
    Ok(nearest(&places.bases, point).map(|i| places.bases[i]))
}

/// What a robot knows of itself.
#[derive(Serialize)]
struct Status {
    number: usize,
    x: f32,
    y: f32,
    vx: f32,
    vy: f32,
    cargo: f32,
    capacity: f32,
}

impl Status {
    fn new(robot: &Robot, body: &Body) -> Self {
        let Body { position, velocity, .. } = *body;
        Self {
            number: robot.number,
            x: position.x,
            y: position.y,
            vx: velocity.x,
            vy: velocity.y,
            cargo: robot.cargo,
            capacity: CAPACITY,
        }
    }
}

const NO_ROBOT: &str = "this VM has no robot";

fn status(In(calls): In<Vec<Syscall<(), Status>>>, robots: Query<(&Robot, &Body)>) {
    for call in calls {
        match robots.get(call.vm) {
            Ok((robot, body)) => call.reply(Status::new(robot, body)),
            Err(_) => call.fail(NO_ROBOT),
        }
    }
}

/// What a robot sees.
#[derive(Serialize)]
struct Sight {
    me: Status,
    others: Neighbours,
}

fn scan(In(calls): In<Vec<Syscall<(), Sight>>>, robots: Query<(&Robot, &Body)>, crowd: Res<Crowd>) {
    for call in calls {
        match robots.get(call.vm) {
            Ok((robot, body)) => {
                let others = crowd.around(body.position);
                call.reply(Sight { me: Status::new(robot, body), others });
            }
            Err(_) => call.fail(NO_ROBOT),
        }
    }
}

/// Drives on in a direction, until the next order.
fn steer(In(calls): In<Vec<Syscall<(f32, f32), ()>>>, mut robots: Query<&mut Robot>) {
    for call in calls {
        let velocity = Vec2::from(call.args);
        match robots.get_mut(call.vm) {
            Ok(_) if !velocity.is_finite() => call.fail("that is no direction"),
            Ok(mut robot) => {
                robot.order(Order::Steer(velocity.clamp_length_max(SPEED)));
                call.reply(());
            }
            Err(_) => call.fail(NO_ROBOT),
        }
    }
}

/// Answered when the robot gets there.
fn go_to(In(calls): In<Vec<Syscall<(f32, f32), bool>>>, mut robots: Query<&mut Robot>) {
    for call in calls {
        let goal = Vec2::from(call.args);
        match robots.get_mut(call.vm) {
            Ok(_) if !goal.is_finite() => call.fail("that is nowhere"),
            Ok(mut robot) => {
                let goal = goal.clamp(-HALF, HALF);
                robot.order(Order::GoTo { goal, arrived: call.reply_to });
            }
            Err(_) => call.fail(NO_ROBOT),
        }
    }
}

/// Answered when the ore is on board.
fn mine(In(calls): In<Vec<Syscall<(), f32>>>, mut robots: Query<(&mut Robot, &Body)>, map: Res<Map>) {
    let mut places = map.write();
    for call in calls {
        let Ok((mut robot, &Body { position, .. })) = robots.get_mut(call.vm) else {
            call.fail(NO_ROBOT);
            continue;
        };
        let deposit = nearest(&places.deposits, position).map(|i| &mut places.deposits[i]);
        match deposit.filter(|deposit| deposit.position().distance(position) < REACH) {
            Some(deposit) => {
                let ore = BITE.min(CAPACITY - robot.cargo).min(deposit.ore).max(0.0);
                deposit.ore -= ore;
                robot.order(Order::Mine { seconds: DIGGING, ore, loaded: call.reply_to });
            }
            None => call.fail("there is no ore within reach"),
        }
    }
}

/// Answered with what the base has now.
fn deliver(In(calls): In<Vec<Syscall<(), f32>>>, mut robots: Query<(&mut Robot, &Body)>, map: Res<Map>) {
    let mut places = map.write();
    for call in calls {
        let Ok((mut robot, &Body { position, .. })) = robots.get_mut(call.vm) else {
            call.fail(NO_ROBOT);
            continue;
        };
        let base = nearest(&places.bases, position).map(|i| &mut places.bases[i]);
        match base.filter(|base| base.position().distance(position) < REACH) {
            Some(base) => {
                base.ore += std::mem::take(&mut robot.cargo);
                call.reply(base.ore);
            }
            None => call.fail("there is no base within reach"),
        }
    }
}

fn signal(In(calls): In<Vec<Syscall<(), ()>>>, mut robots: Query<&mut Robot>) {
    for call in calls {
        match robots.get_mut(call.vm) {
            Ok(mut robot) => {
                robot.signal();
                call.reply(());
            }
            Err(_) => call.fail(NO_ROBOT),
        }
    }
}
