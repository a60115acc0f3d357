//! A small game whose rules are Luau: what falls from the sky, what a collision means, what the text says. A second
//! script, with other functions of the game, steers the ship. The rules can be changed while the game runs.
//!
//! ```text
//! cargo run --example scripted_game
//! ```

use std::time::{Duration, SystemTime};

use bevy::app::ScheduleRunnerPlugin;
use bevy::prelude::*;
use bevy_luau_os::EntityValue;
use bevy_luau_os::prelude::*;
use serde::Serialize;

const WIDTH: f32 = 40.0;
const HEIGHT: f32 = 12.0;
/// What the ship moves by in a tick, at most.
const SPEED: f32 = 0.5;
const RULES: &str = "scripts/game/rules.luau";

/// What falls, and how fast.
#[derive(Component)]
struct Body {
    kind: String,
    speed: f32,
}

#[derive(Component)]
struct Ship;

#[derive(Component)]
struct Rules;

#[derive(Resource, Default)]
struct Hud(String);

/// On the VM of the rules. Scripts see all but that.
#[derive(EntityEvent, Serialize)]
struct Collision {
    #[serde(skip)]
    entity: Entity,
    kind: String,
    body: EntityValue,
}

/// What scripts read of a body, inside their slice.
#[derive(Serialize)]
struct Seen {
    kind: String,
    x: f32,
    y: f32,
}

fn main() {
    let mut app = App::new();
    app.add_plugins((
        MinimalPlugins.set(ScheduleRunnerPlugin::run_loop(Duration::from_secs_f64(1.0 / 60.0))),
        AssetPlugin::default(),
        LuauOsPlugin::default(),
    ))
    .init_resource::<Hud>()
    .add_constant("field.WIDTH", WIDTH)
    .signal_on::<Collision>("collision")
    .add_observer(|call: On<CallEnded>, mut hud: ResMut<Hud>| {
        if let Ok(Some(text)) = call.to::<Option<String>>() {
            hud.0 = text;
        }
    })
    .add_systems(Startup, boot)
    .add_systems(FixedUpdate, (fall, publish).chain().before(LuauOsSystems::Admit))
    .add_systems(Update, (draw, reload));

    // What the game lets its rules do, and what a player's program.
    app.host_library("rules")
        .add_call("game.spawn", spawn)
        .add_call("game.despawn", |In((_, (body,))): In<(Entity, (EntityValue,))>, mut commands: Commands| {
            commands.entity(body.0).try_despawn();
            Ok::<_, String>(())
        })
        .add_call("game.say", |In((_, (text,))): In<(Entity, (String,))>, mut hud: ResMut<Hud>| {
            hud.0 = text;
            Ok::<_, String>(())
        })
        .add_call(
            "game.over",
            |In((_, (text,))): In<(Entity, (String,))>, mut exit: MessageWriter<AppExit>| {
                println!("{text}");
                exit.write(AppExit::Success);
                Ok::<_, String>(())
            },
        );
    app.host_library("pilot").add_call("ship.move", steer);
    app.run();
}

fn boot(mut commands: Commands, assets: Res<AssetServer>) {
    let rules = commands.spawn((Vm::persistent(), HostLibraries::new(["rules"]))).id();
    let script: Handle<LuauScript> = assets.load(RULES);
    commands.spawn((Process::new(script), ProcessOf(rules), Rules, Restart::after(Duration::from_secs(1))));
    // The ship is a VM itself: its program steers what it runs on.
    let ship =
        (Vm::persistent(), HostLibraries::new(["pilot"]), Ship, Transform::from_xyz(WIDTH / 2.0, 0.0, 0.0));
    let ship = commands.spawn(ship).id();
    let script: Handle<LuauScript> = assets.load("scripts/game/pilot.luau");
    commands.spawn((Process::new(script), ProcessOf(ship)));
    commands.entity(ship).publish("ship", WIDTH / 2.0).publish("sky", Vec::<Seen>::new());
}

/// `game.spawn(kind, x, speed)`
fn spawn(
    In((_, (kind, x, speed))): In<(Entity, (String, f32, f32))>,
    mut commands: Commands,
) -> Result<EntityValue, String> {
    if !(0.0..=WIDTH).contains(&x) || !(0.0..100.0).contains(&speed) {
        return Err("it would not be seen".into());
    }
    let body = commands.spawn((Body { kind, speed }, Transform::from_xyz(x, HEIGHT, 0.0)));
    Ok(EntityValue(body.id()))
}

/// `ship.move(by)`
fn steer(
    In((ship, (by,))): In<(Entity, (f32,))>,
    mut ships: Query<&mut Transform, With<Ship>>,
) -> Result<(), String> {
    let mut ship = ships.get_mut(ship).map_err(|_| "this VM is no ship")?;
    if by.is_finite() {
        ship.translation.x = (ship.translation.x + by.clamp(-SPEED, SPEED)).clamp(0.0, WIDTH);
    }
    Ok(())
}

/// The world is the game's. What it means that two things meet, the rules say.
fn fall(
    mut bodies: Query<(Entity, &Body, &mut Transform), Without<Ship>>,
    ship: Single<&Transform, With<Ship>>,
    rules: Single<(Entity, &ProcessOf), With<Rules>>,
    time: Res<Time>,
    mut commands: Commands,
) {
    for (entity, body, mut transform) in &mut bodies {
        let was_above = transform.translation.y > 0.0;
        transform.translation.y -= body.speed * time.delta_secs();
        if !was_above || transform.translation.y > 0.0 {
            continue;
        }
        if (transform.translation.x - ship.translation.x).abs() < 1.5 {
            let body_value = EntityValue(entity);
            commands.trigger(Collision { entity: rules.1.0, kind: body.kind.clone(), body: body_value });
        } else {
            commands.entity(rules.0).call("on_ground", (&body.kind, EntityValue(entity)));
        }
    }
}

fn publish(
    bodies: Query<(&Body, &Transform), Without<Ship>>,
    ship: Single<(Entity, &Transform), With<Ship>>,
    mut commands: Commands,
) {
    let seen = |(body, at): (&Body, &Transform)| Seen {
        kind: body.kind.clone(),
        x: at.translation.x,
        y: at.translation.y,
    };
    let sky: Vec<Seen> = bodies.iter().map(seen).filter(|body| body.y > 0.0).collect();
    commands.entity(ship.0).publish("ship", ship.1.translation.x).publish("sky", sky);
}

fn draw(
    bodies: Query<(&Body, &Transform), Without<Ship>>,
    ship: Single<&Transform, With<Ship>>,
    hud: Res<Hud>,
    time: Res<Time>,
    mut next: Local<f32>,
) {
    if time.elapsed_secs() < *next {
        return;
    }
    *next = time.elapsed_secs() + 0.1;
    let mut rows = vec![vec![' '; WIDTH as usize + 1]; HEIGHT as usize + 1];
    for (body, at) in &bodies {
        let sign = match &*body.kind {
            "rock" => '#',
            "star" => '*',
            _ => 'o',
        };
        rows[at.translation.y.max(0.0) as usize][at.translation.x as usize] = sign;
    }
    rows[0][ship.translation.x as usize] = 'A';
    let field: Vec<String> = rows.iter().rev().map(|row| row.iter().collect()).collect();
    println!("\x1b[2J\x1b[H{}\n{}", hud.0, field.join("\n"));
}

/// With Bevy's feature `file_watcher` the asset server sees by itself that a file has changed.
fn reload(
    assets: Res<AssetServer>,
    mut last: Local<Option<SystemTime>>,
    time: Res<Time>,
    mut next: Local<f32>,
) {
    if time.elapsed_secs() < *next {
        return;
    }
    *next = time.elapsed_secs() + 0.5;
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".into());
    let file = std::path::Path::new(&root).join("assets").join(RULES);
    let modified = std::fs::metadata(file).and_then(|file| file.modified()).ok();
    if last.is_some() && *last != modified {
        assets.reload(RULES);
    }
    *last = modified;
}
