//! Saving many VMs, in parallel, at once or spread over frames.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use bevy::platform::collections::HashMap;
use bevy::prelude::*;

use super::parallel::for_each;
use super::tick::Tick;
use crate::isolate::Isolate;
use crate::isolate::saved::SaveJob;
use crate::runtime::LuauRuntime;
use crate::save::SaveError;
use crate::types::{Deadline, Metrics};
use crate::vm::Vm;
use crate::vm::saved::{Saving, SavingVm, VmSnapshots, settle_in};

/// VMs that are saved together: so many that the workers have something to do.
const BATCH: usize = 1_024;

/// A save that is under way. As long as there is one, no script runs.
#[derive(Resource, Default)]
pub(crate) struct SaveUnderWay {
    left: VecDeque<Entity>,
    saving: Saving,
    /// After which tick it began.
    moment: Moment,
}

/// The last tick: its number, and what the clock showed.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    tick: u32,
    now: Duration,
}

impl Moment {
    fn last_tick(world: &World) -> Self {
        Self { tick: world.resource::<Metrics>().ticks as u32, now: world.resource::<LuauRuntime>().now }
    }
}

/// Triggered when the VMs were saved that [`SaveCommandsExt::save_vms`] was asked for.
#[derive(Event, Clone, Debug)]
pub struct VmsSaved {
    /// The VMs, as they all were after the same tick.
    pub snapshots: VmSnapshots,
}

/// Commands that save VMs.
pub trait SaveCommandsExt {
    /// Saves all VMs, as they are after the last tick. That is spread over frames: the ticks that follow spend their
    /// [budget](crate::LuauOsPlugin::budget) on it, and run no script until it is done. Then [`VmsSaved`] is triggered.
    ///
    /// If a save is under way, this does nothing: that one will do.
    fn save_vms(&mut self);
}

impl SaveCommandsExt for Commands<'_, '_> {
    fn save_vms(&mut self) {
        self.queue(|world: &mut World| {
            if !world.contains_resource::<SaveUnderWay>() && world.contains_resource::<LuauRuntime>() {
                let (left, moment) = (all_vms(world).into(), Moment::last_tick(world));
                world.insert_resource(SaveUnderWay { left, saving: Saving::default(), moment });
            }
        });
    }
}

/// In the order in which they were spawned, mostly.
fn all_vms(world: &mut World) -> Vec<Entity> {
    let mut vms: Vec<Entity> = world.query_filtered::<Entity, With<Vm>>().iter(world).collect();
    vms.sort_unstable_by_key(|vm| vm.index_u32());
    vms
}

/// Whether scripts may run.
pub(crate) fn no_save_is_under_way(save: Option<Res<SaveUnderWay>>) -> bool {
    save.is_none()
}

/// Goes on with a save, in the place of a tick.
pub(crate) fn go_on_saving(world: &mut World) {
    let Some(mut save) = world.remove_resource::<SaveUnderWay>() else { return };
    let deadline = world.resource::<Tick>().whole_budget();
    loop {
        let count = save.left.len().min(if deadline.is_never() { usize::MAX } else { BATCH });
        let vms: Vec<Entity> = save.left.drain(..count).collect();
        if vms.is_empty() {
            world.trigger(VmsSaved { snapshots: save.saving.into_snapshots() });
            return;
        }
        if let Err(error) = save_batch(world, &mut save.saving, &vms, save.moment) {
            error!("the VMs could not be saved: {error}");
            return;
        }
        if deadline.has_passed() {
            break;
        }
    }
    world.insert_resource(save);
}

impl LuauRuntime {
    /// Saves all VMs at once, as they are after the last tick, however long that takes. See [`LuauRuntime::save_vm`], and
    /// [`SaveCommandsExt::save_vms`] to have it spread over frames.
    ///
    /// # Errors
    ///
    /// When there is not enough memory, or the app has no [`LuauOsPlugin`](crate::LuauOsPlugin).
    pub fn save_all_vms(world: &mut World) -> Result<VmSnapshots, SaveError> {
        if !world.contains_resource::<Self>() {
            return Err(SaveError::NoRuntime);
        }
        let (vms, mut saving) = (all_vms(world), Saving::default());
        let moment = Moment::last_tick(world);
        save_batch(world, &mut saving, &vms, moment)?;
        Ok(saving.into_snapshots())
    }
}

fn save_batch(
    world: &mut World,
    saving: &mut Saving,
    vms: &[Entity],
    moment: Moment,
) -> Result<(), SaveError> {
    let places = vms.iter().filter_map(|&vm| match settle_in(world, vm) {
        Ok((handle, id)) => Some(Ok((vm, handle, id))),
        Err(SaveError::NoVm(_)) => None, // it has gone since
        Err(error) => Some(Err(error)),
    });
    let places: Vec<_> = places.collect::<Result<_, _>>()?;
    world.resource_scope(|world, mut runtime: Mut<LuauRuntime>| {
        runtime.deliver_replies();
        let mut begun: Vec<Option<SavingVm>> = Vec::new();
        let mut jobs: HashMap<u32, (Vec<usize>, Vec<SaveJob<'_>>)> = HashMap::default();
        for (vm, handle, id) in places {
            let Some((vm, job)) = saving.begin(world, &mut runtime, vm, handle, id) else { continue };
            let (numbers, jobs) = jobs.entry(handle.isolate).or_default();
            numbers.push(begun.len());
            jobs.push(job);
            begun.push(Some(vm));
        }
        let workers = runtime.workers();
        let (isolates, requests) = runtime.isolates_and_requests();
        for (isolate, wait, request) in requests {
            for job in jobs.get_mut(&isolate).into_iter().flat_map(|(_, jobs)| jobs) {
                job.requests.push((wait, request));
            }
        }
        let work = isolates.filter_map(|(number, isolate)| Some((isolate, jobs.remove(&number)?)));
        let work: Vec<(&mut Isolate, (Vec<usize>, Vec<SaveJob<'_>>))> = work.collect();
        let saved = Mutex::new(Vec::new());
        for_each(work.into_iter(), workers, Deadline::NEVER, |(isolate, (numbers, jobs))| {
            let results = isolate.save_vms(&jobs, moment.now, moment.tick);
            if let Ok(mut saved) = saved.lock() {
                saved.extend(numbers.into_iter().zip(results));
            }
        });
        let mut saved = saved.into_inner().map_err(|_| SaveError::OutOfMemory)?;
        saved.sort_unstable_by_key(|saved| saved.0);
        for (number, isolate) in saved {
            if let Some(vm) = begun[number].take() {
                saving.add(vm, isolate?);
            }
        }
        Ok(())
    })
}
