//! Run: every runnable process gets a slice, heaps in parallel.

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::Tick;
use super::budget::Phase;
use super::parallel::for_each;
use crate::metrics::Metrics;
use crate::runtime::LuauRuntime;
use crate::runtime::heap::Heap;

pub(crate) fn run(
    _main_thread: NonSendMarker,
    mut runtime: ResMut<LuauRuntime>,
    mut metrics: ResMut<Metrics>,
    mut tick: ResMut<Tick>,
) {
    let runtime = &mut *runtime;
    let timer = tick.begin_phase(Phase::Run);
    let deadline = timer.deadline;
    if runtime.heaps.busy().all(Heap::pass_is_over) {
        runtime.heaps.busy_mut().for_each(|(_, heap)| heap.begin_pass());
    }
    let is_waiting = |heap: &&mut Heap| !heap.pass_is_over() && !heap.collection_is_overdue();
    let (tick_number, now, workers) = (metrics.ticks as u32, runtime.now, runtime.workers());
    let heaps = runtime.heaps.busy_mut().map(|(_, heap)| heap).filter(is_waiting);
    for_each(heaps, workers, deadline, |heap| heap.run(tick_number, now, deadline));
    metrics.run_time += tick.end_phase(timer);
    let mut pass_is_over = true;
    for (_, heap) in runtime.heaps.busy_mut() {
        pass_is_over &= heap.pass_is_over();
        heap.queue_rested();
        let stats = heap.take_stats();
        metrics.resumes += stats.resumes;
        metrics.starting_resumes += stats.starting_resumes;
        metrics.last_tick_resumes += stats.resumes;
        metrics.vm_ticks += stats.vm_ticks;
    }
    let ran = metrics.last_tick_resumes > 0;
    metrics.passes += u64::from(pass_is_over && ran);
}
