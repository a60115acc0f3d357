//! The world by reflection.

mod changes;
mod grants;
mod queries;
mod values;

use bevy::prelude::*;
use bevy_luau_os::EcsAccess;
use bevy_luau_os::prelude::*;

use crate::common;

#[derive(Component, Reflect, Default, Debug, PartialEq, Clone)]
#[reflect(Component, Default)]
struct Health {
    current: f32,
    max: u8,
    history: Vec<i32>,
}

#[derive(Component, Reflect, Default, Clone)]
#[reflect(Component, Default)]
struct Enemy;

#[derive(Component, Reflect, Debug)]
#[reflect(Component)]
#[component(immutable)]
struct Badge(u32);

#[derive(Resource, Reflect, Default, Debug, PartialEq)]
#[reflect(Resource)]
struct Weather {
    rain: f32,
}

/// An app with some types, of which scripts may read and write all, of the entities that `access` grants.
fn app() -> App {
    let mut app = common::app();
    app.register_type::<Transform>()
        .register_type::<Health>()
        .register_type::<Enemy>()
        .register_type::<Badge>()
        .register_type::<Weather>()
        .register_type::<Name>()
        .insert_resource(Weather { rain: 0.5 });
    app
}

fn all_types() -> EcsAccess {
    EcsAccess::new()
        .write::<Transform>()
        .write::<Health>()
        .write::<Enemy>()
        .write::<Badge>()
        .write::<Weather>()
        .read::<Name>()
}

fn vm(app: &mut App, access: EcsAccess) -> Entity {
    app.world_mut().spawn((Vm::persistent(), access)).id()
}

/// What a script returns on a VM: one text.
#[track_caller]
fn run(app: &mut App, vm: Entity, source: &str) -> String {
    let process = common::process(app, vm, source);
    for _ in 0..1_000 {
        app.update();
        if let Some(exit) = common::exit(app, process) {
            return match &exit.outcome {
                Outcome::Finished(values) => {
                    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
                }
                Outcome::Failed(error) => error.message.to_string(),
                Outcome::Killed(reason) => reason.to_string(),
                other => panic!("{other:?}"),
            };
        }
    }
    panic!("it does not end: {source}");
}
