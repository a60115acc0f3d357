//! Collect: the garbage of heaps that have grown, heaps in parallel; heaps without VMs are closed.

use std::time::Instant;

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;
use bevy::tasks::{AsyncComputeTaskPool, TaskPool};

use super::Tick;
use super::budget::Phase;
use super::parallel::for_each_heap;
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
    let began = Instant::now();
    let deadline = runtime.budget().deadline(began, tick.spent, Phase::Collect);
    let workers = runtime.workers();
    let heaps = runtime.heaps.iter_mut().filter(|heap| heap.collection_is_due());
    for_each_heap(heaps, workers, deadline, |heap| heap.collect(deadline));
    // One a tick, so that a thousand heaps do not fill the pool at once.
    if let Some(state) = runtime.heaps.iter_mut().find_map(Heap::close_if_unused) {
        AsyncComputeTaskPool::get_or_init(TaskPool::default).spawn(async move { drop(state) }).detach();
    }
    runtime.find_roomy_heaps();
    tick.spent += began.elapsed();
    for heap in &mut runtime.heaps {
        let stats = heap.take_stats();
        metrics.gc_time += stats.gc_time;
        metrics.gc_longest_pause = metrics.gc_longest_pause.max(stats.gc_longest_pause);
    }
}
