//! Wake: processes whose time has come and those whose syscalls were answered; and before that, the calls
//! reach their systems.

use std::time::{Duration, Instant};

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::Tick;
use super::budget::Phase;
use super::parallel::{LONGEST_ROW, for_each, rows};
use crate::runtime::LuauRuntime;
use crate::runtime::heap::Heap;
use crate::syscall::SyscallSystems;

pub(crate) fn wake(_main_thread: NonSendMarker, mut runtime: ResMut<LuauRuntime>, mut tick: ResMut<Tick>) {
    let runtime = &mut *runtime;
    let timer = tick.begin_phase(Phase::Wake);
    let deadline = timer.deadline;
    runtime.deliver_answers();
    let (now, workers) = (runtime.now, runtime.workers());
    runtime.heaps.wake(now);
    let heaps = runtime.heaps.busy_mut().map(|(_, heap)| heap);
    let mut heaps: Vec<&mut Heap> = heaps.filter(|heap| heap.has_due(now)).collect();
    for_each(rows(&mut heaps, workers, LONGEST_ROW), workers, deadline, |row| wake_row(row, now, deadline));
    tick.end_phase(timer);
}

/// Wakes the processes of heaps until `deadline`, some of the first in any case.
fn wake_row(heaps: &mut [&mut Heap], now: Duration, deadline: Option<Instant>) {
    Heap::load_timers_together(heaps, now);
    for (i, heap) in heaps.iter_mut().enumerate() {
        if i > 0 && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return;
        }
        heap.wake(now, deadline);
    }
}

/// Runs the systems that answer syscalls.
pub(crate) fn dispatch_syscalls(world: &mut World) {
    let calls = world.resource_mut::<LuauRuntime>().take_calls();
    for (number, calls) in calls.into_iter().enumerate() {
        if calls.is_empty() {
            continue;
        }
        if let Some(dispatch) = world.resource::<SyscallSystems>().get(number) {
            dispatch(world, calls);
        }
    }
}
