//! The shared Luau runtime: isolates, and who lives where.

mod admission;
#[cfg(feature = "ecs")]
mod changes;
mod handles;
pub(crate) mod isolates;
mod names;
mod placement;
mod registry;
mod removal;
mod requests;
#[cfg(feature = "save")]
mod saving;
mod settings;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bevy::prelude::*;

use crate::isolate::{
    CallOfAll, Isolate, IsolateConfig, MAX_EXACT_VMS, MIN_QUANTUM, OpenState, Posted, RequestId,
};
use crate::luau::Reply;
use crate::luau::request::{KernelRequest, SyscallArgs};
use crate::luau::signals::Signal;
use crate::script::{CompileCache, CompileQueue};
use crate::types::{Limits, TickBudget, VmId};

use isolates::Isolates;
use names::VmNames;
use placement::Placement;
use requests::Requests;

pub(crate) use admission::{Admission, ProcessAdmission, VmAdmission};
pub(crate) use handles::{ProcessHandle, VmHandle};
pub(crate) use registry::HostRegistry;
pub(crate) use requests::Inbox;
pub(crate) use settings::RuntimeSettings;

/// The one shared, sandboxed Luau runtime of the app.
///
/// It is made of isolates, Luau states that host up to
/// [`vms_per_isolate`](crate::LuauOsPlugin::vms_per_isolate) VMs each and run in parallel.
///
/// Reflection shows its budget, which may be changed so as well.
#[derive(Resource, Reflect)]
#[reflect(from_reflect = false)]
pub struct LuauRuntime {
    #[reflect(ignore)]
    pub(crate) isolates: Isolates,
    #[reflect(ignore)]
    config: IsolateConfig,
    #[reflect(ignore)]
    registry: HostRegistry,
    #[reflect(ignore)]
    requests: Requests,
    #[reflect(ignore)]
    workers: usize,
    #[reflect(ignore)]
    isolates_at_a_time: usize,
    budget: TickBudget,
    #[reflect(ignore)]
    passes_per_tick: u32,
    #[reflect(ignore)]
    placement: Placement,
    #[reflect(ignore)]
    names: VmNames,
    /// Processes that were spawned and not admitted, with the virtual time of their spawning.
    #[reflect(ignore)]
    pending: VecDeque<(Entity, Duration)>,
    /// VMs that are to be loaded.
    #[cfg(feature = "save")]
    #[reflect(ignore)]
    pub(crate) images: VecDeque<Entity>,
    #[reflect(ignore)]
    scripts: CompileCache,
    #[reflect(ignore)]
    compiler: CompileQueue,
    /// Luau states that isolates have left, for the next isolate that needs one.
    #[reflect(ignore)]
    pub(crate) idle_states: Vec<OpenState>,
    /// The isolate whose exits are taken next.
    #[reflect(ignore)]
    next_exits: usize,
    /// The isolate whose prints are taken next.
    #[reflect(ignore)]
    next_printed: usize,
    /// The isolate whose errors of tasks are taken next.
    #[reflect(ignore)]
    next_task_errors: usize,
    /// The isolate whose answers to calls are taken next.
    #[reflect(ignore)]
    next_answers: usize,
    /// Virtual time of the current tick.
    #[reflect(ignore)]
    pub(crate) now: Duration,
}

impl FromReflect for LuauRuntime {
    /// Only the plugin makes one.
    fn from_reflect(_: &dyn PartialReflect) -> Option<Self> {
        None
    }
}

impl LuauRuntime {
    pub(crate) fn new(settings: RuntimeSettings, registry: HostRegistry) -> Self {
        let RuntimeSettings { quantum, share, syscall_timeout, seed, epoch, .. } = settings;
        let exact_memory = settings.vms_per_isolate <= MAX_EXACT_VMS;
        Self {
            isolates: Isolates::default(),
            config: IsolateConfig {
                quantum,
                share,
                syscall_timeout,
                seed,
                epoch,
                repeatable: settings.budget == TickBudget::Unlimited,
                exact_memory,
                limits: true,
                ends_on_task_error: settings.task_errors_end_process,
            },
            registry,
            requests: Requests::default(),
            workers: settings.workers,
            isolates_at_a_time: settings.isolates_at_a_time,
            budget: settings.budget,
            passes_per_tick: settings.passes_per_tick,
            placement: Placement::new(settings.vms_per_isolate, settings.isolates_at_a_time),
            names: VmNames::new(seed),
            pending: VecDeque::new(),
            #[cfg(feature = "save")]
            images: VecDeque::new(),
            scripts: CompileCache::default(),
            compiler: CompileQueue::default(),
            idle_states: Vec::new(),
            next_exits: 0,
            next_printed: 0,
            next_task_errors: 0,
            next_answers: 0,
            now: Duration::ZERO,
        }
    }

    /// The VM with a lasting name, if it has ever had a process.
    pub fn vm(&self, id: VmId) -> Option<Entity> {
        self.names.find(id)
    }

    /// How many isolates are open.
    pub fn isolate_count(&self) -> usize {
        self.isolates.len()
    }

    /// Bytes that all Luau states use, garbage included.
    pub fn isolate_bytes(&self) -> usize {
        let idle = self.idle_states.iter().map(OpenState::bytes);
        self.isolates.iter().map(Isolate::bytes).chain(idle).sum()
    }

    /// How many processes wait for their next slice.
    pub fn runnable(&self) -> usize {
        self.isolates.iter().map(Isolate::runnable).sum()
    }

    /// How many isolates are opened at a time. What scripts can observe depends on it, unlike on the number of workers.
    pub(crate) fn isolates_at_a_time(&self) -> usize {
        self.isolates_at_a_time
    }

    /// How many threads run isolates.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// What a tick may cost.
    pub fn budget(&self) -> TickBudget {
        self.budget
    }

    /// Sets what a tick may cost, from the next tick on.
    pub fn set_budget(&mut self, budget: TickBudget) {
        self.budget = budget;
    }

    /// How many passes a tick has that is not limited.
    pub(crate) fn passes_per_tick(&self) -> u32 {
        self.passes_per_tick
    }

    /// The quantum: safepoints that a process may pass in one slice.
    pub fn quantum(&self) -> u32 {
        self.config.quantum
    }

    /// Sets the quantum from the next tick on. Less than 2 counts as 2.
    pub fn set_quantum(&mut self, quantum: u32) {
        self.config.quantum = quantum.max(MIN_QUANTUM);
        for isolate in self.isolates.all_mut() {
            isolate.set_quantum(self.config.quantum);
        }
    }

    /// Runs scripts without holding them to their limits, to measure what the limits cost. Only this repository's
    /// benchmarks may: scripts can then hold up frames. Call it before the first process starts.
    #[doc(hidden)]
    pub fn measure_without_limits(&mut self) {
        self.config.limits = false;
    }

    /// What the game has registered.
    pub(crate) fn registry_mut(&mut self) -> &mut HostRegistry {
        &mut self.registry
    }

    /// Takes what scripts have asked for since the last call. Returns the syscalls, by their numbers.
    pub(crate) fn take_requests(&mut self) -> Vec<Vec<Posted<SyscallArgs>>> {
        self.requests.take(&mut self.isolates, self.registry.syscalls)
    }

    /// What the kernel was asked for first, of what somebody still waits for.
    pub(crate) fn next_kernel_request(&mut self) -> Option<Posted<Box<KernelRequest>>> {
        self.requests.next_for_kernel(&self.isolates)
    }

    /// Whether somebody still waits for the answer to a request.
    pub(crate) fn is_wanted(&self, request: RequestId) -> bool {
        self.isolates[request.isolate].is_pending(request.wait)
    }

    /// Hands a reply to the task that waits for it.
    pub(crate) fn reply(&mut self, request: RequestId, reply: Reply) {
        self.isolates.get_mut(request.isolate).reply(request.wait, reply);
    }

    /// Hands over the replies that the game has given.
    pub(crate) fn deliver_replies(&mut self) {
        for (request, reply) in self.registry.inbox.take() {
            self.reply(request, reply.map(|results| results.into_iter().collect()));
        }
    }

    /// The isolate of a process or VM.
    pub(crate) fn isolate_mut(&mut self, isolate: u32) -> &mut Isolate {
        self.isolates.get_mut(isolate)
    }

    /// Hands a signal to a process. Returns how many signals there was no room for.
    pub(crate) fn signal(&mut self, process: ProcessHandle, signal: &Arc<Signal>) -> u64 {
        self.isolates.get_mut(process.isolate).signal(process.key, signal)
    }

    /// Hands a signal to all processes that were admitted.
    pub(crate) fn broadcast(&mut self, signal: &Arc<Signal>) -> u64 {
        let isolates = 0..self.isolates.len() as u32;
        isolates.map(|isolate| self.isolates.get_mut(isolate).broadcast(signal)).sum()
    }

    /// Calls a function of all processes that export it.
    pub(crate) fn call_all(&mut self, call: &Arc<CallOfAll>) {
        for isolate in 0..self.isolates.len() as u32 {
            if self.isolates[isolate].exports(&call.function) {
                self.isolates.get_mut(isolate).call_all(call.clone());
            }
        }
    }

    /// Changes what a VM may use.
    pub(crate) fn set_limits(&mut self, vm: VmHandle, limits: Arc<Limits>) {
        self.isolates.get_mut(vm.isolate).set_limits(vm.key, limits);
    }
}
