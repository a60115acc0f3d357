//! What the functions that scripts call share with the isolate: the process that runs, and what it leaves behind.

use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use bevy::ecs::entity::Entity;
use bevy::platform::collections::HashMap;
use bevy::prelude::*;

use super::exports::Exports;
use super::failed_task::FailedTask;
use super::function_ref::{DroppedFunctions, FunctionRef};
use super::host_functions::HostFunctions;
use super::mailbox::{Mailbox, Message};
use super::replies::{Replies, Reply};
use super::request::Request;
use super::signals::{Signal, Signals};
use super::stack::Reference;
use super::threads::TaskId;
use super::world::{WorldChange, WorldFunctions};
use crate::console::ConsoleBuffer;
use crate::random::Pcg32;
#[cfg(feature = "save")]
use crate::types::VirtualTime;
use crate::types::{CallError, CallId, HostCaller, Pid, ProcessIndex, Published, ScriptError, VmId, VmIndex};
use crate::value::{Value, Values};

/// What the host functions of a slice read and write.
pub(crate) struct Context {
    /// Virtual time. A VM that was loaded has another one: see [`Context::now`].
    pub(crate) time: Duration,
    /// By how many nanoseconds the clocks of VMs are ahead of that, by [`VmIndex`].
    #[cfg(feature = "save")]
    pub(crate) clocks: Vec<i64>,
    /// What the game's calendar shows when that is 0, in seconds since 1970.
    pub(crate) epoch: f64,
    /// The last name that a script has looked for and that is not there.
    pub(super) missed: Option<Missed>,
    /// What the process printed in this slice.
    pub(crate) console: ConsoleBuffer,
    /// By [`ProcessIndex`], what is known of the last process that started there.
    pub(super) callers: Vec<Caller>,
    /// What functions see of the game's world. Only there while [`Slices`](super::slices::Slices) are.
    pub(super) world: Option<NonNull<dyn WorldFunctions>>,
    /// What they are to change in it.
    pub(crate) changes: Vec<WorldChange>,
    pub(super) task_limit: usize,
    /// Closures of the state point into these, so they stay.
    host: HostFunctions,
    /// What tasks of the process have asked for in this slice.
    pub(crate) requests: Vec<(TaskId, Request)>,
    /// What woken tasks go on with.
    pub(crate) replies: Replies,
    /// Messages, by their receiver.
    pub(crate) mail: HashMap<ProcessIndex, Mailbox>,
    pub(crate) signals: Signals,
    /// Functions that the game can call.
    pub(crate) exports: Exports,
    /// How calls of the game ended in this slice.
    pub(crate) answers: Vec<Answer>,
    /// The VMs, by [`VmIndex`].
    pub(crate) vms: Vec<VmName>,
    /// What the game lets the VMs read, by [`VmIndex`].
    pub(super) published: Vec<Published>,
    /// What the process gave to `process.exit`.
    pub(crate) exit_results: Vec<Value>,
    /// Where the process that runs is kept.
    pub(super) index: ProcessIndex,
    /// The path of the host function that panicked in this slice, and what it said.
    pub(super) host_panic: Option<(String, String)>,
    /// Errors of its tasks in this slice, which ended them.
    pub(crate) task_errors: Vec<ScriptError>,
    /// Tasks of the process that have failed with an object which gives its own text.
    pub(crate) failed_tasks: Vec<FailedTask>,
    /// Whether the error of a task ends its process.
    pub(crate) ends_on_task_error: bool,
    pub(super) dropped_functions: DroppedFunctions,
    /// Whether a process ever handed over a function.
    pub(super) has_handed_over: bool,
}

/// How a call of the game ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) id: CallId,
    pub(crate) function: Arc<str>,
    pub(crate) result: Result<Vec<Value>, CallError>,
}

/// How a VM is found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmName {
    /// By scripts.
    pub(crate) id: VmId,
    /// By the game.
    pub(crate) entity: Entity,
}

impl VmName {
    /// There is no such VM.
    pub(crate) const NONE: Self = Self { id: VmId(0), entity: Entity::PLACEHOLDER };
}

/// Where a name was looked for that is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missed {
    pub(super) name: &'static str,
    /// What to use instead.
    pub(super) instead: &'static str,
    /// The script, by the address of its name, and the line.
    pub(super) at: (usize, i32),
}

/// What functions know of the process that calls them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(super) process: Entity,
    pub(super) pid: Pid,
    /// Where its VM is kept.
    pub(super) vm: VmIndex,
    pub(super) random: Pcg32,
}

impl Caller {
    /// The process with a number in a VM. Its random numbers start with `seed`.
    pub(crate) fn new(process: Entity, pid: Pid, vm: VmIndex, seed: u64) -> Self {
        Self { process, pid, vm, random: Pcg32::from_seed(seed) }
    }

    /// The same with the state of its generator.
    #[cfg(feature = "save")]
    pub(super) fn with_random(process: Entity, pid: Pid, vm: VmIndex, state: u64) -> Self {
        Self { process, pid, vm, random: Pcg32::from_state(state) }
    }
}

impl Context {
    pub(super) fn new(host: HostFunctions) -> Self {
        Self {
            time: Duration::ZERO,
            #[cfg(feature = "save")]
            clocks: Vec::new(),
            epoch: 0.0,
            missed: None,
            console: ConsoleBuffer::default(),
            callers: Vec::new(),
            world: None,
            changes: Vec::new(),
            task_limit: 0,
            host,
            requests: Vec::new(),
            replies: Replies::default(),
            mail: HashMap::default(),
            signals: Signals::default(),
            exports: Exports::default(),
            answers: Vec::new(),
            vms: Vec::new(),
            published: Vec::new(),
            exit_results: Vec::new(),
            index: ProcessIndex(0),
            host_panic: None,
            task_errors: Vec::new(),
            failed_tasks: Vec::new(),
            ends_on_task_error: false,
            dropped_functions: DroppedFunctions::default(),
            has_handed_over: false,
        }
    }

    /// The state of the random generator of a process.
    #[cfg(feature = "save")]
    pub(super) fn random_of(&self, process: ProcessIndex) -> u64 {
        self.callers.get(process.at()).map_or(0, |caller| caller.random.state())
    }

    pub(super) fn host(&self) -> &HostFunctions {
        &self.host
    }

    /// The process that runs.
    pub(super) fn caller(&mut self) -> &mut Caller {
        &mut self.callers[self.index.at()]
    }

    /// Its VM.
    pub(super) fn vm(&mut self) -> VmId {
        let vm = self.caller().vm.at();
        self.vms.get(vm).map_or_else(VmId::default, |vm| vm.id)
    }

    /// The entity of that.
    #[cfg(feature = "ecs")]
    pub(super) fn vm_entity(&mut self) -> Entity {
        let vm = self.caller().vm.at();
        self.vms.get(vm).map_or(Entity::PLACEHOLDER, |vm| vm.entity)
    }

    /// Where a VM is kept another one may have been.
    pub(crate) fn name_vm(&mut self, vm: VmIndex, name: VmName) {
        if self.vms.len() <= vm.at() {
            self.vms.resize(vm.at() + 1, VmName::NONE);
        }
        self.vms[vm.at()] = name;
    }

    /// The scripts of a VM can read these values.
    pub(crate) fn publish(&mut self, vm: VmIndex, published: Published) {
        if self.published.len() > vm.at() || !published.is_empty() {
            self.published.resize_with(self.published.len().max(vm.at() + 1), Published::default);
            self.published[vm.at()] = published;
        }
    }

    /// What the process that runs can read by a name.
    pub(super) fn published(&mut self, name: &str) -> Option<Arc<Value>> {
        let vm = self.caller().vm.at();
        self.published.get(vm)?.get(name).cloned()
    }

    /// The process that runs, as the game knows it.
    pub(super) fn host_caller(&self) -> Option<HostCaller> {
        let &Caller { process, pid, vm, .. } = self.callers.get(self.index.at())?;
        Some(HostCaller { vm: self.vms.get(vm.at())?.entity, process, pid })
    }

    /// What the clock shows of the process that runs, in seconds of virtual time.
    pub(super) fn now(&mut self) -> f64 {
        #[cfg(feature = "save")]
        if !self.clocks.is_empty() {
            let vm = self.caller().vm.at();
            let ahead = self.clocks.get(vm).copied().unwrap_or_default();
            return Duration::from(VirtualTime::from(self.time).shifted(ahead)).as_secs_f64();
        }
        self.time.as_secs_f64()
    }

    /// The entity of a process that was loaded.
    #[cfg(feature = "save")]
    pub(crate) fn set_entity(&mut self, process: ProcessIndex, entity: Entity) {
        if let Some(caller) = self.callers.get_mut(process.at()) {
            caller.process = entity;
        }
    }

    /// Hands over the function with a registry reference.
    pub(super) fn hand_over(&mut self, reference: Reference) -> FunctionRef {
        self.has_handed_over = true;
        FunctionRef { reference, dropped: self.dropped_functions.clone() }
    }

    /// The oldest message that the process that runs has not received.
    pub(super) fn take_message(&mut self) -> Option<Message> {
        self.mail.get_mut(&self.index)?.pop()
    }

    /// The oldest signal with a name that the process that runs has not received, for which it asks.
    pub(super) fn take_signal(&mut self, name: &[u8]) -> Option<Arc<Signal>> {
        self.signals.entry(self.index).take(name)
    }

    /// A function of the process that runs is to be called for each signal with a name. Whether there are some already.
    pub(super) fn connect(&mut self, name: &[u8], connection: TaskId) -> bool {
        self.signals.entry(self.index).connect(name, connection)
    }

    /// That ends.
    pub(super) fn disconnect(&mut self, connection: TaskId) {
        if let Some(signals) = self.signals.of_mut(self.index) {
            signals.disconnect(connection);
        }
    }

    /// The process that runs exports a function. Returns where the last one with that name was anchored.
    pub(super) fn export(&mut self, name: &str, anchor: TaskId) -> Option<TaskId> {
        self.exports.insert(self.index, name, anchor)
    }

    /// It does not any more. Returns where the function was anchored.
    pub(super) fn take_export(&mut self, name: &str) -> Option<TaskId> {
        self.exports.remove(self.index, name)
    }

    /// A task has got a message that it did not receive.
    pub(super) fn put_back(&mut self, task: TaskId, mut message: Values) {
        // A timeout is one value.
        if let (2, Some(sender), Some(value)) = (message.len(), message.pop(), message.pop()) {
            self.mail.entry(self.index).or_default().put_back(task, (value, sender));
        }
    }

    /// An error has ended a task.
    pub(super) fn report_task_error(&mut self, error: ScriptError) {
        self.console.push_error(&error);
        self.task_errors.push(error);
    }

    /// What a task of the process that runs has waited for.
    pub(super) fn take_reply(&mut self, task: TaskId) -> Option<Reply> {
        self.replies.take(self.index, task)
    }

    /// The path of the host function that panicked, and what it said.
    pub(crate) fn take_host_panic(&mut self) -> (String, String) {
        self.host_panic.take().unwrap_or_default()
    }
}
