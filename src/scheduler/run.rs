//! Run: every runnable process gets a slice, isolates in parallel.

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::budget::Phase;
use super::collect::collect_overdue;
use super::parallel::{MAX_BATCH, SharedStats, batches, for_each};
use super::tick::Tick;
use crate::isolate::{Isolate, TickTime};
use crate::runtime::LuauRuntime;
use crate::types::Metrics;
use crate::types::TickBudget;

/// With a longer quantum, batches of isolates with many turns gain nothing, and lose where busy ones cannot be shared
/// out.
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
    let time = TickTime { number: metrics.ticks as u32, now: runtime.now, deadline };
    let workers = runtime.workers();
    let pass_is_over = !runtime.isolates.busy().any(Isolate::has_turns_left);
    let max_batch = if runtime.quantum() <= SHORT_QUANTUM { MAX_BATCH } else { 1 };
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
    let large = batches(&mut large, workers, max_batch).map(Batch::Large);
    let small = batches(&mut small, workers, MAX_BATCH).map(Batch::Small);
    for_each(large.chain(small), workers, deadline, |batch| batch.run(time, &stats));
    metrics.run_time += tick.end_phase(timer);
    let stats = stats.total();
    metrics.add(&stats);
    let ran = metrics.last_tick_resumes > 0;
    metrics.passes += u64::from(stats.isolate_passes == unfinished && unfinished > 0 && ran);
}

/// Isolates that one worker runs.
enum Batch<'a, 'i> {
    Large(&'a mut [&'i mut Isolate]),
    /// Of isolates that [have few turns](Isolate::has_few_turns).
    Small(&'a mut [&'i mut Isolate]),
}

impl Batch<'_, '_> {
    /// Runs isolates until the deadline, the first in any case.
    fn run(self, time: TickTime, stats: &SharedStats) {
        let run = |isolate: &mut Isolate, next: Option<&Isolate>| {
            isolate.run(time, next);
            stats.take_from(isolate);
        };
        match self {
            Self::Large(isolates) => {
                let mut is_prefetched = false;
                for i in 0..isolates.len() {
                    if i > 0 && time.deadline.has_passed() {
                        return;
                    }
                    let (begun, later) = isolates.split_at_mut(i + 1);
                    is_prefetched = begun[i].prefetch_ahead(is_prefetched, later);
                    run(begun[i], later.first().map(|next| &**next));
                }
            }
            Self::Small(isolates) => {
                Isolate::prefetch_batch(isolates);
                for (i, isolate) in isolates.iter_mut().enumerate() {
                    if i > 0 && time.deadline.has_passed() {
                        return;
                    }
                    run(isolate, None);
                }
            }
        }
    }
}
