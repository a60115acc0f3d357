//! Run: every runnable process gets a slice, heaps in parallel.

use std::time::{Duration, Instant};

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::Tick;
use super::budget::Phase;
use super::parallel::{SharedStats, for_each};
use crate::metrics::Metrics;
use crate::runtime::LuauRuntime;
use crate::runtime::heap::Heap;

/// Heaps that one worker runs one after the other, so that it can load what the next one needs first.
const LONGEST_ROW: usize = 8;

/// A longer quantum gains nothing by rows, and loses where the busy heaps of one cannot be shared out.
const SHORT_QUANTUM: u32 = 64;

/// A row is so small a part of what is left for each worker: the last ones are single heaps, so that no worker is idle
/// for long while another runs a row.
const ROWS_PER_WORKER: usize = 8;

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
    let longest_row = if runtime.quantum() <= SHORT_QUANTUM { LONGEST_ROW } else { 1 };
    let last_is_over = runtime.heaps.busy().all(Heap::pass_is_over);
    let (mut heaps, mut unfinished) = (Vec::new(), 0);
    for (_, heap) in runtime.heaps.busy_mut() {
        if last_is_over {
            heap.begin_pass();
        }
        heap.queue_rested();
        if !heap.pass_is_over() {
            unfinished += 1;
            if !heap.collection_is_overdue() {
                heaps.push(heap);
            }
        }
    }
    let mut left = &mut heaps[..];
    let rows = std::iter::from_fn(|| {
        let row = (left.len() / (workers * ROWS_PER_WORKER)).clamp(1, longest_row);
        left.split_off_mut(..row)
    });
    let stats = SharedStats::default();
    for_each(rows, workers, deadline, |row| run_row(row, tick_number, now, deadline, &stats));
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
    let mut is_foreseen = false;
    for i in 0..heaps.len() {
        if i > 0 && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return;
        }
        let (begun, later) = heaps.split_at_mut(i + 1);
        is_foreseen = begun[i].look_ahead(is_foreseen, later);
        begun[i].run(tick, now, deadline, later.first().map(|next| &**next));
        stats.take_from(begun[i]);
    }
}
