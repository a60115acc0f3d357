//! Who lives on an isolate, as the game asks and says.

use std::sync::Arc;
use std::time::Duration;

use bevy::prelude::*;

use super::Isolate;
use super::account::nanoseconds;
use super::keys::{ProcessKey, VmKey};
use super::processes::{ProcessRecord, Suspension};
use crate::luau::LibrarySet;
use crate::types::{CpuUsage, Limits, ProcessState, Published, VmId, VmIndex};

impl Isolate {
    /// How many VMs live here.
    pub(crate) fn vms(&self) -> usize {
        self.vms.len()
    }

    /// Takes on a VM.
    pub(crate) fn add_vm(&mut self, vm: Entity, limits: Arc<Limits>, spawned_at: Duration) -> VmKey {
        self.vms.add(vm, limits, spawned_at.into())
    }

    /// Scripts name a VM so. To be called before its first process starts.
    pub(crate) fn name_vm(&mut self, key: VmKey, id: VmId) {
        self.vms.record_mut(key.index).id = id;
    }

    /// Its scripts that start have these libraries of the game from now on.
    pub(crate) fn set_libraries(&mut self, key: VmKey, libraries: LibrarySet) {
        self.vms.record_mut(key.index).libraries = libraries;
    }

    /// Its scripts can read these values from now on.
    pub(crate) fn publish(&mut self, key: VmKey, published: Published) {
        if !self.vms.is_current(key) {
            return;
        }
        self.vms.record_mut(key.index).published = published.clone();
        if let Some(state) = &mut self.state {
            state.luau.context().publish(key.index, published);
        }
    }

    /// Whether a VM still lives here.
    pub(crate) fn has_vm(&self, key: VmKey) -> bool {
        self.vms.is_current(key)
    }

    /// Changes what a VM may use.
    pub(crate) fn set_limits(&mut self, key: VmKey, limits: Arc<Limits>) {
        if self.vms.is_current(key) {
            self.vms.account_mut(key.index).set_limits(limits);
        }
    }

    /// Work that was done elsewhere costs the VM of a process so much of its time.
    pub(crate) fn charge_time(&mut self, process: ProcessKey, time: Duration) {
        if let Some(vm) = self.vm_of(process) {
            self.vms.account_mut(vm).charge_time(nanoseconds(time));
        }
    }

    /// Whether a process is a VM's. It may have ended, as long as its exit is still to be taken.
    pub(crate) fn is_on(&self, process: ProcessKey, key: VmKey) -> bool {
        let record = self.processes.records.get(process.index.at());
        self.vms.is_current(key) && record.is_some_and(|record| record.vm == key.index)
    }

    /// Whether a process of a VM that has not ended has a number.
    pub(crate) fn has_pid(&self, key: VmKey, pid: u32) -> bool {
        self.processes.live_on(key.index).any(|process| self.processes.origin(process.index).pid.get() == pid)
    }

    /// Stops the processes that a VM still has. Returns their entities.
    pub(crate) fn remove_processes_of(&mut self, key: VmKey) -> Vec<Entity> {
        if !self.vms.is_current(key) || self.vms.record(key.index).live == 0 {
            return Vec::new();
        }
        let live: Vec<ProcessKey> = self.processes.live_on(key.index).collect();
        live.into_iter()
            .map(|process| {
                self.remove_process(process);
                self.processes.origin(process.index).process
            })
            .collect()
    }

    /// Forgets a VM. Its index is used again when the last of its processes has gone.
    pub(crate) fn remove_vm(&mut self, key: VmKey) {
        if self.vms.is_current(key) {
            self.vms.remove(key);
            self.free_vm_if_unused(key.index);
        }
    }

    pub(super) fn free_vm_if_unused(&mut self, vm: VmIndex) {
        if self.vms.free_if_unused(vm) {
            self.waits.retained_exits.forget(vm);
        }
    }

    /// Bytes that a VM's objects take, garbage included; `None` where VMs are not told apart.
    pub(crate) fn vm_bytes(&self, key: VmKey) -> Option<usize> {
        if !self.vms.is_current(key) || !self.config.exact_memory {
            return None;
        }
        match (self.vms.record(key.index).category, &self.state) {
            (0, _) | (_, None) => Some(0),
            (category, Some(state)) => {
                Some(self.vms.account(key.index).own_bytes(state.luau.category_bytes(category)))
            }
        }
    }

    /// What the processes of a VM have cost, what it owes, and how many of them there are.
    pub(crate) fn vm_usage(&self, key: VmKey) -> Option<(CpuUsage, Duration, u32)> {
        if !self.vms.is_current(key) {
            return None;
        }
        let (record, account) = (self.vms.record(key.index), self.vms.account(key.index));
        let mut cpu = record.summary().cpu;
        self.processes.live_on(key.index).for_each(|process| cpu += self.processes[process.index].cpu());
        Some((cpu, account.debt(), record.live))
    }

    /// The VM of a process, if that has not ended.
    pub(crate) fn vm_of(&self, process: ProcessKey) -> Option<VmIndex> {
        Some(self.processes.get(process)?.vm)
    }

    /// How long ago a process was spawned when it is `now`, if it has not ended.
    pub(crate) fn age(&self, process: ProcessKey, now: Duration) -> Option<Duration> {
        self.processes.get(process)?;
        Some(self.processes.origin(process.index).spawned_at.until(now))
    }

    /// State and cost of a process, if it has not ended.
    pub(crate) fn process_info(&self, process: ProcessKey) -> Option<(ProcessState, CpuUsage)> {
        let record = self.processes.get(process)?;
        Some((if record.is_suspended() { ProcessState::Suspended } else { record.state }, record.cpu()))
    }

    /// Takes a process's turns away until [`Isolate::resume`]. The deadlines of its syscalls stand still.
    pub(crate) fn suspend(&mut self, process: ProcessKey, why: Suspension, now: Duration) {
        if self.processes.suspend(process, why) {
            self.waits.hold_deadlines(process.index, now);
        }
    }

    /// The opposite of [`Isolate::suspend`].
    pub(crate) fn resume(&mut self, process: ProcessKey, why: Suspension, now: Duration) {
        if self.processes.resume(process, why) {
            self.waits.release_deadlines(process.index, now);
        }
    }

    /// Suspends all processes of a VM.
    pub(crate) fn suspend_vm(&mut self, vm: VmKey, now: Duration) {
        for process in self.current_processes(vm) {
            self.suspend(process, Suspension::Vm, now);
        }
    }

    /// The opposite of [`Isolate::suspend_vm`].
    pub(crate) fn resume_vm(&mut self, vm: VmKey, now: Duration) {
        for process in self.current_processes(vm) {
            self.resume(process, Suspension::Vm, now);
        }
    }

    fn current_processes(&self, vm: VmKey) -> Vec<ProcessKey> {
        let is_current = self.vms.is_current(vm);
        self.processes.live_on(vm.index).filter(|_| is_current).collect()
    }

    /// Whether a process has no turns.
    pub(crate) fn is_suspended(&self, process: ProcessKey) -> bool {
        self.processes.get(process).is_some_and(ProcessRecord::is_suspended)
    }

    /// Sets the factor on a process's quantum, in sixteenths.
    pub(crate) fn set_priority(&mut self, process: ProcessKey, sixteenths: u8) {
        self.processes.set_priority(process, sixteenths);
    }

    /// The factor on a process's quantum, in sixteenths.
    #[cfg(feature = "save")]
    pub(crate) fn priority(&self, process: ProcessKey) -> Option<u8> {
        Some(self.processes.get(process)?.priority)
    }

    /// How many processes wait for their turn.
    pub(crate) fn runnable(&self) -> usize {
        self.processes.runnable()
    }

    /// Whether a tick has nothing to do here until something reaches the isolate or its next timer is due.
    pub(crate) fn is_idle(&self) -> bool {
        self.processes.runnable() == 0
            && self.processes.starting.is_empty()
            && self.outbox.is_empty()
            && !self.collection_is_due()
    }
}
