//! Programs that compute, under the plugin with its default quantum, against a plain Luau state that runs them without
//! interruption, in the same run and in processor time, ticks included.
//!
//! `one` is a program alone, `hundred` are as many at the same time, and `empty` is the plain state with an interrupt that
//! does nothing: whatever counts safepoints costs at least that. At the end the ratios are printed: plain time by
//! theirs, so that 1.0 is as fast.
//!
//! ```text
//! cargo bench --bench programs
//! ```

#![expect(unsafe_code, reason = "only the raw interface has interrupts that cost nothing")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::num::NonZeroUsize;
use std::time::Duration;

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::prelude::*;
use cpu_time::ThreadTime;
use criterion::{Criterion, criterion_group, criterion_main};
use mlua::ffi::{self, lua_State};
use mlua::{Function, Lua};

const PROGRAMS: [(&str, &str); 10] = [
    ("numeric", include_str!("programs/numeric.luau")),
    ("strings", include_str!("programs/strings.luau")),
    ("tables", include_str!("programs/tables.luau")),
    ("closures", include_str!("programs/closures.luau")),
    ("coroutines", include_str!("programs/coroutines.luau")),
    ("sorting", include_str!("programs/sorting.luau")),
    ("parsing", include_str!("programs/parsing.luau")),
    ("simulation", include_str!("programs/simulation.luau")),
    ("metamethods", include_str!("programs/metamethods.luau")),
    ("buffers", include_str!("programs/buffers.luau")),
];

/// Rounds of a program: some 100 ms.
const ROUNDS: u32 = 800;

/// As many programs at the same time, each with so small a part of the rounds.
const MANY: u32 = 100;

thread_local! {
    /// Time of all runs of each benchmark and their number, to compare them.
    static TIMES: RefCell<BTreeMap<(&'static str, &'static str), (Duration, u64)>> = const { RefCell::new(BTreeMap::new()) };
}

fn source(program: &str, rounds: u32) -> String {
    format!("{program}\nreturn run({rounds})")
}

/// The function of a program on a state of its own that nothing interrupts, sandboxed as a process is.
fn plain(program: &str) -> (Lua, Function) {
    let lua = Lua::new();
    lua.sandbox(true).expect("it can be");
    let function = lua.load(source(program, ROUNDS)).into_function().expect("it compiles");
    (lua, function)
}

/// An interrupt that does nothing.
unsafe extern "C-unwind" fn empty_interrupt(_: *mut lua_State, _: c_int) {}

/// The same on a state that calls one at each safepoint.
fn interrupted(program: &str) -> (Lua, Function) {
    let (lua, function) = plain(program);
    let install = |state| {
        // SAFETY: mlua passes the main thread of a state.
        let callbacks = unsafe { ffi::lua_callbacks(state) };
        // SAFETY: they live as long as the state, and nobody has a reference to them.
        unsafe { (*callbacks).interrupt = Some(empty_interrupt) };
    };
    // SAFETY: it leaves the stack as it is.
    unsafe { lua.exec_raw::<()>((), install) }.expect("nothing is thrown");
    (lua, function)
}

/// Processor time of the ticks until `count` programs have ended.
fn ours(program: &str, count: u32) -> Duration {
    let mut app = App::new();
    app.add_plugins((MinimalPlugins, LuauOsPlugin { workers: NonZeroUsize::new(1), ..default() }))
        .insert_resource(TimeUpdateStrategy::FixedTimesteps(1));
    let script = Script::new("program", source(program, ROUNDS / count));
    script.compile().expect("it compiles");
    for _ in 0..count {
        let vm = app.world_mut().spawn(Vm::new()).id();
        app.world_mut().spawn((Process::new(script.clone()), ProcessOf(vm)));
    }
    app.update(); // the processes start
    let began = ThreadTime::now();
    while app.world().resource::<bevy_luau_os::Metrics>().processes() > 0 {
        app.update();
    }
    let failed = app.world().resource::<bevy_luau_os::Metrics>().processes_finished != u64::from(count);
    assert!(!failed, "all finish");
    began.elapsed()
}

fn measured(
    name: &'static str,
    how: &'static str,
    count: u64,
    mut run: impl FnMut() -> Duration,
) -> Duration {
    let time = (0..count).map(|_| run()).sum();
    TIMES.with_borrow_mut(|times| {
        let (all, runs) = times.entry((name, how)).or_default();
        *all += time;
        *runs += count;
    });
    time
}

fn programs(criterion: &mut Criterion) {
    for (name, program) in PROGRAMS {
        let mut group = criterion.benchmark_group(name);
        group
            .sample_size(10)
            .measurement_time(Duration::from_secs(2))
            .warm_up_time(Duration::from_millis(200));
        for (how, (_lua, function)) in [("plain", plain(program)), ("empty", interrupted(program))] {
            group.bench_function(how, |bencher| {
                bencher.iter_custom(|count| {
                    measured(name, how, count, || {
                        let began = ThreadTime::now();
                        function.call::<f64>(()).expect("it ends");
                        began.elapsed()
                    })
                });
            });
        }
        for (how, processes) in [("one", 1), ("hundred", MANY)] {
            group.bench_function(how, |bencher| {
                bencher.iter_custom(|count| measured(name, how, count, || ours(program, processes)));
            });
        }
        group.finish();
    }
    compare();
}

fn compare() {
    TIMES.with_borrow(|times| {
        let time = |name, how| times.get(&(name, how)).map(|&(time, runs)| time.as_secs_f64() / runs as f64);
        const HOW: [&str; 3] = ["empty", "one", "hundred"];
        println!("{:12} {:>9} {:>9} {:>9}", "plain / ours", HOW[0], HOW[1], HOW[2]);
        let mut logarithms = [0.0; 3];
        for (name, _) in PROGRAMS {
            let ratio = |how| Some(time(name, "plain")? / time(name, how)?);
            let [Some(empty), Some(one), Some(hundred)] = HOW.map(ratio) else { continue };
            println!("{name:12} {empty:9.3} {one:9.3} {hundred:9.3}");
            for (sum, ratio) in logarithms.iter_mut().zip([empty, one, hundred]) {
                *sum += f64::ln(ratio);
            }
        }
        let [empty, one, hundred] = logarithms.map(|sum: f64| (sum / PROGRAMS.len() as f64).exp());
        println!("{:12} {empty:9.3} {one:9.3} {hundred:9.3}", "mean");
    });
}

criterion_group!(benches, programs);
criterion_main!(benches);
