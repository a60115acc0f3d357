//! Collect: the garbage of heaps that have grown, heaps in parallel.

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::Tick;
use super::budget::Phase;
use super::parallel::{SharedStats, for_each};
use crate::metrics::Metrics;
use crate::runtime::LuauRuntime;

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
    let heaps = runtime.heaps.busy_mut().map(|(_, heap)| heap).filter(|heap| heap.collection_is_due());
    let stats = SharedStats::default();
    for_each(heaps, workers, deadline, |heap| {
        heap.collect(deadline);
        stats.take_from(heap);
    });
    tick.end_phase(timer);
    metrics.add(&stats.total());
}
