//! The game calls functions that processes have exported.
//!
//! Calls begin in Wake. One that a process cannot run yet is kept for it: it may not have started, may still be about
//! to export the function, or have as many tasks as it may.

use std::sync::Arc;
use std::time::Duration;

use super::Isolate;
use super::call_queue::{Call, CallOfAll, Incoming, KeptCalls};
use super::exit::CallAnswer;
use super::keys::ProcessKey;
use crate::luau::{Answer, Handler, Purpose};
use crate::types::{CallError, Limits, ProcessIndex, ProcessState, Steps, VmIndex};
use crate::value::Value;

/// Virtual time for which a busy process may still export a function that the game has called.
const MAX_SETUP: Duration = Duration::from_secs(10);

/// What becomes of a call.
enum Attempt {
    Begun,
    /// Not yet.
    Later(Call),
    Failed(Call, CallError),
}

impl Isolate {
    /// The game calls a function of a process.
    pub(crate) fn call(&mut self, process: ProcessKey, call: Call) {
        self.calls.incoming.push_back(Incoming::One(process, call));
    }

    /// What was called before the process was admitted.
    pub(super) fn keep_calls(&mut self, process: ProcessKey, mut kept: KeptCalls) {
        kept.take().for_each(|call| self.call(process, call));
    }

    /// Whether some process exports a function with a name.
    pub(crate) fn exports(&self, function: &str) -> bool {
        self.state.as_ref().is_some_and(|state| state.luau.exports().has_name(function))
    }

    /// The game calls a function of all processes that export it. What is busy with the last such call is left out, and
    /// so is what has no turns.
    pub(crate) fn call_all(&mut self, call: Arc<CallOfAll>) {
        self.calls.incoming.push_back(Incoming::All(call));
    }

    /// Begins the calls that can begin, until the deadline.
    pub(super) fn begin_calls(&mut self, now: Duration, steps: &mut Steps) {
        let kept: Vec<ProcessIndex> = self.calls.kept.keys().copied().collect();
        for process in kept {
            self.begin_kept(process, now);
        }
        while let Some(incoming) = self.calls.incoming.pop_front() {
            match incoming {
                Incoming::One(process, call) => self.begin_incoming(process, call, now),
                Incoming::All(call) => self.begin_in_all(&call),
            }
            if steps.out_of_time() {
                break;
            }
        }
    }

    fn begin_kept(&mut self, index: ProcessIndex, now: Duration) {
        let Some(mut kept) = self.calls.kept.remove(&index) else { return };
        let process = ProcessKey { index, generation: self.processes[index].generation };
        let limits = self.vms.account(self.processes[index].vm).limits.clone();
        let mut left = KeptCalls::default();
        for call in kept.take() {
            match self.begin(process, call, now) {
                Attempt::Begun => {}
                Attempt::Later(call) => self.keep(call, &limits, &mut left),
                Attempt::Failed(call, error) => self.outbox.push_answer(call.fails(error)),
            }
        }
        if !left.is_empty() {
            self.calls.kept.insert(index, left);
        }
    }

    fn begin_incoming(&mut self, process: ProcessKey, call: Call, now: Duration) {
        let Some(vm) = self.vm_of(process) else {
            return self.outbox.push_answer(call.fails(CallError::ProcessEnded));
        };
        // Calls of one function begin in their order.
        let mut kept = self.calls.kept.remove(&process.index).unwrap_or_default();
        let is_behind = kept.has(&call.function);
        match if is_behind { Attempt::Later(call) } else { self.begin(process, call, now) } {
            Attempt::Begun => {}
            Attempt::Later(call) => {
                let limits = self.vms.account(vm).limits.clone();
                self.keep(call, &limits, &mut kept);
            }
            Attempt::Failed(call, error) => self.outbox.push_answer(call.fails(error)),
        }
        if !kept.is_empty() {
            self.calls.kept.insert(process.index, kept);
        }
    }

    fn keep(&mut self, call: Call, limits: &Limits, kept: &mut KeptCalls) {
        if let Err(call) = kept.keep(call, limits) {
            self.outbox.push_answer(call.fails(CallError::TooManyCalls));
        }
    }

    /// Begins a call if its process can run it.
    fn begin(&mut self, process: ProcessKey, call: Call, now: Duration) -> Attempt {
        let Some(record) = self.processes.get(process) else {
            return Attempt::Failed(call, CallError::ProcessEnded);
        };
        let (vm, has_come_to_rest) = (record.vm, record.state == ProcessState::Waiting);
        let exports = self.state.as_ref().map(|state| state.luau.exports());
        let Some(anchor) = exports.and_then(|exports| exports.find(process.index, &call.function)) else {
            return match has_come_to_rest || now.saturating_sub(call.made_at) >= MAX_SETUP {
                true => Attempt::Failed(call, CallError::NoSuchFunction),
                false => Attempt::Later(call),
            };
        };
        let purpose = Some(Purpose::Call(call.id, call.function.clone()));
        match self.start_handler(vm, process, Handler { anchor, arguments: &call.arguments, purpose }) {
            true => Attempt::Begun,
            false => Attempt::Later(call),
        }
    }

    fn begin_in_all(&mut self, call: &CallOfAll) {
        let Some(state) = &mut self.state else { return };
        for (index, anchor) in state.luau.context().exports.begin_in_all(&call.function) {
            let record = &self.processes[index];
            let (vm, process) = (record.vm, ProcessKey { index, generation: record.generation });
            let purpose = Some(Purpose::CallOfAll(anchor));
            let handler = Handler { anchor, arguments: &call.arguments, purpose };
            let has_begun = !record.is_suspended() && self.start_handler(vm, process, handler);
            if !has_begun && let Some(state) = &mut self.state {
                state.luau.context().exports.ended(index, anchor);
            }
        }
    }

    /// Starts a handler. `false` if its process has no room for it now.
    pub(super) fn start_handler(&mut self, vm: VmIndex, process: ProcessKey, handler: Handler<'_>) -> bool {
        let limits = self.vms.limits(vm);
        let (memory_bytes, tasks) = (limits.memory_bytes, limits.tasks);
        let Some(record) = self.processes.get(process) else { return false };
        let Some(state) = &mut self.state else { return false };
        let category = record.category;
        if !state.luau.has_room_for_handler(process.index, tasks) {
            return false;
        }
        // What comes from outside is no reason to kill a process: it gets none that has no room left.
        if category > 0 {
            let held_bytes = self.vms.account(vm).own_bytes(state.luau.category_bytes(category));
            let size: usize = handler.arguments.iter().map(Value::size).sum();
            if held_bytes.saturating_add(size) > memory_bytes {
                self.collector.request(); // it may be garbage, and there is room for the next
                return false;
            }
        }
        let has_started = state.luau.start_handler(process.index, category, handler);
        if has_started {
            self.processes.make_runnable(process);
        }
        has_started
    }

    /// A process has ended, or starts again: all its calls have ended, too.
    pub(super) fn end_calls(&mut self, index: ProcessIndex) {
        let process = self.processes.origin(index).process;
        let running = self.state.as_mut().map(|state| state.luau.take_calls(index)).unwrap_or_default();
        for purpose in running {
            if let Purpose::Call(id, function) = purpose {
                let answer = Answer { id, function, result: Err(CallError::ProcessEnded) };
                self.outbox.push_answer(CallAnswer { process, answer });
            }
        }
        for call in self.calls.kept.remove(&index).iter_mut().flat_map(KeptCalls::take) {
            self.outbox.push_answer(call.fails(CallError::ProcessEnded));
        }
    }

    /// Takes the end of a call that has waited longest.
    pub(crate) fn take_answer(&mut self) -> Option<CallAnswer> {
        self.outbox.pop_answer()
    }

    /// Whether calls have ended of which the game has not heard.
    pub(crate) fn has_answers(&self) -> bool {
        self.outbox.has_answers()
    }
}
