//! Loading VMs: their entities, before and after their isolates do their part.

use std::sync::Arc;
use std::time::Duration;

use bevy::prelude::*;

use super::image::{VmImage, VmLoadFailed, VmLoaded};
use crate::console::VmConsole;
use crate::isolate::saved::{LoadJob, LoadedVm, Newcomer};
use crate::process::{Priority, Process, ProcessOf};
use crate::runtime::{LuauRuntime, ProcessHandle, VmHandle};
use crate::save::LoadError;
use crate::script::Script;
use crate::types::{PidCounter, VmId};
use crate::vm::{HostLibraries, PublishedValues, Vm, VmLimits, VmSuspended};

/// A VM that has its place, and is to be loaded there.
pub(crate) struct Loading {
    entity: Entity,
    image: VmImage,
    pub(crate) handle: VmHandle,
    id: VmId,
}

impl Loading {
    /// What its isolate has to do. What the VM's clock showed after its last tick, it is to show at that time and tick.
    pub(crate) fn job(&self, since: Duration, tick: u32) -> LoadJob<'_> {
        let (saved, offset) = self.image.archive.of_isolate(self.image.number);
        let VmHandle { isolate, key } = self.handle;
        LoadJob { vm: key, saved, offset, scripts: &self.image.archive.scripts, isolate, since, tick }
    }
}

/// Gives the entity of an image its place. `None` if it has gone.
pub(crate) fn begin_loading(world: &mut World, entity: Entity) -> Option<Loading> {
    let image = world.get::<VmImage>(entity)?.clone();
    if world.get::<Vm>(entity).is_some_and(|vm| vm.handle.is_some()) {
        let error = LoadError::new(0, "there is a VM with processes already");
        fail(world, entity, error);
        return None;
    }
    let saved = &image.archive.vms[image.number];
    let own_limits = world.get::<VmLimits>(entity).map(VmLimits::shared);
    let limits = own_limits.unwrap_or_else(|| image.archive.limits[saved.limits].clone());
    let wanted = (!image.is_fork).then_some(saved.id);
    if !world.entity(entity).contains::<VmLimits>() {
        world.entity_mut(entity).insert(VmLimits::shared_by(limits.clone()));
    }
    if !saved.libraries.is_empty() && !world.entity(entity).contains::<HostLibraries>() {
        let names = saved.libraries.iter().map(|name| name.to_string());
        world.entity_mut(entity).insert(HostLibraries::new(names));
    }
    let libraries = world.get::<HostLibraries>(entity).cloned();
    let published = world.get::<PublishedValues>(entity).map(|values| values.0.clone()).unwrap_or_default();
    let mut runtime = world.resource_mut::<LuauRuntime>();
    let libraries = libraries.map_or(default(), |libraries| runtime.libraries(libraries.names()));
    let (handle, id) = runtime.settle_vm(entity, wanted, limits);
    let isolate = runtime.isolate_mut(handle.isolate);
    isolate.set_libraries(handle.key, libraries);
    isolate.publish(handle.key, published);
    Some(Loading { entity, image, handle, id })
}

fn fail(world: &mut World, entity: Entity, error: LoadError) {
    warn!("VM {entity} could not be loaded: {error}");
    world.entity_mut(entity).remove::<VmImage>();
    world.trigger(VmLoadFailed { entity, error });
}

/// Gives the entity what was loaded. Its clock begins at a time of the app's.
pub(crate) fn finish_loading(
    world: &mut World,
    loading: Loading,
    loaded: Result<LoadedVm, LoadError>,
    since: Duration,
) {
    let Loading { entity, image, handle, id } = loading;
    let is_there = world.get_entity(entity).is_ok();
    let loaded = match loaded {
        Ok(loaded) if is_there => loaded,
        failed => {
            world.resource_mut::<LuauRuntime>().release_vm(entity, Some(id), handle);
            if let (Err(error), true) = (failed, is_there) {
                fail(world, entity, error);
            }
            return;
        }
    };
    let saved = &image.archive.vms[image.number];
    let pids = PidCounter::from_parts(saved.pids);
    if !world.entity(entity).contains::<Vm>() {
        world.entity_mut(entity).insert(if saved.is_persistent { Vm::persistent() } else { Vm::new() });
    }
    if let Some(mut vm) = world.get_mut::<Vm>(entity) {
        vm.loaded(id, pids, handle);
    }
    if let Some((text, dropped)) = &saved.console {
        world.entity_mut(entity).insert(VmConsole::restored(text, *dropped));
    }
    let LoadedVm { processes, newcomers, failed } = loaded;
    for (key, pid, script) in processes {
        let name = saved.names.iter().find(|name| name.0 == pid.get()).map(|name| Arc::from(&*name.1));
        let script = script.unwrap_or_else(|| Script::new("ended", ""));
        let at = ProcessHandle { isolate: handle.isolate, key };
        let process = Process::new(script).loaded(name, pid, at);
        let process = world.spawn((process, ProcessOf(entity))).id();
        let priority = {
            let mut runtime = world.resource_mut::<LuauRuntime>();
            let isolate = runtime.isolate_mut(handle.isolate);
            isolate.set_entity(key, process);
            isolate.priority(key).filter(|&sixteenths| sixteenths != NORMAL)
        };
        if let Some(sixteenths) = priority {
            world.entity_mut(process).insert(Priority(f32::from(sixteenths) / 16.0));
        }
    }
    if saved.is_suspended {
        world.entity_mut(entity).insert(VmSuspended);
    }
    spawn_newcomers(world, entity, newcomers, since);
    world.entity_mut(entity).remove::<VmImage>();
    world.trigger(VmLoaded { entity, failed });
}

/// The priority of processes that have none.
const NORMAL: u8 = 16;

/// Spawns processes that were not admitted, as if that had been done then.
fn spawn_newcomers(world: &mut World, vm: Entity, newcomers: Vec<Newcomer>, since: Duration) {
    if newcomers.is_empty() {
        return;
    }
    let now = std::mem::replace(&mut world.resource_mut::<LuauRuntime>().now, since);
    for Newcomer { script, start, is_suspended } in newcomers {
        let mut process = Process::new(script).with_start(*start);
        process.set_starts_suspended(is_suspended);
        world.spawn((process, ProcessOf(vm)));
    }
    world.resource_mut::<LuauRuntime>().now = now;
}
