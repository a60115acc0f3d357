//! The plain on the screen: the camera, and which robot is selected.

mod backdrop;
mod places;

use bevy::input::mouse::AccumulatedMouseScroll;
use bevy::prelude::*;
use bevy::window::PrimaryWindow;

use self::backdrop::Backdrop;
use self::places::Art;
use crate::bodies::Body;
use crate::plain::HALF;
use crate::theme::{BOTTOM_BAR, HEIGHT, SIDE_PANEL, TOP_BAR};

pub fn plugin(app: &mut App) {
    app.add_plugins((backdrop::plugin, places::plugin))
        .init_resource::<Selected>()
        .init_resource::<Zoom>()
        .add_systems(Startup, spawn_camera)
        .add_systems(Update, (scale_interface, zoom, place_camera, mark_selected).chain());
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

fn spawn_camera(mut commands: Commands, art: Res<Art>) {
    commands.spawn((Camera2d, Msaa::Off));
    let ring = Sprite { image: art.ring.clone(), custom_size: Some(Vec2::splat(30.0)), ..default() };
    commands.spawn((SelectionRing, ring, Transform::from_xyz(0.0, 0.0, 4.0), Visibility::Hidden));
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
    camera: Single<(&mut Transform, &mut Projection), With<Camera2d>>,
    mut backdrops: Query<(&Backdrop, &mut Transform, &mut Visibility), Without<Camera2d>>,
    (interface, zoom): (Res<UiScale>, Res<Zoom>),
) {
    let (view, size) = (view(&window, interface.0), window.size());
    let unit = (2.0 * (HALF + 16.0) / view.size()).max_element() * zoom.scale;
    let center = zoom.center + (size / 2.0 - view.center()) * Vec2::new(1.0, -1.0) * unit;
    let (mut transform, mut projection) = camera.into_inner();
    transform.set_if_neq(Transform::from_translation(center.extend(transform.translation.z)));
    if let Projection::Orthographic(orthographic) = &mut *projection {
        orthographic.scale = unit;
    }
    let needed = if zoom.scale < 1.0 { Visibility::Visible } else { Visibility::Hidden };
    for (backdrop, mut transform, mut visibility) in &mut backdrops {
        visibility.set_if_neq(needed);
        transform.set_if_neq(backdrop.transform(size, interface.0, center, unit));
    }
}

/// Robots and runaways.
pub type Bodies<'w, 's> = Query<'w, 's, (Entity, &'static Body)>;

/// The robot at the cursor, if there is one near.
pub fn robot_at_cursor(
    window: &Window,
    interface: f32,
    (camera, camera_transform): (&Camera, &GlobalTransform),
    bodies: &Bodies,
) -> Option<Entity> {
    let cursor = window.cursor_position().filter(|&cursor| view(window, interface).contains(cursor))?;
    let point = camera.viewport_to_world_2d(camera_transform, cursor).ok()?;
    let distance = |body: &Body| body.position.distance(point);
    let nearest = bodies.iter().min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)))?;
    (distance(nearest.1) < NEAR).then_some(nearest.0)
}

fn mark_selected(
    mut selected: ResMut<Selected>,
    bodies: Bodies,
    mut ring: Single<(&mut Transform, &mut Visibility), With<SelectionRing>>,
) {
    let body = selected.0.and_then(|body| bodies.get(body).ok());
    if body.is_none() && selected.0.is_some() {
        selected.0 = None; // it was removed
    }
    ring.1.set_if_neq(if body.is_some() { Visibility::Visible } else { Visibility::Hidden });
    if let Some((_, body)) = body {
        ring.0.translation = body.position.extend(4.0);
    }
}
