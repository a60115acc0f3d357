//! Processes enter the runtime: they wait for their turn, and get their isolate.

use std::sync::Arc;
use std::time::Duration;

use bevy::prelude::*;
use smallvec::smallvec;

use super::LuauRuntime;
use super::handles::{ProcessHandle, VmHandle};
use crate::isolate::{Isolate, Start};
use crate::luau::LibrarySet;
use crate::script::Script;
use crate::types::{Limits, Pid, PidCounter, Published, TickBudget, VmId};

/// Bytes of source that are compiled in less than 50 microseconds.
const SHORT_SOURCE: usize = 512;

/// A VM whose process is to be admitted.
pub(crate) struct VmAdmission {
    pub(crate) entity: Entity,
    /// Where it lives, if it had a process before.
    pub(crate) handle: Option<VmHandle>,
    /// The name that it has, or is to have.
    pub(crate) id: Option<VmId>,
    pub(crate) pids: PidCounter,
    pub(crate) limits: Arc<Limits>,
    /// What its scripts have of the game.
    pub(crate) libraries: LibrarySet,
    /// What the game has published for them.
    pub(crate) published: Published,
}

/// A process to be admitted.
pub(crate) struct ProcessAdmission<'a> {
    pub(crate) entity: Entity,
    pub(crate) script: &'a Script,
    pub(crate) start: Option<Box<Start>>,
    /// In virtual time.
    pub(crate) spawned_at: Duration,
}

/// What an admitted process and its VM have got.
pub(crate) struct Admission {
    pub(crate) vm: VmHandle,
    pub(crate) id: VmId,
    pub(crate) pid: Pid,
    /// The VM's counter after that.
    pub(crate) pids: PidCounter,
    pub(crate) process: ProcessHandle,
}

impl LuauRuntime {
    /// Queues a new process for admission.
    pub(crate) fn enqueue(&mut self, process: Entity) {
        self.pending.push_back((process, self.now));
    }

    /// The process that was spawned first among those that were not admitted.
    pub(crate) fn next_pending(&mut self) -> Option<(Entity, Duration)> {
        let next = self.pending.pop_front();
        if self.pending.is_empty() {
            self.pending = default(); // it may have been long
        }
        next
    }

    /// The processes that wait to be admitted.
    pub(crate) fn pending_processes(&self) -> impl Iterator<Item = Entity> {
        self.pending.iter().map(|&(process, _)| process)
    }

    /// How many processes wait to be admitted.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Queues a process that was spawned at `spawned_at` behind all others.
    pub(crate) fn requeue(&mut self, process: Entity, spawned_at: Duration) {
        self.pending.push_back((process, spawned_at));
    }

    /// Whether a process of `vm` that runs `script` can be admitted without holding up the tick: long scripts are
    /// compiled in the background first, unless a tick may take as long as it likes.
    pub(crate) fn is_ready(&mut self, vm: Entity, script: &Script) -> bool {
        self.budget == TickBudget::Unlimited
            || script.longest_source() <= SHORT_SOURCE
            || self.compiler.prepare(vm, &self.scripts.intern(script))
    }

    /// Gives a process its PID and its VM's isolate, and the VM an isolate if it has none.
    pub(crate) fn admit(&mut self, vm: VmAdmission, process: ProcessAdmission) -> Admission {
        let is_current = |handle: &VmHandle| self.isolates[handle.isolate].has_vm(handle.key);
        let handle = vm.handle.filter(is_current);
        let (handle, id) = match (handle, vm.id) {
            (Some(handle), Some(id)) => (handle, id),
            _ => {
                let id = self.names.name(vm.entity, vm.id);
                let handle = self.place_vm(vm.entity, id, vm.limits, process.spawned_at);
                self.isolates.get_mut(handle.isolate).publish(handle.key, vm.published);
                (handle, id)
            }
        };
        let mut pids = vm.pids;
        let pid = pids.next(|pid| self.isolates[handle.isolate].has_pid(handle.key, pid));
        let script = self.scripts.intern(process.script);
        let isolate = self.isolates.get_mut(handle.isolate);
        isolate.set_libraries(handle.key, vm.libraries);
        let ProcessAdmission { entity, start, spawned_at, .. } = process;
        let parent = start.as_ref().and_then(|start| start.parent);
        let key = isolate.admit(handle.key, entity, pid, script, start, spawned_at);
        if let Some(parent) = parent {
            isolate.retain_exit(handle.key, pid.get());
            self.reply(parent, Ok(smallvec![f64::from(pid.get()).into()]));
        }
        Admission { vm: handle, id, pid, pids, process: ProcessHandle { isolate: handle.isolate, key } }
    }

    /// The libraries with these names. One that is not there is left out, and named in the log.
    pub(crate) fn libraries<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> LibrarySet {
        names.into_iter().fold(LibrarySet::default(), |set, name| match self.registry.functions.find(name) {
            Some(library) => set.with(library),
            None => {
                error!("there is no host library {name:?}");
                set
            }
        })
    }

    pub(super) fn place_vm(
        &mut self,
        vm: Entity,
        id: VmId,
        limits: Arc<Limits>,
        spawned_at: Duration,
    ) -> VmHandle {
        let open = || Isolate::new(self.config, self.registry.functions.clone());
        let isolate = self.placement.choose(&mut self.isolates, open);
        let isolate_of_vm = self.isolates.get_mut(isolate);
        let key = isolate_of_vm.add_vm(vm, limits, spawned_at);
        isolate_of_vm.name_vm(key, id);
        VmHandle { isolate, key }
    }

    /// Makes a process run another script, from its start. It stays the process that it is: entity, VM and
    /// PID remain. `None` if it has ended.
    pub(crate) fn restart(
        &mut self,
        handle: ProcessHandle,
        script: &Script,
        start: Option<Box<Start>>,
    ) -> Option<ProcessHandle> {
        let script = self.scripts.intern(script);
        let key = self.isolates.get_mut(handle.isolate).restart(handle.key, script, start)?;
        Some(ProcessHandle { key, ..handle })
    }
}
