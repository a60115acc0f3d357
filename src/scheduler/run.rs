//! Run: every runnable process gets a slice, isolates in parallel, again and again while there is time.
//!
//! Further slices of a tick are for those that compute. Nothing is delivered between them: whoever waits, or yields, goes
//! on in the next tick.

use std::time::{Duration, Instant};

#[cfg(not(feature = "ecs"))]
use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::budget::Phase;
use super::collect::collect_overdue;
use super::parallel::{MAX_BATCH, SharedStats, batches, for_each};
use super::tick::Tick;
use crate::isolate::{Isolate, TickTime};
use crate::luau::world::WorldRef;
use crate::runtime::LuauRuntime;
use crate::types::{Deadline, Metrics, TickBudget};

/// With a longer quantum, batches of isolates with many turns gain nothing, and lose where busy ones cannot be shared
/// out.
const SHORT_QUANTUM: u32 = 64;

/// Where a round takes less, several passes over each isolate are made in the next one: to share isolates out takes time.
const MIN_ROUND: Duration = Duration::from_micros(250);

#[cfg(not(feature = "ecs"))]
pub(crate) fn run(
    _main_thread: NonSendMarker,
    mut runtime: ResMut<LuauRuntime>,
    mut metrics: ResMut<Metrics>,
    mut tick: ResMut<Tick>,
) {
    run_with(&mut runtime, &mut metrics, &mut tick, WorldRef::default());
}

/// Runs slices, while scripts may look at the world.
pub(crate) fn run_with(
    runtime: &mut LuauRuntime,
    metrics: &mut Metrics,
    tick: &mut Tick,
    world: WorldRef<'_>,
) {
    let is_unlimited = runtime.budget() == TickBudget::Unlimited;
    if is_unlimited {
        collect_overdue(runtime, metrics);
    }
    let timer = tick.begin_phase(Phase::Run);
    let deadline = timer.deadline;
    let mut time = TickTime { number: metrics.ticks as u32, now: runtime.now, deadline, passes: 1, world };
    for rounds in 1.. {
        let began = Instant::now();
        let round = run_round(runtime, metrics, time, rounds == 1);
        let is_enough = if is_unlimited {
            rounds >= runtime.passes_per_tick()
        } else {
            // What the rest of a round took says nothing of a whole one.
            time.passes = if round.began { passes_of_next_round(began, time.passes, deadline) } else { 1 };
            !round.is_whole || deadline.has_passed()
        };
        if is_enough || round.resumes == 0 {
            break;
        }
    }
    metrics.run_time += tick.end_phase(timer);
}

/// What a round over the isolates has done.
struct Round {
    /// Whether it began with this, and was not the rest of the last one.
    began: bool,
    /// Whether everybody who could run had a slice.
    is_whole: bool,
    resumes: u64,
}

/// Every runnable process gets a slice, or several if nobody else waits for one. If the last round was not finished, its
/// rest is.
fn run_round(runtime: &mut LuauRuntime, metrics: &mut Metrics, time: TickTime<'_>, is_first: bool) -> Round {
    let workers = runtime.workers();
    let pass_is_over = !runtime.isolates.busy().any(Isolate::has_turns_left);
    let max_batch = if runtime.quantum() <= SHORT_QUANTUM { MAX_BATCH } else { 1 };
    let (mut large, mut small, mut unfinished) = (Vec::new(), Vec::new(), 0);
    for (_, isolate) in runtime.isolates.busy_mut() {
        if pass_is_over {
            isolate.begin_pass();
        }
        isolate.skip_if_overdue();
        if is_first {
            isolate.enqueue_started();
        }
        unfinished += u64::from(isolate.has_turns_left());
        if isolate.can_run() {
            let isolates = if isolate.has_few_turns() { &mut small } else { &mut large };
            isolates.push(isolate);
        }
    }
    // What is left of a round is one pass.
    let passes = if pass_is_over { time.passes } else { 1 };
    let time = TickTime { passes, ..time };
    let stats = SharedStats::default();
    let large = batches(&mut large, workers, max_batch).map(Batch::Large);
    let small = batches(&mut small, workers, MAX_BATCH).map(Batch::Small);
    for_each(large.chain(small), workers, time.deadline, |batch| batch.run(time, &stats));
    let stats = stats.total();
    metrics.add(&stats);
    let is_whole = stats.isolate_passes == unfinished;
    if is_whole && unfinished > 0 && metrics.last_tick_resumes > 0 {
        metrics.passes += 1 + stats.further_passes / unfinished;
    }
    Round { began: pass_is_over, is_whole, resumes: stats.resumes }
}

/// How many passes the next round has, when the last one had so many and has taken the time since it began.
fn passes_of_next_round(began: Instant, passes: u32, deadline: Deadline) -> u32 {
    let now = Instant::now();
    let pass = ((now - began) / passes).max(Duration::from_nanos(100));
    // So that the deadline does not find a round half done which others have had.
    let time = MIN_ROUND.min(deadline.left(now) / 2);
    u32::try_from(time.as_nanos() / pass.as_nanos()).unwrap_or(u32::MAX).max(1)
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
