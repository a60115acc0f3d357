//! The plain: where the ore is, where it is brought, and who is near whom.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bevy::prelude::*;
use serde::Serialize;

use crate::bodies::Body;
use crate::options::Options;
use crate::robots::Robot;

/// Half of the plain's width and height.
pub const HALF: Vec2 = Vec2::new(790.0, 520.0);
const DEPOSITS: usize = 48;
const BASES: usize = 5;
/// Ore that a deposit can have, and regains each second.
const RICHNESS: f32 = 2_000.0;
const REGROWTH: f32 = 300.0;
/// How near a robot must be to a place to work there.
pub const REACH: f32 = 26.0;

pub fn plugin(app: &mut App) {
    app.init_resource::<Crowd>()
        .add_systems(PreStartup, make_plain)
        .add_systems(Update, (regrow, Crowd::update));
}

/// A deposit or a base.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Place {
    pub x: f32,
    pub y: f32,
    /// What is there, or was brought there.
    pub ore: f32,
}

impl Place {
    pub fn position(&self) -> Vec2 {
        Vec2::new(self.x, self.y)
    }
}

/// What the robots know of the plain. Shared, because host functions read it while scripts run.
#[derive(Resource, Clone, Default)]
pub struct Map(Arc<RwLock<Places>>);

#[derive(Default)]
pub struct Places {
    pub deposits: Vec<Place>,
    pub bases: Vec<Place>,
}

impl Map {
    pub fn read(&self) -> RwLockReadGuard<'_, Places> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Places> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place in `places` that is nearest to a point.
pub fn nearest(places: &[Place], point: Vec2) -> Option<usize> {
    let distance = |i: &usize| places[*i].position().distance_squared(point);
    (0..places.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

fn make_plain(map: Res<Map>, options: Res<Options>) {
    let mut dice = Dice(options.seed);
    let mut places = map.write();
    places.deposits = (0..DEPOSITS).map(|_| place(dice.point(0.95), RICHNESS)).collect();
    places.bases = (0..BASES)
        .map(|i| Vec2::from_angle(std::f32::consts::TAU * i as f32 / BASES as f32) * HALF * 0.55)
        .map(|point| place(point, 0.0))
        .collect();
}

fn place(point: Vec2, ore: f32) -> Place {
    Place { x: point.x, y: point.y, ore }
}

fn regrow(map: Res<Map>, time: Res<Time>) {
    for deposit in &mut map.write().deposits {
        deposit.ore = (deposit.ore + REGROWTH * time.delta_secs()).min(RICHNESS);
    }
}

/// Random numbers that depend on nothing but a seed (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    /// At least 0 and less than 1.
    pub fn roll(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 24) as f32
    }

    /// A point in the middle `part` of the plain.
    pub fn point(&mut self, part: f32) -> Vec2 {
        (Vec2::new(self.roll(), self.roll()) * 2.0 - 1.0) * HALF * part
    }
}

/// Side of a cell of the [`Crowd`].
const CELL: f32 = 20.0;
const COLUMNS: usize = (2.0 * HALF.x / CELL) as usize + 1;
const ROWS: usize = (2.0 * HALF.y / CELL) as usize + 1;

/// How many robots are in each cell of a grid, and where they are going.
#[derive(Resource)]
pub struct Crowd {
    cells: Vec<Cell>,
    age: u32,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    robots: u32,
    position: Vec2,
    velocity: Vec2,
}

/// What a robot sees of those around it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Neighbours {
    /// How many there are, the robot itself among them.
    pub count: u32,
    /// Where they are and where they go, on average.
    pub x: f32,
    pub y: f32,
    pub vx: f32,
    pub vy: f32,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { cells: vec![Cell::default(); COLUMNS * ROWS], age: 0 }
    }
}

impl Crowd {
    /// Counts the robots, in every tenth frame: it need not be exact.
    fn update(mut crowd: ResMut<Self>, bodies: Query<&Body, With<Robot>>) {
        crowd.age += 1;
        if !crowd.age.is_multiple_of(10) {
            return;
        }
        crowd.cells.fill(Cell::default());
        for body in &bodies {
            let (column, row) = cell(body.position);
            let cell = &mut crowd.cells[row * COLUMNS + column];
            cell.robots += 1;
            cell.position += body.position;
            cell.velocity += body.velocity;
        }
    }

    /// The robots in the cells around a point.
    pub fn around(&self, point: Vec2) -> Neighbours {
        let (column, row) = cell(point);
        let mut sum = Cell::default();
        for row in row.saturating_sub(1)..(row + 2).min(ROWS) {
            for cell in &self.cells[row * COLUMNS..][column.saturating_sub(1)..(column + 2).min(COLUMNS)] {
                sum.robots += cell.robots;
                sum.position += cell.position;
                sum.velocity += cell.velocity;
            }
        }
        let share = 1.0 / sum.robots.max(1) as f32;
        let (position, velocity) = (sum.position * share, sum.velocity * share);
        Neighbours { count: sum.robots, x: position.x, y: position.y, vx: velocity.x, vy: velocity.y }
    }
}

fn cell(point: Vec2) -> (usize, usize) {
    let cell = ((point + HALF) / CELL).max(Vec2::ZERO);
    ((cell.x as usize).min(COLUMNS - 1), (cell.y as usize).min(ROWS - 1))
}
