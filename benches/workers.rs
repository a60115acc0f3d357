//! A tick of 800,000 endless loops, quantum 2, by several workers against one.
//!
//! Both take turns, tick by tick, so that what else goes on in the machine meets them alike. And so does a plain
//! loop over memory, by as many threads: where that gains nothing, workers that wait for memory cannot either.
//!
//! ```text
//! cargo bench --bench workers
//! ```

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::Metrics;
use bevy_luau_os::prelude::*;
use hdrhistogram::Histogram;

const PROCESSES: u32 = 800_000;
const ROUNDS: usize = 200;

/// What the plain loop reads in one round: many times what caches hold.
const PLAIN_BYTES: usize = 256 << 20;

/// Workers, and what they have of a machine with two cores.
const WORKERS: [usize; 3] = [2, 4, 8];

fn main() {
    println!(
        "| workers | tick, median / fastest | times as fast as 1 worker | the same, Run phase | plain reading |"
    );
    println!("|---|---|---|---|---|");
    let words = vec![1_u64; PLAIN_BYTES / size_of::<u64>()];
    for workers in WORKERS {
        let mut one = Contestant::new(1);
        let mut several = Contestant::new(workers);
        for _ in 0..ROUNDS {
            one.round(&words);
            several.round(&words);
        }
        if workers == WORKERS[0] {
            one.print(&one);
        }
        several.print(&one);
    }
}

/// An app, and what its ticks took.
struct Contestant {
    workers: usize,
    app: App,
    ticks: Times,
    run_phases: Times,
    plain: Times,
}

impl Contestant {
    fn new(workers: usize) -> Self {
        let mut app = App::new();
        app.add_plugins((
            MinimalPlugins,
            LuauOsPlugin {
                quantum: 2,
                budget: TickBudget::Unlimited,
                workers: NonZeroUsize::new(workers),
                ..default()
            },
        ))
        .insert_resource(TimeUpdateStrategy::FixedTimesteps(1));
        let script = Script::new("spin", "while true do end");
        let vms: Vec<Entity> = app.world_mut().spawn_batch((0..PROCESSES / 2).map(|_| Vm::new())).collect();
        let bundles = vms.into_iter().flat_map(|vm| [vm, vm]);
        app.world_mut().spawn_batch(bundles.map(move |vm| (Process::new(script.clone()), ProcessOf(vm))));
        app.update();
        app.update();
        Self { workers, app, ticks: Times::default(), run_phases: Times::default(), plain: Times::default() }
    }

    fn round(&mut self, words: &[u64]) {
        let run_time = |app: &App| app.world().resource::<Metrics>().run_time;
        let before = run_time(&self.app);
        self.app.update();
        let metrics = self.app.world().resource::<Metrics>();
        assert_eq!(metrics.last_tick_resumes, u64::from(PROCESSES));
        self.ticks.add(metrics.last_tick_time);
        self.run_phases.add(run_time(&self.app) - before);
        let began = Instant::now();
        read(words, self.workers);
        self.plain.add(began.elapsed());
    }

    fn print(&self, one: &Self) {
        let [ticks, runs, plain] =
            [(&one.ticks, &self.ticks), (&one.run_phases, &self.run_phases), (&one.plain, &self.plain)]
                .map(|(one, times)| (one.median() / times.median(), one.fastest() / times.fastest()));
        println!(
            "| {} | {:.1} / {:.1} ms | {:.2} / {:.2} | {:.2} / {:.2} | {:.1} GB/s: {:.2} times |",
            self.workers,
            self.ticks.median() / 1e6,
            self.ticks.fastest() / 1e6,
            ticks.0,
            ticks.1,
            runs.0,
            runs.1,
            PLAIN_BYTES as f64 / self.plain.median(),
            plain.0,
        );
    }
}

/// Adds up what `threads` read, each a part.
fn read(words: &[u64], threads: usize) {
    std::thread::scope(|scope| {
        let (first, others) = {
            let mut parts = words.chunks(words.len().div_ceil(threads));
            (parts.next().unwrap_or_default(), parts)
        };
        for part in others {
            scope.spawn(|| black_box(part.iter().fold(0, |sum, word| sum ^ word)));
        }
        black_box(first.iter().fold(0, |sum, word| sum ^ word));
    });
}

/// How long rounds took, in nanoseconds.
struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new(3).expect("three digits are few"))
    }
}

impl Times {
    fn add(&mut self, time: Duration) {
        self.0.record(time.as_nanos() as u64).expect("it grows");
    }

    fn median(&self) -> f64 {
        self.0.value_at_quantile(0.5) as f64
    }

    fn fastest(&self) -> f64 {
        self.0.min() as f64
    }
}
