//! What leaves an isolate: exits, printed lines, requests.

use std::collections::VecDeque;

use super::exit::{CallAnswer, TaskError};
#[cfg(feature = "save")]
use super::keys::ProcessKey;
use super::keys::WaitId;
use super::sweep::SweepAt;
use crate::luau::request::ExternalRequest;
#[cfg(feature = "save")]
use crate::luau::request::KernelRequest;
use crate::luau::world::WorldChange;
use crate::types::{Outcome, ProcessIndex, VmIndex};

/// A return without results. Hundreds of thousands of processes may end so in one tick.
const USUAL_OUTCOME: Outcome = Outcome::Finished(Vec::new());

/// Errors of tasks that are kept until the ECS takes them.
const MAX_TASK_ERRORS: usize = 1024;

/// Changes for which room is kept. More are rare.
#[cfg(feature = "ecs")]
const MAX_KEPT_CHANGES: usize = 1024;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Outbox {
    exits: Exits,
    /// VMs whose last process was removed. They may have others by now.
    vms_without_processes: Vec<VmIndex>,
    /// VMs with something new on their console.
    printed: Vec<VmIndex>,
    task_errors: VecDeque<TaskError>,
    answers: VecDeque<CallAnswer>,
    requests: Vec<(WaitId, ExternalRequest)>,
    sweep_requests_at: SweepAt,
    changes: Vec<WorldChange>,
}

/// Processes that have ended, in their order. The usual outcome takes no space.
#[derive(Default)]
struct Exits {
    processes: VecDeque<ProcessIndex>,
    /// Those of them that have ended in another way.
    unusual: VecDeque<(ProcessIndex, Outcome)>,
}

impl Outbox {
    pub(super) fn push_exit(&mut self, process: ProcessIndex, outcome: Outcome) {
        self.exits.processes.push_back(process);
        if outcome != USUAL_OUTCOME {
            self.exits.unusual.push_back((process, outcome));
        }
    }

    /// The exit that has waited longest.
    pub(super) fn pop_exit(&mut self) -> Option<(ProcessIndex, Outcome)> {
        let Exits { processes, unusual } = &mut self.exits;
        let process = processes.pop_front()?;
        // No index is in the queue twice: it is not free before its exit is taken.
        let unusual = unusual.pop_front_if(|exit| exit.0 == process);
        if processes.is_empty() {
            self.exits = Exits::default(); // it may have been long
        }
        Some(unusual.unwrap_or((process, USUAL_OUTCOME)))
    }

    pub(super) fn has_exits(&self) -> bool {
        !self.exits.processes.is_empty()
    }

    pub(super) fn push_vm_without_processes(&mut self, vm: VmIndex) {
        self.vms_without_processes.push(vm);
    }

    pub(super) fn pop_vm_without_processes(&mut self) -> Option<VmIndex> {
        self.vms_without_processes.pop()
    }

    pub(super) fn push_printed(&mut self, vm: VmIndex) {
        self.printed.push(vm);
    }

    pub(super) fn pop_printed(&mut self) -> Option<VmIndex> {
        self.printed.pop()
    }

    pub(super) fn has_printed(&self) -> bool {
        !self.printed.is_empty()
    }

    /// Keeps an error of a task. Of very many the oldest are forgotten: they are in the console.
    pub(super) fn push_task_error(&mut self, error: TaskError) {
        if self.task_errors.len() == MAX_TASK_ERRORS {
            self.task_errors.pop_front();
        }
        self.task_errors.push_back(error);
    }

    pub(super) fn pop_task_error(&mut self) -> Option<TaskError> {
        self.task_errors.pop_front()
    }

    pub(super) fn has_task_errors(&self) -> bool {
        !self.task_errors.is_empty()
    }

    pub(super) fn push_answer(&mut self, answer: CallAnswer) {
        self.answers.push_back(answer);
    }

    pub(super) fn pop_answer(&mut self) -> Option<CallAnswer> {
        let answer = self.answers.pop_front();
        if self.answers.is_empty() {
            self.answers = VecDeque::new(); // it may have been long
        }
        answer
    }

    pub(super) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Takes what scripts change in the world, behind what is there.
    pub(super) fn take_changes(&mut self, changes: &mut Vec<WorldChange>) {
        if self.changes.is_empty() {
            std::mem::swap(&mut self.changes, changes);
        } else {
            self.changes.append(changes);
        }
    }

    /// The changes, in the order in which they were asked for.
    #[cfg(feature = "ecs")]
    pub(super) fn changes(&mut self) -> Vec<WorldChange> {
        std::mem::take(&mut self.changes)
    }

    /// Gives back what they were in. Where there are as many in each tick, nothing is allocated.
    #[cfg(feature = "ecs")]
    pub(super) fn keep_buffer(&mut self, buffer: Vec<WorldChange>) {
        if self.changes.capacity() == 0 && buffer.capacity() <= MAX_KEPT_CHANGES {
            self.changes = buffer;
        }
    }

    pub(super) fn push_request(&mut self, wait: WaitId, request: ExternalRequest) {
        self.requests.push((wait, request));
    }

    /// Takes the requests that are wanted, in their order.
    pub(super) fn take_requests(
        &mut self,
        is_wanted: impl Fn(&ExternalRequest) -> bool,
    ) -> Vec<(WaitId, ExternalRequest)> {
        let requests = std::mem::take(&mut self.requests).into_iter();
        let (wanted, left) = requests.partition(|(_, request)| is_wanted(request));
        self.requests = left;
        wanted
    }

    /// Throws out requests for which nobody waits any more.
    pub(super) fn sweep(&mut self, is_pending: impl Fn(WaitId) -> bool) {
        if self.sweep_requests_at.is_due(self.requests.len()) {
            self.requests.retain(|&(wait, _)| is_pending(wait));
            self.sweep_requests_at.swept(self.requests.len());
        }
    }

    /// Processes that have ended, in their order, and how.
    #[cfg(feature = "save")]
    pub(super) fn exits(&self) -> impl Iterator<Item = (ProcessIndex, Outcome)> {
        let mut unusual = self.exits.unusual.iter().peekable();
        self.exits.processes.iter().map(move |&process| {
            let unusual = unusual.next_if(|exit| exit.0 == process);
            (process, unusual.map_or(USUAL_OUTCOME, |exit| exit.1.clone()))
        })
    }

    #[cfg(feature = "save")]
    pub(super) fn task_errors(&self) -> impl Iterator<Item = &TaskError> {
        self.task_errors.iter()
    }

    /// The entity of a process that was loaded.
    #[cfg(feature = "save")]
    pub(super) fn set_entity(&mut self, key: ProcessKey, entity: bevy::prelude::Entity) {
        for error in self.task_errors.iter_mut().filter(|error| error.key == key) {
            error.process = entity;
        }
    }

    /// What the kernel is asked for.
    #[cfg(feature = "save")]
    pub(super) fn kernel_requests(&self) -> impl Iterator<Item = (WaitId, &KernelRequest)> {
        self.requests.iter().filter_map(|(wait, request)| match request {
            ExternalRequest::Kernel(request) => Some((*wait, &**request)),
            ExternalRequest::Syscall { .. } => None,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_exits()
            && self.vms_without_processes.is_empty()
            && !self.has_printed()
            && !self.has_task_errors()
            && !self.has_answers()
            && self.requests.is_empty()
    }

    #[cfg(test)]
    pub(super) fn requests(&self) -> usize {
        self.requests.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolate::keys::ProcessKey;
    use crate::luau::request::KernelRequest;
    use crate::types::KillReason;

    fn wait(number: u64) -> WaitId {
        let process = ProcessKey { index: ProcessIndex(0), generation: 0 };
        WaitId { number, process, task: 0 }
    }

    #[test]
    fn exits_come_out_in_their_order_with_their_outcomes() {
        let mut outbox = Outbox::default();
        let killed = || Outcome::Killed(KillReason::Requested);
        let outcomes =
            [USUAL_OUTCOME, killed(), USUAL_OUTCOME, Outcome::Finished(vec![1.0.into()]), killed()];
        for (index, outcome) in (0..).zip(&outcomes) {
            outbox.push_exit(ProcessIndex(index), outcome.clone());
        }
        for (index, outcome) in (0..).zip(outcomes) {
            assert_eq!(outbox.pop_exit(), Some((ProcessIndex(index), outcome)));
        }
        assert!(outbox.pop_exit().is_none() && outbox.is_empty());
    }

    #[test]
    fn requests_that_are_not_wanted_now_stay_until_nobody_waits_for_them() {
        let mut outbox = Outbox::default();
        for number in 0..100 {
            outbox.push_request(
                wait(2 * number),
                ExternalRequest::Syscall {
                    number: 0,
                    args: Box::new(()),
                    timeout: None,
                    #[cfg(feature = "save")]
                    again: None,
                },
            );
            outbox.push_request(wait(2 * number + 1), ExternalRequest::Kernel(Box::new(KernelRequest::List)));
        }
        let syscalls = outbox.take_requests(|request| matches!(request, ExternalRequest::Syscall { .. }));
        assert!(syscalls.iter().map(|(wait, _)| wait.number).eq((0..100).map(|number| 2 * number)));
        outbox.sweep(|wait| wait.number < 20);
        assert_eq!(outbox.requests(), 10);
        assert_eq!(outbox.take_requests(|_| true).len(), 10);
        assert!(outbox.is_empty());
    }
}
