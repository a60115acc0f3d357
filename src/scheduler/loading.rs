//! Loading VMs, in the time of Admit.

use std::sync::Mutex;

use bevy::prelude::*;

use super::budget::Phase;
use super::parallel::for_each;
use super::tick::Tick;
use crate::isolate::Isolate;
use crate::isolate::OpenState;
use crate::isolate::saved::LoadedVm;
use crate::runtime::LuauRuntime;
use crate::save::LoadError;
use crate::types::{Deadline, Metrics};
use crate::vm::saved::{Loading, begin_loading, finish_loading};

/// VMs that are loaded together: so many that the workers have something to do.
const BATCH: usize = 1_024;

/// The part of the phase that loading may take. Others start, too.
const LOADING: f64 = 0.8;

/// Whether VMs wait to be loaded.
pub(crate) fn has_images(runtime: Res<LuauRuntime>) -> bool {
    !runtime.images.is_empty()
}

/// Loads VMs until the deadline, some in any case.
pub(crate) fn load_images(world: &mut World) {
    let tick = world.resource::<Tick>();
    let timer = tick.begin_phase(Phase::Admit);
    let deadline = timer.deadline.of_part(timer.began, LOADING);
    // As if the VM had been here in the tick before.
    let since = world.resource::<LuauRuntime>().now.saturating_sub(tick.timestep);
    let last_tick = (world.resource::<Metrics>().ticks as u32).wrapping_sub(1);
    loop {
        let images = &mut world.resource_mut::<LuauRuntime>().images;
        let count = images.len().min(if deadline.is_never() { usize::MAX } else { BATCH });
        let entities: Vec<Entity> = images.drain(..count).collect();
        if entities.is_empty() {
            break;
        }
        let batch = entities.into_iter().filter_map(|entity| begin_loading(world, entity)).collect();
        for (loading, loaded) in load(&mut world.resource_mut::<LuauRuntime>(), batch, since, last_tick) {
            finish_loading(world, loading, loaded, since);
        }
        if deadline.has_passed() {
            break;
        }
    }
    world.resource_mut::<Tick>().end_phase(timer);
}

/// Loads VMs into their isolates.
fn load(
    runtime: &mut LuauRuntime,
    batch: Vec<Loading>,
    since: std::time::Duration,
    tick: u32,
) -> Vec<(Loading, Result<LoadedVm, LoadError>)> {
    let workers = runtime.workers();
    let mut of_isolates: Vec<Vec<usize>> = vec![Vec::new(); runtime.isolates.len()];
    for (i, loading) in batch.iter().enumerate() {
        of_isolates[loading.handle.isolate as usize].push(i);
    }
    let results: Vec<Mutex<Option<Result<LoadedVm, LoadError>>>> =
        batch.iter().map(|_| Mutex::new(None)).collect();
    let work = runtime.isolates.busy_mut().map(|(number, isolate)| (isolate, &of_isolates[number as usize]));
    let work: Vec<(&mut Isolate, &Vec<usize>)> = work.filter(|(_, vms)| !vms.is_empty()).collect();
    for_each(work.into_iter(), workers, Deadline::NEVER, |(isolate, vms)| {
        let mut idle_states: Vec<OpenState> = Vec::new();
        for &vm in vms {
            let loaded = isolate.load_vm(batch[vm].job(since, tick), &mut idle_states);
            if let Ok(mut result) = results[vm].lock() {
                *result = Some(loaded);
            }
        }
    });
    let results = results.into_iter().map(|result| {
        let result = result.into_inner().ok().flatten();
        result.unwrap_or_else(|| Err(LoadError::new(0, "it was not loaded")))
    });
    let results: Vec<_> = results.collect();
    batch.into_iter().zip(results).collect()
}
