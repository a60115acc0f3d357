//! Deposits and bases.

use bevy::asset::RenderAssetUsages;
use bevy::prelude::*;
use bevy::render::render_resource::{Extent3d, TextureDimension, TextureFormat};

use crate::plain::{HALF, Map};
use crate::theme;

pub fn plugin(app: &mut App) {
    app.init_resource::<Art>().add_systems(Startup, draw_plain).add_systems(Update, show_places);
}

/// Pictures that places share, so that they are drawn in one batch.
#[derive(Resource)]
pub struct Art {
    disc: Handle<Image>,
    pub ring: Handle<Image>,
}

impl FromWorld for Art {
    fn from_world(world: &mut World) -> Self {
        let mut images = world.resource_mut::<Assets<Image>>();
        let disc = |p: Vec2| 0.9 - p.length();
        let ring = |p: Vec2| 0.11 - (p.length() - 0.82).abs();
        Self { disc: images.add(picture(48, disc)), ring: images.add(picture(48, ring)) }
    }
}

/// White where `inside`, which gets points from -1 to 1, is positive.
fn picture(size: u32, inside: impl Fn(Vec2) -> f32) -> Image {
    let mut data = Vec::new();
    for y in 0..size {
        for x in 0..size {
            let point = (Vec2::new(x as f32, (size - 1 - y) as f32) + 0.5) / size as f32 * 2.0 - 1.0;
            let cover = (0.5 + inside(point) * size as f32 / 2.0).clamp(0.0, 1.0);
            data.extend([255, 255, 255, (cover * 255.0) as u8]);
        }
    }
    let extent = Extent3d { width: size, height: size, depth_or_array_layers: 1 };
    let format = TextureFormat::Rgba8UnormSrgb;
    Image::new(extent, TextureDimension::D2, data, format, RenderAssetUsages::RENDER_WORLD)
}

/// The picture of a deposit or a base.
#[derive(Component)]
enum Picture {
    Deposit(usize),
    Base(usize),
}

fn draw_plain(mut commands: Commands, map: Res<Map>, art: Res<Art>) {
    let edge = |size: Vec2, at: Vec2| {
        (
            Sprite { color: theme::BORDER, custom_size: Some(size), ..default() },
            Transform::from_translation(at.extend(0.0)),
        )
    };
    for side in [-1.0, 1.0] {
        commands.spawn(edge(Vec2::new(2.0 * HALF.x + 16.0, 2.0), Vec2::new(0.0, side * (HALF.y + 8.0))));
        commands.spawn(edge(Vec2::new(2.0, 2.0 * HALF.y + 16.0), Vec2::new(side * (HALF.x + 8.0), 0.0)));
    }
    let places = map.read();
    let disc = |color: Color, size: f32| Sprite {
        image: art.disc.clone(),
        color,
        custom_size: Some(Vec2::splat(size)),
        ..default()
    };
    for (i, deposit) in places.deposits.iter().enumerate() {
        let at = Transform::from_translation(deposit.position().extend(1.0));
        commands.spawn((Picture::Deposit(i), disc(Color::srgb(0.36, 0.28, 0.16), 40.0), at));
    }
    for (i, base) in places.bases.iter().enumerate() {
        let at = Transform::from_translation(base.position().extend(1.0));
        commands.spawn((Picture::Base(i), disc(Color::srgb(0.16, 0.34, 0.26), 60.0), at));
    }
}

/// Deposits shrink as they are dug, bases glow as they fill.
fn show_places(map: Res<Map>, mut pictures: Query<(&Picture, &mut Sprite)>) {
    let places = map.read();
    for (picture, mut sprite) in &mut pictures {
        match *picture {
            Picture::Deposit(i) => {
                sprite.custom_size = Some(Vec2::splat(10.0 + places.deposits[i].ore.sqrt()));
            }
            Picture::Base(i) => {
                sprite.custom_size = Some(Vec2::splat((48.0 + places.bases[i].ore.sqrt() * 0.3).min(90.0)));
            }
        }
    }
}
