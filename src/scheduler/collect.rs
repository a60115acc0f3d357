//! Collect: the garbage of heaps that have grown, heaps in parallel.

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::Tick;
use super::budget::Phase;
use super::parallel::for_each;
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
    for_each(heaps, workers, deadline, |heap| heap.collect(deadline));
    tick.end_phase(timer);
    for (_, heap) in runtime.heaps.busy_mut() {
        let stats = heap.take_stats();
        metrics.gc_time += stats.gc_time;
        metrics.gc_longest_pause = metrics.gc_longest_pause.max(stats.gc_longest_pause);
    }
}
