//! Wake: processes whose time has come and those whose syscalls were answered; and before that, the calls
//! reach their systems.

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::Tick;
use super::budget::Phase;
use super::parallel::{for_each, rows};
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
    for_each(rows(&mut heaps, workers), workers, deadline, |row| {
        Heap::load_timers_together(row, now);
        row.iter_mut().for_each(|heap| heap.wake(now, deadline));
    });
    tick.end_phase(timer);
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
