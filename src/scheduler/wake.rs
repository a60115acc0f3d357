//! Wake: processes whose time has come, and processes whose syscalls were answered.

use std::time::Duration;

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::budget::Phase;
use super::parallel::{MAX_BATCH, batches, for_each};
use super::tick::Tick;
use crate::isolate::Isolate;
use crate::runtime::LuauRuntime;
use crate::types::Deadline;

pub(crate) fn wake(_main_thread: NonSendMarker, mut runtime: ResMut<LuauRuntime>, mut tick: ResMut<Tick>) {
    let runtime = &mut *runtime;
    let timer = tick.begin_phase(Phase::Wake);
    let deadline = timer.deadline;
    runtime.deliver_replies();
    let (now, workers) = (runtime.now, runtime.workers());
    runtime.isolates.wake(now);
    let isolates = runtime.isolates.busy_mut().map(|(_, isolate)| isolate);
    let mut isolates: Vec<&mut Isolate> = isolates.filter(|isolate| isolate.has_due(now)).collect();
    for_each(batches(&mut isolates, workers, MAX_BATCH), workers, deadline, |batch| {
        wake_batch(batch, now, deadline)
    });
    tick.end_phase(timer);
}

/// Wakes the processes of isolates until the deadline, some of the first in any case.
fn wake_batch(isolates: &mut [&mut Isolate], now: Duration, deadline: Deadline) {
    Isolate::prefetch_timers(isolates, now);
    for (i, isolate) in isolates.iter_mut().enumerate() {
        if i > 0 && deadline.has_passed() {
            return;
        }
        isolate.wake(now, deadline);
    }
}
