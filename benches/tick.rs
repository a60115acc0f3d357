//! A tick of endless loops, quantum 2, against two baselines in the same run:
//!
//! - `mlua`: one state, `mlua::Thread::resume`, an interrupt closure that yields;
//! - `bare`: one state, raw `lua_resume` in a loop, a raw interrupt that breaks, no prefetching.
//!
//! `parked` is the run phase of processes whose loops are in a metamethod.
//!
//! The threads of both have a function and globals of their own, as processes have.
//!
//! ```text
//! cargo bench --bench tick
//! ```
#![expect(unsafe_code, reason = "the bare baseline is the raw interface")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "what is measured against is raw on purpose")]

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::Metrics;
use bevy_luau_os::prelude::*;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mlua::ffi::{self, lua_State};
use mlua::{Lua, Thread, VmState};

const SPIN: &str = "while true do end";
/// The same where Luau cannot break the thread: the C stack is parked after each slice.
const PARKED: &str = "local _ = setmetatable({}, { __index = function() while true do end end }).x";
/// The most processes that are measured parked: all of them can be.
const MAX_PARKED: u32 = 10_000;
const QUANTUM: u32 = 2;

/// The time of `count` rounds of `round`, as far as `measure` counts it.
fn rounds(count: u64, mut round: impl FnMut() -> Duration) -> Duration {
    (0..count).map(|_| round()).sum()
}

fn timed(f: impl FnOnce()) -> Duration {
    let began = Instant::now();
    f();
    began.elapsed()
}

fn app(source: &str, processes: u32, workers: usize) -> App {
    let mut app = App::new();
    app.add_plugins((
        MinimalPlugins,
        LuauOsPlugin {
            quantum: QUANTUM,
            budget: TickBudget::Unlimited,
            workers: NonZeroUsize::new(workers),
            ..default()
        },
    ))
    .insert_resource(TimeUpdateStrategy::FixedTimesteps(1));
    let script = Script::new("spin", source);
    let vms: Vec<Entity> = app.world_mut().spawn_batch((0..processes / 2).map(|_| Vm::new())).collect();
    let bundles = vms.into_iter().flat_map(|vm| [vm, vm]);
    let bundles = bundles.map(move |vm| (Process::new(script.clone()), ProcessOf(vm)));
    app.world_mut().spawn_batch(bundles);
    app.update();
    app.update();
    assert_eq!(app.world().resource::<Metrics>().last_tick_resumes, u64::from(processes));
    app
}

/// The wall time of the next tick's Run phase.
fn run_phase(app: &mut App) -> Duration {
    let run_time = |app: &App| app.world().resource::<Metrics>().run_time;
    let before = run_time(app);
    app.update();
    run_time(app) - before
}

fn mlua_threads(processes: u32) -> (Lua, Vec<Thread>) {
    let lua = Lua::new();
    lua.sandbox(true).expect("sandbox");
    let safepoints = AtomicU64::new(0);
    lua.set_interrupt(move |_| {
        let count = safepoints.fetch_add(1, Ordering::Relaxed);
        let passed = count % (u64::from(QUANTUM) + 1);
        Ok(if passed == u64::from(QUANTUM) { VmState::Yield } else { VmState::Continue })
    });
    let threads = threads(&lua, processes);
    (lua, threads)
}

fn threads(lua: &Lua, processes: u32) -> Vec<Thread> {
    let main = lua.load(SPIN).into_function().expect("compiles");
    let metatable = lua.create_table().expect("memory");
    metatable.set("__index", lua.globals()).expect("a new table");
    let own_globals = || {
        let globals = lua.create_table()?;
        globals.set_metatable(Some(metatable.clone()))?;
        let main = main.deep_clone()?;
        main.set_environment(globals)?;
        lua.create_thread(main)
    };
    (0..processes).map(|_| own_globals().expect("thread")).collect()
}

/// One state whose interrupt breaks the thread when it has passed as many safepoints as our slices pass; the one
/// at which it breaks comes again.
fn bare_threads(processes: u32) -> (Lua, Vec<Thread>) {
    static SAFEPOINTS: AtomicU64 = AtomicU64::new(0);
    unsafe extern "C-unwind" fn interrupt(thread: *mut lua_State, gc: i32) {
        let count = SAFEPOINTS.load(Ordering::Relaxed) + 1;
        SAFEPOINTS.store(count, Ordering::Relaxed);
        if gc < 0 && count.is_multiple_of(u64::from(QUANTUM) + 1) {
            // SAFETY: Luau passes the running thread, and a loop of the main chunk can be broken.
            unsafe { ffi::lua_break(thread) };
        }
    }
    let lua = Lua::new();
    let threads = threads(&lua, processes);
    // SAFETY: the main state outlives the call; mlua sets no interrupt of its own here.
    unsafe {
        lua.exec_raw::<()>((), |state| (*ffi::lua_callbacks(state)).interrupt = Some(interrupt))
            .expect("nothing is thrown");
    }
    (lua, threads)
}

fn bare_pass(lua: &Lua, threads: &[Thread]) {
    // SAFETY: the threads are suspended or broken and belong to this state, which is locked meanwhile.
    unsafe {
        lua.exec_raw::<()>((), |state| {
            for thread in threads {
                black_box(ffi::lua_resume_(thread.state(), state, 0));
            }
        })
        .expect("nothing is thrown");
    }
}

fn tick(criterion: &mut Criterion) {
    for processes in [1_000, 10_000, 100_000, 800_000] {
        let mut group = criterion.benchmark_group("tick");
        group.throughput(Throughput::Elements(u64::from(processes)));
        group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
        {
            let (_lua, threads) = mlua_threads(processes);
            group.bench_with_input(BenchmarkId::new("mlua", processes), &threads, |bencher, threads| {
                bencher.iter(|| threads.iter().for_each(|thread| thread.resume(()).expect("no error")));
            });
        }
        {
            let (lua, threads) = bare_threads(processes);
            group.bench_with_input(BenchmarkId::new("bare", processes), &threads, |bencher, threads| {
                bencher.iter_custom(|count| rounds(count, || timed(|| bare_pass(&lua, threads))));
            });
        }
        if processes <= MAX_PARKED {
            let mut app = app(PARKED, processes, 1);
            group.bench_function(BenchmarkId::new("run phase, parked, 1 worker", processes), |bencher| {
                bencher.iter_custom(|count| rounds(count, || run_phase(&mut app)));
            });
        }
        for workers in [1, 2] {
            let mut app = app(SPIN, processes, workers);
            group.bench_function(
                BenchmarkId::new(format!("run phase, {workers} workers"), processes),
                |bencher| {
                    bencher.iter_custom(|count| rounds(count, || run_phase(&mut app)));
                },
            );
            group.bench_function(
                BenchmarkId::new(format!("app update, {workers} workers"), processes),
                |bencher| {
                    bencher.iter_custom(|count| rounds(count, || timed(|| app.update())));
                },
            );
        }
        group.finish();
    }
}

criterion_group!(benches, tick);
criterion_main!(benches);
