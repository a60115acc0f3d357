//! Saving VMs: what the ECS knows of them, and what their isolates need to know.

use std::sync::Arc;

use bevy::platform::collections::HashMap;
use bevy::prelude::*;

use super::archive::{Content, SavedVm, write};
use super::snapshot::{VmSnapshot, VmSnapshots};
use crate::console::VmConsole;
use crate::isolate::saved::{SaveJob, SavedNewcomer};
use crate::process::{Process, Processes};
use crate::runtime::{LuauRuntime, VmHandle};
use crate::save::SaveError;
use crate::script::Script;
use crate::script::saved::ScriptTable;
use crate::types::{Limits, Metrics, VmId};
use crate::vm::{HostLibraries, Vm, VmLimits, VmSuspended};

/// VMs that are saved together.
#[derive(Default)]
pub(crate) struct Saving {
    scripts: ScriptTable,
    limits: Vec<Arc<Limits>>,
    /// By their addresses: VMs share them.
    limit_numbers: HashMap<usize, u32>,
    saved: Vec<(SavingVm, Vec<u8>)>,
}

/// What the ECS knows of a VM that is being saved.
#[derive(Debug)]
pub(crate) struct SavingVm {
    id: VmId,
    pids: (u32, bool),
    is_persistent: bool,
    is_suspended: bool,
    limits: u32,
    libraries: Vec<Box<str>>,
    console: Option<(Box<str>, u64)>,
    names: Vec<(u32, Box<str>)>,
}

impl Saving {
    /// Begins with a VM: what its isolate is to write down.
    pub(crate) fn begin<'w>(
        &mut self,
        world: &'w World,
        runtime: &mut LuauRuntime,
        vm: Entity,
        handle: VmHandle,
        id: VmId,
    ) -> Option<(SavingVm, SaveJob<'w>)> {
        let entity = world.get_entity(vm).ok()?;
        let component = entity.get::<Vm>()?;
        let limits = entity.get::<VmLimits>().cloned().unwrap_or_default().shared();
        let mut names = Vec::new();
        let mut job = SaveJob {
            vm: handle.key,
            scripts: HashMap::default(),
            newcomers: Vec::new(),
            requests: Vec::new(),
        };
        for &process in entity.get::<Processes>().map_or(&[][..], |it| it) {
            let Some(process) = world.get::<Process>(process) else { continue };
            let numbered = |saving: &mut Self, runtime: &mut LuauRuntime, script: &Script| {
                let script = runtime.intern(script);
                (saving.scripts.number(&script), script)
            };
            if let (Some(at), Some(pid)) = (process.handle, process.pid()) {
                if at.isolate == handle.isolate
                    && let Some(script) = process.script()
                {
                    job.scripts.insert(at.key, numbered(self, runtime, script));
                    names.extend(process.own_name().map(|name| (pid.get(), (**name).into())));
                }
            } else if process.is_new() {
                let script = process.script().cloned().unwrap_or_else(|| {
                    let why = "its asset had not been loaded when the game was saved";
                    Script::not_loaded(process.name().into(), why.to_owned())
                });
                job.newcomers.push(SavedNewcomer {
                    script: numbered(self, runtime, &script),
                    start: process.start(),
                    is_suspended: process.starts_suspended(),
                });
            }
        }
        let address = Arc::as_ptr(&limits).addr();
        let limits = *self.limit_numbers.entry(address).or_insert_with(|| {
            self.limits.push(limits); // and so nobody else gets its address
            self.limits.len() as u32 - 1
        });
        let libraries = entity.get::<HostLibraries>().into_iter().flat_map(HostLibraries::names);
        let console =
            entity.get::<VmConsole>().map(|console| (console.text().into(), console.dropped_bytes()));
        let saving = SavingVm {
            id,
            pids: component.pids.parts(),
            is_persistent: component.is_persistent(),
            is_suspended: entity.contains::<VmSuspended>(),
            limits,
            libraries: libraries.map(Into::into).collect(),
            console,
            names,
        };
        Some((saving, job))
    }

    /// The isolate has written down a VM.
    pub(crate) fn add(&mut self, vm: SavingVm, isolate: Vec<u8>) {
        self.saved.push((vm, isolate));
    }

    fn into_bytes(self) -> Arc<[u8]> {
        let vms = self.saved.iter().map(|(vm, isolate)| SavedVm {
            id: vm.id.0,
            pids: vm.pids,
            is_persistent: vm.is_persistent,
            is_suspended: vm.is_suspended,
            limits: vm.limits,
            libraries: vm.libraries.clone(),
            console: vm.console.clone(),
            names: vm.names.clone(),
            isolate,
        });
        let limits = self.limits.iter().map(|limits| Limits::clone(limits)).collect();
        write(&Content { scripts: self.scripts.into_scripts(), limits, vms: vms.collect() }, None)
    }

    /// All of them.
    pub(crate) fn into_snapshots(self) -> VmSnapshots {
        VmSnapshots(self.into_bytes())
    }
}

impl LuauRuntime {
    /// Saves a VM, as it is after the last tick, with its processes. The game goes on as if nothing had been.
    ///
    /// A process that is parked (see [`Limits::parked`]) runs on until it can be saved, for up to 4,096 slices. One that
    /// cannot is saved as [killed](crate::KillReason::NotSaved).
    ///
    /// Syscalls that the game has not answered fail in the loaded VM, with an error that says so.
    ///
    /// # Errors
    ///
    /// When the entity is no VM, or there is not enough memory.
    pub fn save_vm(world: &mut World, vm: Entity) -> Result<VmSnapshot, SaveError> {
        let (handle, id) = settle_in(world, vm)?;
        let mut saving = Saving::default();
        let tick = world.get_resource::<Metrics>().map_or(0, |metrics| metrics.ticks as u32);
        world.resource_scope(|world, mut runtime: Mut<LuauRuntime>| {
            runtime.deliver_replies();
            let begun = saving.begin(world, &mut runtime, vm, handle, id);
            let (vm, mut job) = begun.ok_or(SaveError::NoVm(vm))?;
            let now = runtime.now;
            let (isolate, requests) = runtime.isolate_and_requests(handle.isolate);
            job.requests = requests;
            let saved = isolate.save_vms(&[job], now, tick).pop().ok_or(SaveError::OutOfMemory)??;
            saving.add(vm, saved);
            Ok(())
        })?;
        Ok(VmSnapshot(saving.into_bytes()))
    }

    /// Makes a second VM of one, on a new entity, which goes on from the same moment with a name of its own. It is loaded
    /// in the next tick.
    ///
    /// # Errors
    ///
    /// See [`LuauRuntime::save_vm`].
    pub fn fork_vm(world: &mut World, vm: Entity) -> Result<Entity, SaveError> {
        let image = Self::save_vm(world, vm)?.image().map_err(|_| SaveError::OutOfMemory)?;
        Ok(world.spawn(image.fork()).id())
    }
}

/// A VM that has had no process gets its place and its name.
pub(crate) fn settle_in(world: &mut World, vm: Entity) -> Result<(VmHandle, VmId), SaveError> {
    let component = world.get::<Vm>(vm).ok_or(SaveError::NoVm(vm))?;
    if let (Some(handle), Some(id)) = (component.handle, component.id) {
        return Ok((handle, id));
    }
    let (wanted, limits) = (component.id, world.get::<VmLimits>(vm).cloned().unwrap_or_default().shared());
    let mut runtime = world.get_resource_mut::<LuauRuntime>().ok_or(SaveError::NoRuntime)?;
    let (handle, id) = runtime.settle_vm(vm, wanted, limits);
    if let Some(mut component) = world.get_mut::<Vm>(vm) {
        (component.handle, component.id) = (Some(handle), Some(id));
    }
    Ok((handle, id))
}
