//! Run: every runnable process gets a slice, heaps in parallel.

use std::time::{Duration, Instant};

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::Tick;
use super::budget::Phase;
use super::parallel::{SharedStats, for_each, rows};
use crate::metrics::Metrics;
use crate::runtime::LuauRuntime;
use crate::runtime::heap::Heap;

/// A longer quantum gains nothing by rows of heaps with many turns, and loses where the busy ones cannot be shared out.
const SHORT_QUANTUM: u32 = 64;

/// Up to so many turns for each heap, rows are worth it with any quantum.
const FEW_TURNS: usize = 4;

pub(crate) fn run(
    _main_thread: NonSendMarker,
    mut runtime: ResMut<LuauRuntime>,
    mut metrics: ResMut<Metrics>,
    mut tick: ResMut<Tick>,
) {
    let runtime = &mut *runtime;
    let timer = tick.begin_phase(Phase::Run);
    let deadline = timer.deadline;
    let (tick_number, now, workers) = (metrics.ticks as u32, runtime.now, runtime.workers());
    let is_short = runtime.quantum() <= SHORT_QUANTUM;
    let last_is_over = runtime.heaps.busy().all(Heap::pass_is_over);
    let (mut heaps, mut turns, mut unfinished) = (Vec::new(), 0, 0);
    for (_, heap) in runtime.heaps.busy_mut() {
        if last_is_over {
            heap.begin_pass();
        }
        heap.queue_rested();
        if !heap.pass_is_over() {
            unfinished += 1;
            if !heap.collection_is_overdue() {
                turns += heap.turns();
                heaps.push(heap);
            }
        }
    }
    let stats = SharedStats::default();
    let run_row = |row: &mut [&mut Heap]| run_row(row, tick_number, now, deadline, &stats);
    if is_short || turns <= FEW_TURNS * heaps.len() {
        for_each(rows(&mut heaps, workers), workers, deadline, run_row);
    } else {
        for_each(heaps.chunks_mut(1), workers, deadline, run_row);
    }
    metrics.run_time += tick.end_phase(timer);
    let stats = stats.total();
    metrics.add(&stats);
    let ran = metrics.last_tick_resumes > 0;
    metrics.passes += u64::from(stats.heap_passes == unfinished && ran);
}

/// Runs heaps until `deadline`, the first in any case.
fn run_row(
    heaps: &mut [&mut Heap],
    tick: u32,
    now: Duration,
    deadline: Option<Instant>,
    stats: &SharedStats,
) {
    let are_small = heaps.iter().all(|heap| heap.has_few_turns());
    if are_small {
        Heap::load_together(heaps);
    }
    let mut is_foreseen = false;
    for i in 0..heaps.len() {
        if i > 0 && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return;
        }
        let (begun, later) = heaps.split_at_mut(i + 1);
        let next = later.first().filter(|_| !are_small);
        if !are_small {
            is_foreseen = begun[i].look_ahead(is_foreseen, later);
        }
        begun[i].run(tick, now, deadline, next.map(|next| &**next));
        stats.take_from(begun[i]);
    }
}
