//! What leaves the runtime: processes and VMs that end or are removed, and what they have printed.

use bevy::prelude::*;
use bevy::tasks::AsyncComputeTaskPool;

use super::LuauRuntime;
use super::handles::{ProcessHandle, VmHandle};
use crate::console::ConsoleBuffer;
use crate::isolate::{CallAnswer, Exit, Isolate, TaskError, VmSummary};
use crate::luau::LuauState;
use crate::types::VmId;

fn close_in_background(state: LuauState) {
    match AsyncComputeTaskPool::try_get() {
        Some(pool) => pool.spawn(async move { drop(state) }).detach(),
        None => drop(state),
    }
}

impl LuauRuntime {
    /// Stops a process. `false` if it had ended already.
    pub(crate) fn release_process(&mut self, handle: ProcessHandle) -> bool {
        self.isolates.get_mut(handle.isolate).remove_process(handle.key)
    }

    /// Whether a process, of which the ECS has not heard that it has ended, is a VM's.
    pub(crate) fn lives_on(&self, process: ProcessHandle, vm: VmHandle) -> bool {
        process.isolate == vm.isolate && self.isolates[vm.isolate].is_on(process.key, vm.key)
    }

    /// Removes a VM. Stops the processes that still run there although the ECS does not count them among the VM's own
    /// any more, and returns their entities.
    pub(crate) fn release_vm(
        &mut self,
        vm: Entity,
        id: Option<VmId>,
        VmHandle { isolate, key }: VmHandle,
    ) -> Vec<Entity> {
        if let Some(id) = id {
            self.names.forget(id, vm);
        }
        let stopped = self.isolates.get_mut(isolate).remove_processes_of(key);
        self.isolates.get_mut(isolate).remove_vm(key);
        if self.isolates[isolate].vms() > 0 {
            return stopped;
        }
        let closed = self.placement.emptied(isolate).map(|isolate| self.isolates.get_mut(isolate));
        if let Some(state) = closed.and_then(Isolate::take_state_if_empty) {
            close_in_background(state);
        }
        stopped
    }

    /// Takes up to `limit` exits of one isolate, isolate after isolate.
    pub(crate) fn take_exits(&mut self, limit: usize) -> Vec<Exit> {
        let next = self.isolates.find_busy(self.next_exits, Isolate::has_exits);
        let Some(next) = next else { return Vec::new() };
        self.next_exits = next;
        let isolate = self.isolates.get_mut(next as u32);
        std::iter::from_fn(|| isolate.take_exit()).take(limit).collect()
    }

    /// Takes up to `limit` VMs whose last process was removed.
    pub(crate) fn take_vms_without_processes(&mut self, limit: usize) -> Vec<(Entity, VmSummary)> {
        let isolates = self.isolates.busy_mut();
        isolates
            .flat_map(|(_, isolate)| std::iter::from_fn(|| isolate.take_vm_without_processes()))
            .take(limit)
            .collect()
    }

    /// Takes up to `limit` errors that have ended tasks, isolate after isolate.
    pub(crate) fn take_task_errors(&mut self, limit: usize) -> Vec<TaskError> {
        let next = &mut self.next_task_errors;
        self.isolates.take_in_turn(next, limit, Isolate::has_task_errors, Isolate::take_task_error)
    }

    /// Takes up to `limit` ends of calls, isolate after isolate.
    pub(crate) fn take_answers(&mut self, limit: usize) -> Vec<CallAnswer> {
        let next = &mut self.next_answers;
        self.isolates.take_in_turn(next, limit, Isolate::has_answers, Isolate::take_answer)
    }

    /// Takes what the processes of up to `limit` VMs have printed, isolate after isolate.
    pub(crate) fn take_printed(&mut self, limit: usize) -> Vec<(Entity, ConsoleBuffer)> {
        let next = &mut self.next_printed;
        self.isolates.take_in_turn(next, limit, Isolate::has_printed, Isolate::take_printed)
    }

    /// Ends a tick: isolates that have lost VMs can take others, and isolates with nothing to do rest.
    pub(crate) fn rest(&mut self) {
        for (i, isolate) in self.isolates.busy_mut() {
            self.placement.update(i, isolate.vms());
        }
        self.isolates.rest();
    }
}
