//! Collect: the garbage of heaps that have grown, heaps in parallel.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::Tick;
use super::budget::Phase;
use super::parallel::{SharedStats, for_each};
use crate::metrics::Metrics;
use crate::runtime::LuauRuntime;
use crate::runtime::heap::Heap;

pub(crate) fn collect(
    _main_thread: NonSendMarker,
    mut runtime: ResMut<LuauRuntime>,
    mut metrics: ResMut<Metrics>,
    mut tick: ResMut<Tick>,
) {
    let runtime = &mut *runtime;
    let timer = tick.begin_phase(Phase::Collect);
    let deadline = timer.deadline;
    let workers = runtime.workers();
    let due = runtime.heaps.busy_mut().map(|(_, heap)| heap).filter(|heap| heap.collection_is_due());
    let (mut heaps, others): (Vec<_>, Vec<_>) = due.partition(|heap| heap.collection_is_overdue());
    // Those first whose processes wait for it, in each tick another: a large one takes all the time there is.
    if !heaps.is_empty() {
        let first = metrics.ticks as usize % heaps.len();
        heaps.rotate_left(first);
    }
    heaps.extend(others);
    collect_each(heaps.into_iter(), workers, deadline, &mut metrics);
    tick.end_phase(timer);
}

/// Where there is no deadline, nobody misses a slice because garbage must be collected first: what starts and messages
/// have left is collected before the slices of a tick, all else at the end of the tick before.
pub(super) fn collect_overdue(runtime: &mut LuauRuntime, metrics: &mut Metrics) {
    let workers = runtime.workers();
    let heaps = runtime.heaps.busy_mut().map(|(_, heap)| heap).filter(|heap| heap.collection_is_overdue());
    collect_each(heaps, workers, None, metrics);
}

fn collect_each<'a>(
    heaps: impl Iterator<Item = &'a mut Heap> + Send,
    workers: usize,
    deadline: Option<Instant>,
    metrics: &mut Metrics,
) {
    let stats = SharedStats::default();
    for_each(heaps, workers, deadline, |heap| {
        heap.collect(deadline);
        stats.take_from(heap);
    });
    metrics.add(&stats.total());
}

impl LuauRuntime {
    /// Collects the garbage of all heaps now, on all workers, and returns the bytes that live. Meant for moments in
    /// which nobody waits for a frame, such as loading screens: two workers took 0.4 s for 2 GB. Ticks collect
    /// by themselves, within their budget.
    ///
    /// [`Metrics`] do not count it.
    pub fn collect_garbage(&mut self) -> usize {
        let workers = self.workers();
        let live = AtomicUsize::new(0);
        for_each(self.heaps.all_mut(), workers, None, |heap| {
            live.fetch_add(heap.collect_whole(), Ordering::Relaxed);
        });
        live.into_inner()
    }
}
