//! What robots and runaways look like: triangles of one mesh, which is made anew for each frame.
//!
//! Twenty thousand sprites would do as well with a graphics card; without one, a mesh is far cheaper.

use bevy::asset::RenderAssetUsages;
use bevy::camera::visibility::NoFrustumCulling;
use bevy::mesh::PrimitiveTopology;
use bevy::prelude::*;

use crate::plain::HALF;
use crate::robots::Robot;
use crate::theme;

pub fn plugin(app: &mut App) {
    app.add_systems(Startup, spawn_mesh).add_systems(PostUpdate, draw);
}

/// Something that drives on the plain.
#[derive(Component)]
pub struct Body {
    pub position: Vec2,
    pub velocity: Vec2,
    /// Where it looks, of length 1.
    heading: Vec2,
}

impl Body {
    pub fn at(position: Vec2) -> Self {
        Self { position, velocity: Vec2::ZERO, heading: Vec2::X }
    }

    /// Drives for `seconds`. At the edge of the plain it turns back; returns its velocity then.
    pub fn drive(&mut self, velocity: Vec2, seconds: f32) -> Vec2 {
        let there = self.position + velocity * seconds;
        self.position = there.clamp(-HALF, HALF);
        let is_beyond = there.cmpne(self.position);
        self.velocity = Vec2::select(is_beyond, -velocity, velocity);
        self.heading = self.velocity.normalize_or(self.heading);
        self.velocity
    }
}

/// What a body looks like.
#[derive(Clone, Copy)]
pub enum Look {
    Miner,
    LadenMiner,
    Swarm,
    Patrol,
    Signal,
    Runaway,
}

impl Look {
    pub const ALL: [Self; 6] =
        [Self::Miner, Self::LadenMiner, Self::Swarm, Self::Patrol, Self::Signal, Self::Runaway];

    pub fn color(self) -> Color {
        match self {
            Self::Miner => theme::WARNING,
            Self::LadenMiner => theme::WARNING.lighter(0.15),
            Self::Swarm => theme::ACCENT,
            Self::Patrol => theme::PATROL,
            Self::Signal => Color::WHITE,
            Self::Runaway => theme::BAD,
        }
    }

    /// Half of its length.
    fn size(self) -> f32 {
        match self {
            Self::Runaway => 7.0,
            _ => 4.5,
        }
    }
}

/// The entity that shows all bodies.
#[derive(Component)]
struct Crowd;

fn spawn_mesh(
    mut commands: Commands,
    mut meshes: ResMut<Assets<Mesh>>,
    mut materials: ResMut<Assets<ColorMaterial>>,
) {
    commands.spawn((
        Crowd,
        Mesh2d(meshes.add(triangles())),
        MeshMaterial2d(materials.add(Color::WHITE)),
        Transform::from_xyz(0.0, 0.0, 2.0),
        NoFrustumCulling,
    ));
}

/// An empty mesh.
fn triangles() -> Mesh {
    Mesh::new(PrimitiveTopology::TriangleList, RenderAssetUsages::RENDER_WORLD)
}

fn draw(
    bodies: Query<(&Body, Option<&Robot>)>,
    crowd: Single<&Mesh2d, With<Crowd>>,
    mut meshes: ResMut<Assets<Mesh>>,
) -> Result {
    let colors = Look::ALL.map(|look| look.color().to_linear().to_f32_array());
    let count = bodies.iter().len();
    let mut corners = Vec::with_capacity(3 * count);
    let mut corner_colors = Vec::with_capacity(3 * count);
    for (&Body { position, heading, .. }, robot) in &bodies {
        let look = robot.map_or(Look::Runaway, Robot::look);
        let ahead = heading * look.size();
        let aside = ahead.perp() * 0.6;
        for corner in [position + ahead, position - ahead + aside, position - ahead - aside] {
            corners.push([corner.x, corner.y, 0.0]);
        }
        corner_colors.extend([colors[look as usize]; 3]);
    }
    let mesh = triangles()
        .with_inserted_attribute(Mesh::ATTRIBUTE_POSITION, corners)
        .with_inserted_attribute(Mesh::ATTRIBUTE_COLOR, corner_colors);
    meshes.insert(crowd.id(), mesh)?;
    Ok(())
}
