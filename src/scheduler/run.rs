//! Run: every runnable process gets a slice, isolates in parallel.

use std::time::{Duration, Instant};

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::Tick;
use super::budget::Phase;
use super::collect::collect_overdue;
use super::parallel::{MAX_BATCH, SharedStats, for_each, rows};
use crate::isolate::Isolate;
use crate::runtime::LuauRuntime;
use crate::types::Metrics;
use crate::types::TickBudget;

/// A longer quantum gains nothing by rows of isolates with many turns, and loses where the busy ones cannot be shared out.
const SHORT_QUANTUM: u32 = 64;

pub(crate) fn run(
    _main_thread: NonSendMarker,
    mut runtime: ResMut<LuauRuntime>,
    mut metrics: ResMut<Metrics>,
    mut tick: ResMut<Tick>,
) {
    let runtime = &mut *runtime;
    if runtime.budget() == TickBudget::Unlimited {
        collect_overdue(runtime, &mut metrics);
    }
    let timer = tick.begin_phase(Phase::Run);
    let deadline = timer.deadline;
    let (tick_number, now, workers) = (metrics.ticks as u32, runtime.now, runtime.workers());
    let pass_is_over = !runtime.isolates.busy().any(Isolate::has_turns_left);
    let longest_batch = if runtime.quantum() <= SHORT_QUANTUM { MAX_BATCH } else { 1 };
    let (mut large, mut small, mut unfinished) = (Vec::new(), Vec::new(), 0);
    for (_, isolate) in runtime.isolates.busy_mut() {
        if pass_is_over {
            isolate.begin_pass();
        }
        isolate.skip_if_overdue();
        isolate.enqueue_started();
        unfinished += u64::from(isolate.has_turns_left());
        if isolate.can_run() {
            let isolates = if isolate.has_few_turns() { &mut small } else { &mut large };
            isolates.push(isolate);
        }
    }
    let stats = SharedStats::default();
    let pass = Pass { tick: tick_number, now, deadline, stats: &stats };
    let large = rows(&mut large, workers, longest_batch).map(Row::Large);
    let small = rows(&mut small, workers, MAX_BATCH).map(Row::Small);
    for_each(large.chain(small), workers, deadline, |row| pass.run(row));
    metrics.run_time += tick.end_phase(timer);
    let stats = stats.total();
    metrics.add(&stats);
    let ran = metrics.last_tick_resumes > 0;
    metrics.passes += u64::from(stats.isolate_passes == unfinished && unfinished > 0 && ran);
}

/// Isolates that one worker runs.
enum Row<'a, 'h> {
    Large(&'a mut [&'h mut Isolate]),
    /// Of isolates that [have few turns](Isolate::has_few_turns).
    Small(&'a mut [&'h mut Isolate]),
}

/// What rows need to run.
struct Pass<'a> {
    tick: u32,
    now: Duration,
    deadline: Option<Instant>,
    stats: &'a SharedStats,
}

impl Pass<'_> {
    /// Runs isolates until the deadline, the first in any case.
    fn run(&self, row: Row) {
        match row {
            Row::Large(isolates) => {
                let mut is_prefetched = false;
                for i in 0..isolates.len() {
                    if i > 0 && self.is_over() {
                        return;
                    }
                    let (begun, later) = isolates.split_at_mut(i + 1);
                    is_prefetched = begun[i].prefetch_ahead(is_prefetched, later);
                    self.run_heap(begun[i], later.first().map(|next| &**next));
                }
            }
            Row::Small(isolates) => {
                Isolate::prefetch_batch(isolates);
                for (i, isolate) in isolates.iter_mut().enumerate() {
                    if i > 0 && self.is_over() {
                        return;
                    }
                    self.run_heap(isolate, None);
                }
            }
        }
    }

    fn run_heap(&self, isolate: &mut Isolate, next: Option<&Isolate>) {
        isolate.run(self.tick, self.now, self.deadline, next);
        self.stats.take_from(isolate);
    }

    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}
