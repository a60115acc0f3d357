//! A headless app on manual time: each `update` is one tick.

use std::num::NonZeroUsize;

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::prelude::*;

/// Everything that ended, in order.
#[derive(Resource, Default)]
pub struct Ended {
    pub processes: Vec<ProcessExited>,
    pub vms: Vec<VmExited>,
}

/// A plugin whose ticks depend neither on the machine's speed nor on its number of processors.
pub fn plugin() -> LuauOsPlugin {
    LuauOsPlugin { budget: TickBudget::Unlimited, workers: NonZeroUsize::new(2), ..default() }
}

/// An app that records what ends.
pub fn app_with(plugin: LuauOsPlugin) -> App {
    let mut app = App::new();
    app.add_plugins(MinimalPlugins);
    configure(&mut app, plugin);
    app
}

/// Makes an app one that records what ends.
pub fn configure(app: &mut App, plugin: LuauOsPlugin) {
    app.add_plugins(plugin)
        .insert_resource(TimeUpdateStrategy::FixedTimesteps(1))
        .init_resource::<Ended>()
        .add_observer(|exit: On<ProcessExited>, mut ended: ResMut<Ended>| {
            ended.processes.push(exit.event().clone());
        })
        .add_observer(|finished: On<VmExited>, mut ended: ResMut<Ended>| {
            ended.vms.push(finished.event().clone());
        });
}

/// Spawns a VM.
pub fn vm(app: &mut App) -> Entity {
    app.world_mut().spawn(Vm::new()).id()
}

/// Spawns a process from source text.
pub fn process(app: &mut App, vm: Entity, source: &str) -> Entity {
    let script = Script::new("test", source);
    app.world_mut().spawn((Process::new(script), ProcessOf(vm))).id()
}

pub fn ended(app: &App) -> &Ended {
    app.world().resource::<Ended>()
}

/// How a process ended, if it has.
pub fn exit(app: &App, process: Entity) -> Option<&ProcessExited> {
    ended(app).processes.iter().find(|exit| exit.entity == process)
}

pub fn exists(app: &App, entity: Entity) -> bool {
    app.world().get_entity(entity).is_ok()
}
