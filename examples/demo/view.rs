//! The plain on the screen: camera, pictures, and which robot is selected.

use bevy::asset::RenderAssetUsages;
use bevy::input::mouse::AccumulatedMouseScroll;
use bevy::prelude::*;
use bevy::render::render_resource::{Extent3d, TextureDimension, TextureFormat};
use bevy::window::PrimaryWindow;
use bevy_luau_os::prelude::*;

use crate::plain::{HALF, Map};
use crate::theme::{self, BOTTOM_BAR, HEIGHT, SIDE_PANEL, TOP_BAR};

pub fn plugin(app: &mut App) {
    app.init_resource::<Art>()
        .init_resource::<Selected>()
        .init_resource::<Zoom>()
        .add_systems(Startup, (spawn_camera, draw_plain))
        .add_systems(Update, (scale_interface, zoom, place_camera, show_places, mark_selected).chain());
}

/// Pictures that all robots and places share, so that they are drawn in a few batches.
#[derive(Resource)]
pub struct Art {
    pub robot: Handle<Image>,
    disc: Handle<Image>,
    ring: Handle<Image>,
}

impl FromWorld for Art {
    fn from_world(world: &mut World) -> Self {
        let mut images = world.resource_mut::<Assets<Image>>();
        // A dart that points to the right.
        let dart = |p: Vec2| 0.42 - p.x.max(-p.x * 1.1) * 0.55 - p.y.abs() * (1.05 + 0.9 * p.x);
        let disc = |p: Vec2| 0.9 - p.length();
        let ring = |p: Vec2| 0.11 - (p.length() - 0.82).abs();
        Self {
            robot: images.add(picture(16, dart)),
            disc: images.add(picture(48, disc)),
            ring: images.add(picture(48, ring)),
        }
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

/// Clicks select robots that are nearer than this.
const NEAR: f32 = 25.0;

/// The robot that the inspector shows.
#[derive(Resource, Default)]
pub struct Selected(pub Option<Entity>);

/// Part of the plain that is shown: 1 is all of it.
#[derive(Resource)]
struct Zoom {
    scale: f32,
    center: Vec2,
}

impl Default for Zoom {
    fn default() -> Self {
        Self { scale: 1.0, center: Vec2::ZERO }
    }
}

#[derive(Component)]
struct SelectionRing;

/// The picture of a deposit or a base.
#[derive(Component)]
enum Picture {
    Deposit(usize),
    Base(usize),
}

fn spawn_camera(mut commands: Commands, art: Res<Art>) {
    commands.spawn((Camera2d, Msaa::Off));
    let ring = Sprite { image: art.ring.clone(), custom_size: Some(Vec2::splat(30.0)), ..default() };
    commands.spawn((SelectionRing, ring, Transform::from_xyz(0.0, 0.0, 4.0), Visibility::Hidden));
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

/// The whole interface grows with the window.
fn scale_interface(window: Single<&Window, With<PrimaryWindow>>, mut scale: ResMut<UiScale>) {
    let wanted = (window.height() / HEIGHT).min(window.width() / (HEIGHT * 16.0 / 9.0));
    if (scale.0 - wanted).abs() > 1e-3 {
        scale.0 = wanted;
    }
}

/// The part of the window that shows the plain, in logical pixels.
fn view(window: &Window, scale: f32) -> Rect {
    Rect {
        min: Vec2::new(0.0, TOP_BAR * scale),
        max: Vec2::new(window.width() - SIDE_PANEL * scale, window.height() - BOTTOM_BAR * scale),
    }
}

/// Arrow keys and the mouse wheel.
fn zoom(
    keys: Res<ButtonInput<KeyCode>>,
    wheel: Res<AccumulatedMouseScroll>,
    mut zoom: ResMut<Zoom>,
    time: Res<Time<Real>>,
) {
    let held = |key| f32::from(keys.pressed(key));
    let steps = wheel.delta.y.clamp(-3.0, 3.0) * 0.1
        + (held(KeyCode::PageUp) - held(KeyCode::PageDown)) * time.delta_secs();
    let pan = Vec2::new(
        held(KeyCode::ArrowRight) - held(KeyCode::ArrowLeft),
        held(KeyCode::ArrowUp) - held(KeyCode::ArrowDown),
    );
    if steps == 0.0 && pan == Vec2::ZERO {
        return;
    }
    zoom.scale = (zoom.scale * (1.0 - steps)).clamp(0.05, 1.0);
    let room = HALF * (1.0 - zoom.scale);
    zoom.center = (zoom.center + pan * zoom.scale * 600.0 * time.delta_secs()).clamp(-room, room);
}

/// Fits the plain into its part of the window.
fn place_camera(
    window: Single<&Window, With<PrimaryWindow>>,
    mut camera: Single<(&mut Transform, &mut Projection), With<Camera2d>>,
    (interface, zoom): (Res<UiScale>, Res<Zoom>),
) {
    let view = view(&window, interface.0);
    let fit = (2.0 * (HALF + 16.0) / view.size()).max_element() * zoom.scale;
    let off_center = Vec2::new(window.width(), window.height()) / 2.0 - view.center();
    let at = zoom.center + Vec2::new(off_center.x, -off_center.y) * fit;
    let (transform, projection) = &mut *camera;
    if transform.translation.truncate() != at {
        transform.translation = at.extend(transform.translation.z);
    }
    if let Projection::Orthographic(orthographic) = projection.as_ref()
        && orthographic.scale != fit
        && let Projection::Orthographic(orthographic) = projection.as_mut()
    {
        orthographic.scale = fit;
    }
}

/// Robots and runaways.
pub type Bodies<'w, 's> = Query<'w, 's, (Entity, &'static Transform), With<Vm>>;

/// The robot at the cursor, if there is one near.
pub fn robot_at_cursor(
    window: &Window,
    interface: f32,
    (camera, camera_transform): (&Camera, &GlobalTransform),
    bodies: &Bodies,
) -> Option<Entity> {
    let cursor = window.cursor_position().filter(|&cursor| view(window, interface).contains(cursor))?;
    let point = camera.viewport_to_world_2d(camera_transform, cursor).ok()?;
    let distance = |body: &Transform| body.translation.truncate().distance(point);
    let nearest = bodies.iter().min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)))?;
    (distance(nearest.1) < NEAR).then_some(nearest.0)
}

fn mark_selected(
    mut selected: ResMut<Selected>,
    bodies: Bodies,
    mut ring: Single<(&mut Transform, &mut Visibility), (With<SelectionRing>, Without<Vm>)>,
) {
    let body = selected.0.and_then(|body| bodies.get(body).ok());
    if body.is_none() && selected.0.is_some() {
        selected.0 = None; // it was removed
    }
    ring.1.set_if_neq(if body.is_some() { Visibility::Visible } else { Visibility::Hidden });
    if let Some((_, body)) = body {
        ring.0.translation = body.translation.truncate().extend(4.0);
    }
}
