//! A headless app on manual time: each `update` is one tick.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::prelude::*;

/// Everything that ended, in order.
#[derive(Resource, Default)]
pub struct Ended {
    pub processes: Vec<ProcessExited>,
    pub vms: Vec<VmExited>,
}

/// A plugin whose ticks do not depend on the machine's speed.
pub fn plugin() -> LuauOsPlugin {
    LuauOsPlugin { budget: TickBudget::Unlimited, ..default() }
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

/// [`app_with`] the usual [`plugin`].
pub fn app() -> App {
    app_with(plugin())
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

/// Runs `count` ticks.
pub fn ticks(app: &mut App, count: usize) {
    for _ in 0..count {
        app.update();
    }
}

/// Runs ticks until `count` processes have ended.
pub fn until_ended(app: &mut App, count: usize) -> &[ProcessExited] {
    for _ in 0..100_000 {
        if ended(app).processes.len() >= count {
            break;
        }
        app.update();
    }
    assert_eq!(ended(app).processes.len(), count, "processes ended");
    &ended(app).processes
}

/// Runs one script on a VM of its own to its end.
pub fn outcome(app: &mut App, source: &str) -> Outcome {
    let before = ended(app).processes.len();
    let vm = vm(app);
    process(app, vm, source);
    until_ended(app, before + 1)[before].outcome.clone()
}

pub fn ended(app: &App) -> &Ended {
    app.world().resource::<Ended>()
}

pub fn metrics(app: &App) -> &bevy_luau_os::Metrics {
    app.world().resource()
}

/// Where a process is in its life.
pub fn state(app: &App, process: Entity) -> ProcessState {
    let process = app.world().get::<Process>(process).expect("it exists");
    app.world().resource::<LuauRuntime>().process_info(process).expect("its end was not reported").state
}

pub fn exists(app: &App, entity: Entity) -> bool {
    app.world().get_entity(entity).is_ok()
}
