//! What hides the plain below the interface when it is larger than its part of the window.
//!
//! The panels have no backgrounds of their own: a software renderer took a quarter of the frame to fill them.

use bevy::camera::visibility::NoFrustumCulling;
use bevy::prelude::*;

use crate::theme::{self, BOTTOM_BAR, SIDE_PANEL, TOP_BAR};

/// In front of everything on the plain.
const Z: f32 = 10.0;

pub fn plugin(app: &mut App) {
    app.add_systems(Startup, spawn);
}

/// The part of the interface that a rectangle is for.
#[derive(Component, Clone, Copy)]
pub enum Backdrop {
    Top,
    Side,
    Bottom,
}

impl Backdrop {
    /// Where it is in a window of `size` logical pixels with an interface scaled by `scale`.
    fn rect(self, size: Vec2, scale: f32) -> Rect {
        let (top, bottom) = (TOP_BAR * scale, size.y - BOTTOM_BAR * scale);
        match self {
            Self::Top => Rect::new(0.0, 0.0, size.x, top),
            Self::Side => Rect::new(size.x - SIDE_PANEL * scale, top, size.x, bottom),
            Self::Bottom => Rect::new(0.0, bottom, size.x, size.y),
        }
    }

    /// Where it is in front of a camera that shows the middle of the window at `center`, and in each pixel
    /// `unit` of the plain.
    pub fn transform(self, size: Vec2, scale: f32, center: Vec2, unit: f32) -> Transform {
        let rect = self.rect(size, scale);
        let offset = (rect.center() - size / 2.0) * Vec2::new(1.0, -1.0) * unit;
        Transform::from_translation((center + offset).extend(Z)).with_scale((rect.size() * unit).extend(1.0))
    }
}

fn spawn(
    mut commands: Commands,
    mut meshes: ResMut<Assets<Mesh>>,
    mut materials: ResMut<Assets<ColorMaterial>>,
) {
    let (mesh, material) = (meshes.add(Rectangle::default()), materials.add(theme::GROUND));
    for backdrop in [Backdrop::Top, Backdrop::Side, Backdrop::Bottom] {
        let looks = (Mesh2d(mesh.clone()), MeshMaterial2d(material.clone()), NoFrustumCulling);
        commands.spawn((backdrop, looks));
    }
}
