//! Processes end, and the ECS takes what they have left.

use bevy::prelude::*;

use super::Isolate;
use super::exit::{Exit, TaskError, VmSummary};
use super::keys::ProcessKey;
use super::processes::ProcessOrigin;
use crate::console::ConsoleBuffer;
use crate::types::{KillReason, Outcome, ProcessIndex};

impl Isolate {
    /// Ends a process. Its index is taken until [`Isolate::take_exit`]; its thread is still to be dropped.
    pub(super) fn end(&mut self, process: ProcessIndex, outcome: Outcome) {
        let record = &self.processes[process];
        self.vms.record_mut(record.vm).process_ended(record.cpu());
        self.processes.end(process);
        self.outbox.push_exit(process, outcome);
    }

    /// Ends a process for `reason`. `false` if it had ended already.
    pub(crate) fn kill(&mut self, process: ProcessKey, reason: KillReason) -> bool {
        if !self.processes.is_live(process) {
            return false;
        }
        self.end(process.index, Outcome::Killed(reason));
        self.drop_thread(process.index);
        true
    }

    /// Stops a process of which the ECS wants to hear no more. `false` if it had ended already.
    pub(crate) fn remove_process(&mut self, process: ProcessKey) -> bool {
        let Some(vm) = self.vm_of(process) else { return false };
        self.processes.end(process.index);
        let record = self.vms.record_mut(vm);
        record.process_removed();
        if record.has_no_processes() {
            self.outbox.push_vm_without_processes(vm);
        }
        self.drop_thread(process.index);
        let ProcessOrigin { pid, .. } = self.processes.origin(process.index);
        self.announce_end(vm, pid.get(), &Outcome::Killed(KillReason::Requested));
        self.processes.free(process.index);
        self.free_vm_if_unused(vm);
        true
    }

    /// Ends what runs on the thread of a process. It may serve the next one with the same memory category.
    pub(super) fn drop_thread(&mut self, process: ProcessIndex) {
        self.forget_waits(process);
        let record = &mut self.processes[process];
        let category = std::mem::take(&mut record.category);
        self.vms.account_mut(record.vm).forget_runner(process);
        let vm = self.vms.record_mut(record.vm);
        let Some(state) = &mut self.state else { return };
        state.luau.retire(process, category);
        if category > 0 {
            state.categories.remove_thread(category);
        }
        if vm.live == 0 && vm.category > 0 && state.categories.threads(vm.category) == 0 {
            let category = std::mem::take(&mut vm.category);
            state.categories.give_back(category, state.luau.category_bytes(category));
        }
    }

    /// Whether exits wait to be taken.
    pub(crate) fn has_exits(&self) -> bool {
        self.outbox.has_exits()
    }

    /// Takes the exit that has waited longest.
    pub(crate) fn take_exit(&mut self) -> Option<Exit> {
        let (index, outcome) = self.outbox.pop_exit()?;
        let (key, record) = (self.processes.ended_key(index), &self.processes[index]);
        let (vm, cpu) = (record.vm, record.cpu());
        let ProcessOrigin { process, spawned_at, pid } = self.processes.origin(index);
        let vm_record = self.vms.record_mut(vm);
        let vm_status = vm_record.exit_settled();
        let vm_entity = vm_record.vm;
        let exit = Exit { process, key, vm: vm_entity, pid, spawned_at, cpu, outcome, vm_status };
        self.announce_end(vm, pid.get(), &exit.outcome);
        self.processes.free(index);
        self.free_vm_if_unused(vm);
        Some(exit)
    }

    /// Takes a VM whose last process was removed, unless it has others by now.
    pub(crate) fn take_vm_without_processes(&mut self) -> Option<(Entity, VmSummary)> {
        loop {
            let record = self.vms.record(self.outbox.pop_vm_without_processes()?);
            if record.has_no_processes() && !record.is_removed {
                return Some((record.vm, record.summary()));
            }
        }
    }

    /// Whether tasks have failed of which the ECS has not heard.
    pub(crate) fn has_task_errors(&self) -> bool {
        self.outbox.has_task_errors()
    }

    /// Takes the error of a task that has waited longest.
    pub(crate) fn take_task_error(&mut self) -> Option<TaskError> {
        self.outbox.pop_task_error()
    }

    /// Whether some VM may have printed something.
    pub(crate) fn has_printed(&self) -> bool {
        self.outbox.has_printed()
    }

    /// Takes what the processes of one VM have printed.
    pub(crate) fn take_printed(&mut self) -> Option<(Entity, ConsoleBuffer)> {
        loop {
            let record = self.vms.record_mut(self.outbox.pop_printed()?);
            if let Some(console) = record.console.take() {
                return Some((record.vm, *console));
            }
        }
    }
}
