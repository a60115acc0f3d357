//! What waiting and crossing the border cost, each against a baseline in the same run:
//!
//! - `sleepers`: a tick of 800,000 processes that wait while none is due;
//! - `wake`: a process that waits in each tick against one that spins (a plain slice);
//! - `host function`: a call of one against a call of a bare C function made by mlua's `create_c_function`;
//! - `syscall`: a process that makes a call in each tick against one that spins;
//! - `call`: a function that the game calls in each tick, by `call` and by `call_all`, against one that the script calls by
//!   itself in the same slice. `no callbacks` is a `call_all` of 100,000 processes that do not export the function.
//!
//! ```text
//! cargo bench --bench border
//! ```
#![expect(unsafe_code, reason = "the bare baseline is the raw interface")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "what is measured against is raw on purpose")]

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::Metrics;
use bevy_luau_os::prelude::*;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mlua::Lua;
use mlua::ffi::{self, lua_State};

const PROCESSES: u32 = 100_000;

fn app(processes: u32, script: &str, workers: usize) -> App {
    let mut app = App::new();
    app.add_plugins((
        MinimalPlugins,
        LuauOsPlugin {
            quantum: 1000,
            budget: TickBudget::Unlimited,
            workers: NonZeroUsize::new(workers),
            ..default()
        },
    ))
    .insert_resource(TimeUpdateStrategy::FixedTimesteps(1))
    .add_host_function("add", |a: f64, b: f64| Ok::<_, String>(a + b))
    .add_syscall("call", |In(calls): In<Vec<Syscall<(f64,), f64>>>| {
        for call in calls {
            let next = call.args.0 + 1.0;
            call.reply(next);
        }
    });
    let script = Script::new("script", script);
    let vms: Vec<Entity> = app.world_mut().spawn_batch((0..processes / 2).map(|_| Vm::new())).collect();
    let bundles = vms.into_iter().flat_map(|vm| [vm, vm]);
    let bundles = bundles.map(move |vm| (Process::new(script.clone()), ProcessOf(vm)));
    app.world_mut().spawn_batch(bundles);
    for _ in 0..4 {
        app.update();
    }
    app
}

fn timed(f: impl FnOnce()) -> Duration {
    let began = Instant::now();
    f();
    began.elapsed()
}

fn updates(app: &mut App, count: u64) -> Duration {
    (0..count).map(|_| timed(|| app.update())).sum()
}

/// What the systems of `count` ticks take, without the rest of the frame.
fn tick_times(app: &mut App, count: u64) -> Duration {
    let tick = |_| {
        app.update();
        app.world().resource::<Metrics>().last_tick_time
    };
    (0..count).map(tick).sum()
}

fn ticks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("border");
    group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    {
        let mut app = app(800_000, "task.wait(1e6)", 2);
        group.bench_function(BenchmarkId::new("tick of sleepers, none due", 800_000), |bencher| {
            bencher.iter_custom(|count| tick_times(&mut app, count));
        });
    }
    {
        let mut app = app(2, "task.wait(1e6)", 2);
        group.bench_function(BenchmarkId::new("tick of sleepers, none due", 2), |bencher| {
            bencher.iter_custom(|count| tick_times(&mut app, count));
        });
    }
    group.throughput(Throughput::Elements(u64::from(PROCESSES)));
    for (name, script) in [
        // As many safepoints as the others: the call, and the end of the loop.
        ("plain slice", "local f = function() end while true do f() coroutine.yield() end"),
        ("wake", "while true do task.wait() end"),
        ("syscall", "local n = 0 while true do n = call(n) end"),
    ] {
        let mut app = app(PROCESSES, script, 1);
        group.bench_function(BenchmarkId::new(name, PROCESSES), |bencher| {
            bencher.iter_custom(|count| updates(&mut app, count));
        });
    }
    group.finish();
}

/// How the game calls a function of scripts.
type CallScripts = fn(&mut App, &[Entity]);

fn calls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call");
    group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(u64::from(PROCESSES)));
    let exports = "local n = 0 host.export('f', function(x) n += x return n end)";
    let cases: [(&str, &str, CallScripts); 4] = [
        (
            "plain slice",
            "local n = 0 local f = function(x) n += x return n end while true do f(1) coroutine.yield() end",
            |_, _| {},
        ),
        ("call", exports, |app, processes| {
            let mut commands = app.world_mut().commands();
            processes.iter().for_each(|&process| _ = commands.entity(process).call("f", 1));
        }),
        ("call_all", exports, |app, _| app.world_mut().commands().call_all("f", 1)),
        ("no callbacks", "task.wait(1e6)", |app, _| app.world_mut().commands().call_all("f", 1)),
    ];
    for (name, script, call) in cases {
        let mut app = app(PROCESSES, script, 1);
        let processes: Vec<Entity> =
            app.world_mut().query_filtered::<Entity, With<Process>>().iter(app.world()).collect();
        let mut tick = |_| {
            timed(|| {
                call(&mut app, &processes);
                app.update();
            })
        };
        (0..4).for_each(|_| _ = tick(()));
        group.bench_function(BenchmarkId::new(name, PROCESSES), |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| tick(())).sum());
        });
    }
    group.finish();
}

/// What `add` does, as a bare C function.
unsafe extern "C-unwind" fn bare_add(state: *mut lua_State) -> i32 {
    // SAFETY: the arguments are checked by the calls that read them; one result is pushed.
    unsafe {
        let sum = ffi::luaL_checknumber(state, 1) + ffi::luaL_checknumber(state, 2);
        ffi::lua_pushnumber(state, sum);
    }
    1
}

/// Time of a million calls, as the process itself ran them.
const CALLS: u32 = 1_000_000;
const LOOP: &str =
    "local add, count = add, 1000000 local sum = 0 for i = 1, count do sum = add(sum, i) end return sum";

fn host_functions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("host function");
    group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(u64::from(CALLS)));
    {
        let lua = Lua::new();
        // SAFETY: it keeps to what a C function may do.
        let add = unsafe { lua.create_c_function(bare_add) }.expect("a function");
        lua.globals().set("add", add).expect("set");
        lua.sandbox(true).expect("sandbox");
        let main = lua.load(LOOP).into_function().expect("compiles");
        group.bench_function("bare C function", |bencher| {
            bencher.iter(|| main.call::<f64>(()).expect("no error"));
        });
    }
    {
        let mut app = app(2, "task.wait(1e6)", 1);
        app.world_mut().resource_mut::<LuauRuntime>().set_quantum(u32::MAX);
        let vm = app.world_mut().spawn(Vm::persistent()).id();
        let script = Script::new("loop", LOOP);
        group.bench_function("add_host_function", |bencher| {
            bencher.iter_custom(|count| {
                (0..count)
                    .map(|_| {
                        let process = (Process::new(script.clone()), ProcessOf(vm));
                        let process = app.world_mut().spawn(process).id();
                        let time = timed(|| app.update());
                        assert!(app.world().get_entity(process).is_err(), "it ran to its end");
                        time
                    })
                    .sum()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ticks, calls, host_functions);
criterion_main!(benches);
