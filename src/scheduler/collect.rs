//! Collect: the garbage of isolates that have grown, isolates in parallel.

use std::sync::atomic::{AtomicUsize, Ordering};

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::budget::Phase;
use super::parallel::{SharedStats, for_each};
use super::tick::Tick;
use crate::isolate::Isolate;
use crate::runtime::LuauRuntime;
use crate::types::{Deadline, Metrics};

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
    let due =
        runtime.isolates.busy_mut().map(|(_, isolate)| isolate).filter(|isolate| isolate.collection_is_due());
    let (mut isolates, others): (Vec<_>, Vec<_>) = due.partition(|isolate| isolate.collection_is_overdue());
    // First the isolates whose processes wait for it, beginning with another one in each tick: a large one takes all
    // the time there is.
    if !isolates.is_empty() {
        let first = metrics.ticks as usize % isolates.len();
        isolates.rotate_left(first);
    }
    isolates.extend(others);
    collect_each(isolates.into_iter(), workers, deadline, &mut metrics);
    tick.end_phase(timer);
}

/// Where there is no deadline, nobody misses a slice because garbage must be collected first. What starts and messages
/// have left is collected before the slices of a tick, everything else at the end of the tick before.
pub(super) fn collect_overdue(runtime: &mut LuauRuntime, metrics: &mut Metrics) {
    let workers = runtime.workers();
    let isolates = runtime
        .isolates
        .busy_mut()
        .map(|(_, isolate)| isolate)
        .filter(|isolate| isolate.collection_is_overdue());
    collect_each(isolates, workers, Deadline::NEVER, metrics);
}

fn collect_each<'a>(
    isolates: impl Iterator<Item = &'a mut Isolate> + Send,
    workers: usize,
    deadline: Deadline,
    metrics: &mut Metrics,
) {
    let stats = SharedStats::default();
    for_each(isolates, workers, deadline, |isolate| {
        isolate.collect(deadline);
        stats.take_from(isolate);
    });
    metrics.add(&stats.total());
}

impl LuauRuntime {
    /// Collects the garbage of all isolates now, on all workers, and returns the bytes that live. Meant for moments in
    /// which nobody waits for a frame, such as loading screens: two workers took 0.4 s for 2 GB. Ticks collect
    /// by themselves, within their budget.
    ///
    /// [`Metrics`] do not count it.
    pub fn collect_garbage(&mut self) -> usize {
        self.idle_states.clear(); // nothing lives there
        let workers = self.workers();
        let live = AtomicUsize::new(0);
        for_each(self.isolates.all_mut(), workers, Deadline::NEVER, |isolate| {
            live.fetch_add(isolate.collect_whole(), Ordering::Relaxed);
        });
        live.into_inner()
    }
}
