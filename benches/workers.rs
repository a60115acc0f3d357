//! A tick of 800,000 endless loops, quantum 2, by several workers against one.
//!
//! Both take turns, tick by tick, so that what else goes on in the machine meets them alike. On a busy one, the fastest
//! ticks say more than the median.
//!
//! ```text
//! cargo bench --bench workers
//! ```

use std::num::NonZeroUsize;
use std::time::Duration;

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::Metrics;
use bevy_luau_os::prelude::*;
use hdrhistogram::Histogram;

const PROCESSES: u32 = 800_000;
const ROUNDS: usize = 200;

/// Numbers of workers that compete with one. More than there are cores must not do harm.
const WORKERS: [usize; 3] = [2, 4, 8];

fn main() {
    println!("| workers | tick, median / fastest | times as fast as 1 worker | the same, Run phase |");
    println!("|---|---|---|---|");
    for workers in WORKERS {
        let mut one = Contestant::new(1);
        let mut several = Contestant::new(workers);
        for round in 0..ROUNDS {
            // In turn the first: what another has left in the caches favours nobody.
            let order = if round % 2 == 0 { [&mut one, &mut several] } else { [&mut several, &mut one] };
            for contestant in order {
                contestant.round();
            }
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
        Self { workers, app, ticks: Times::default(), run_phases: Times::default() }
    }

    fn round(&mut self) {
        let run_time = |app: &App| app.world().resource::<Metrics>().run_time;
        let before = run_time(&self.app);
        self.app.update();
        let metrics = self.app.world().resource::<Metrics>();
        assert_eq!(metrics.last_tick_resumes, u64::from(PROCESSES));
        self.ticks.add(metrics.last_tick_time);
        self.run_phases.add(run_time(&self.app) - before);
    }

    fn print(&self, one: &Self) {
        let [ticks, runs] = [(&one.ticks, &self.ticks), (&one.run_phases, &self.run_phases)]
            .map(|(one, times)| (one.median() / times.median(), one.fastest() / times.fastest()));
        println!(
            "| {} | {:.1} / {:.1} ms | {:.2} / {:.2} | {:.2} / {:.2} |",
            self.workers,
            self.ticks.median() / 1e6,
            self.ticks.fastest() / 1e6,
            ticks.0,
            ticks.1,
            runs.0,
            runs.1,
        );
    }
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
