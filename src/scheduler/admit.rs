//! Admit: new processes get their heap, their PID and their thread.

use std::time::Instant;

use bevy::prelude::*;

use super::Tick;
use super::budget::Phase;
use super::parallel::for_each_heap;
use crate::process::{Process, ProcessOf};
use crate::runtime::LuauRuntime;
use crate::runtime::heap::Heap;
use crate::vm::Vm;

/// Processes admitted between two looks at the clock.
const ADMISSIONS_PER_CLOCK_LOOK: usize = 64;

pub(crate) fn admit(
    mut runtime: ResMut<LuauRuntime>,
    tick: Res<Tick>,
    mut processes: Query<(&mut Process, Option<&ProcessOf>)>,
    mut vms: Query<&mut Vm>,
) {
    let runtime = &mut *runtime;
    let deadline = runtime.budget().deadline(tick.began, Phase::Admit);
    let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    // Not more than there are now: what cannot be admitted goes to the end again.
    let mut waiting = runtime.arrivals();
    while waiting > 0 {
        for _ in 0..waiting.min(ADMISSIONS_PER_CLOCK_LOOK) {
            waiting -= 1;
            let Some((entity, spawned_at)) = runtime.next_arrival() else { break };
            let Ok((mut process, vm)) = processes.get_mut(entity) else { continue };
            if process.handle.is_some() {
                continue; // queued twice: the component was replaced before it was admitted
            }
            match vm.map(|vm| (vm.0, vms.get_mut(vm.0))) {
                Some((vm_entity, Ok(mut vm))) => {
                    runtime.admit((entity, &mut process), (vm_entity, &mut vm), spawned_at);
                }
                _ => {
                    warn_once!("process {entity} waits: it has no `ProcessOf` that names an entity with `Vm`");
                    runtime.postpone_arrival(entity, spawned_at);
                }
            }
        }
        start_admitted(runtime);
        if is_over() {
            return;
        }
    }
}

fn start_admitted(runtime: &mut LuauRuntime) {
    let workers = runtime.workers();
    let heaps = runtime.heaps.iter_mut().filter(|heap| heap.has_admitted());
    for_each_heap(heaps, workers, Heap::start_admitted);
}
