//! Wake: processes whose time has come and those whose syscalls were answered; and before that, the calls
//! reach their systems.

use std::time::{Duration, Instant};

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::Tick;
use super::budget::Phase;
use super::parallel::{MAX_BATCH, for_each, rows};
use crate::api::syscall::SyscallSystems;
use crate::isolate::Isolate;
use crate::runtime::LuauRuntime;

pub(crate) fn wake(_main_thread: NonSendMarker, mut runtime: ResMut<LuauRuntime>, mut tick: ResMut<Tick>) {
    let runtime = &mut *runtime;
    let timer = tick.begin_phase(Phase::Wake);
    let deadline = timer.deadline;
    runtime.deliver_replies();
    let (now, workers) = (runtime.now, runtime.workers());
    runtime.isolates.wake(now);
    let isolates = runtime.isolates.busy_mut().map(|(_, isolate)| isolate);
    let mut isolates: Vec<&mut Isolate> = isolates.filter(|isolate| isolate.has_due(now)).collect();
    for_each(rows(&mut isolates, workers, MAX_BATCH), workers, deadline, |row| {
        wake_batch(row, now, deadline)
    });
    tick.end_phase(timer);
}

/// Wakes the processes of isolates until `deadline`, some of the first in any case.
fn wake_batch(isolates: &mut [&mut Isolate], now: Duration, deadline: Option<Instant>) {
    Isolate::prefetch_timers(isolates, now);
    for (i, isolate) in isolates.iter_mut().enumerate() {
        if i > 0 && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return;
        }
        isolate.wake(now, deadline);
    }
}

/// Takes what scripts have asked for, and runs the systems that answer syscalls.
pub(crate) fn dispatch_syscalls(world: &mut World) {
    let calls = world.resource_mut::<LuauRuntime>().take_requests();
    for (number, calls) in calls.into_iter().enumerate() {
        if calls.is_empty() {
            continue;
        }
        if let Some(dispatch) = world.resource::<SyscallSystems>().get(number) {
            dispatch(world, calls);
        }
    }
}
