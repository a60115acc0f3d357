//! Programs that compute, under the plugin with its default quantum, against a plain Luau state that runs them without
//! interruption, in the same run and in processor time, ticks included.
//!
//! `one` is a program alone, `hundred` are as many at the same time. At the end the ratios are printed: plain time by
//! ours, so that 1.0 is as fast.
//!
//! ```text
//! cargo bench --bench programs
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::prelude::*;
use cpu_time::ThreadTime;
use criterion::{Criterion, criterion_group, criterion_main};
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
        let (_lua, function) = plain(program);
        group.bench_function("plain", |bencher| {
            bencher.iter_custom(|count| {
                measured(name, "plain", count, || {
                    let began = ThreadTime::now();
                    function.call::<f64>(()).expect("it ends");
                    began.elapsed()
                })
            });
        });
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
        println!("{:12} {:>9} {:>9}", "plain / ours", "one", "hundred");
        let mut logarithms = [0.0; 2];
        for (name, _) in PROGRAMS {
            let ratio = |how| Some(time(name, "plain")? / time(name, how)?);
            let (Some(one), Some(hundred)) = (ratio("one"), ratio("hundred")) else { continue };
            println!("{name:12} {one:9.3} {hundred:9.3}");
            logarithms = [logarithms[0] + one.ln(), logarithms[1] + hundred.ln()];
        }
        let [one, hundred] = logarithms.map(|sum: f64| (sum / PROGRAMS.len() as f64).exp());
        println!("{:12} {one:9.3} {hundred:9.3}", "mean");
    });
}

criterion_group!(benches, programs);
criterion_main!(benches);
