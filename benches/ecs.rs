//! What scripts pay for the world, each against a baseline in the same run:
//!
//! - `transform`: 100,000 scripts that read and write their own `Transform` in each tick, against as many that only wait for
//!   the next tick, and as many that only read;
//! - `query`: one script that reads a column of 1,000 entities, against one that goes through an array of its own.
//!
//! ```text
//! cargo bench --bench ecs --features ecs
//! ```

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{EcsAccess, Metrics};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SCRIPTS: u32 = 100_000;

const ENTITIES: u32 = 1_000;

fn app(workers: usize) -> App {
    let mut app = App::new();
    let plugin =
        LuauOsPlugin { budget: TickBudget::Unlimited, workers: NonZeroUsize::new(workers), ..default() };
    app.add_plugins((MinimalPlugins, plugin))
        .insert_resource(TimeUpdateStrategy::FixedTimesteps(1))
        .register_type::<Transform>();
    app
}

fn spawn(app: &mut App, count: u32, access: &EcsAccess, source: &str) {
    let script = Script::new("script", source);
    let bundles = (0..count).map(|_| (Vm::new(), Transform::default(), access.clone()));
    let vms: Vec<Entity> = app.world_mut().spawn_batch(bundles.collect::<Vec<_>>()).collect();
    app.world_mut().spawn_batch(vms.into_iter().map(move |vm| (Process::new(script.clone()), ProcessOf(vm))));
    for _ in 0..4 {
        app.update();
    }
}

/// What the systems of `count` ticks take, without the rest of the frame.
fn tick_times(app: &mut App, count: u64) -> Duration {
    let tick = |_| {
        app.update();
        app.world().resource::<Metrics>().last_tick_time
    };
    (0..count).map(tick).sum()
}

fn transform(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transform");
    group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(SCRIPTS.into()));
    let access = EcsAccess::new().write::<Transform>().own();
    for workers in [1, 2] {
        for (name, script) in [
            ("waits", "while true do task.wait() end"),
            (
                "reads",
                "local me = ecs.own() while true do ecs.get(me, 'Transform.translation') task.wait() end",
            ),
            (
                "reads and writes",
                "local me, step = ecs.own(), vector.create(1, 0, 0)
                while true do
                    ecs.set(me, 'Transform.translation', ecs.get(me, 'Transform.translation') + step)
                    task.wait()
                end",
            ),
        ] {
            let mut app = app(workers);
            spawn(&mut app, SCRIPTS, &access, script);
            group.bench_function(BenchmarkId::new(name, format!("{workers} workers")), |bencher| {
                bencher.iter_custom(|count| tick_times(&mut app, count));
            });
        }
    }
    group.finish();
}

fn query(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("query");
    group.throughput(Throughput::Elements(ENTITIES.into()));
    let access = EcsAccess::new().write::<Transform>().all();
    for (name, script) in [
        ("an array of its own", "local positions = table.create(1000, vector.one)"),
        ("reads", "local entities, positions = ecs.query('Transform.translation')"),
        (
            "reads and writes",
            "local entities, positions = ecs.query('Transform.translation')
            ecs.set(entities, 'Transform.translation', positions)",
        ),
    ] {
        let script = format!(
            "while true do {script} local sum = 0 for _, position in positions do sum += position.x end task.wait() end"
        );
        let mut app = app(1);
        app.world_mut().spawn_batch((1..ENTITIES).map(|i| Transform::from_xyz(i as f32, 0.0, 0.0)));
        spawn(&mut app, 1, &access, &script);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                // Whatever a tick takes in any case is little beside this.
                let began = Instant::now();
                (0..count).for_each(|_| app.update());
                began.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, transform, query);
criterion_main!(benches);
