//! The shared Luau runtime: isolates, and who lives where.

pub(crate) mod isolates;
mod requests;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bevy::prelude::*;
use bevy::tasks::AsyncComputeTaskPool;
use smallvec::smallvec;

use crate::console::ConsoleBuffer;
use crate::isolate::{
    Exit, Isolate, IsolateConfig, MAX_EXACT_VMS, MIN_QUANTUM, PlaceId, SlotId, Start, VmSummary,
};
use crate::luau::{BoxedFunction, Entry, HostFunctions, LuauState, Parser};
use crate::script::{CompileCache, CompileQueue, Script};
use crate::types::{Limits, Pid, TickBudget};
use crate::value::Value;

use isolates::Isolates;

use requests::Requests;

pub(crate) use requests::Inbox;

/// Bytes of source that are compiled in less than 50 microseconds.
const SHORT_SOURCE: usize = 512;

/// The one shared, sandboxed Luau runtime of the app.
///
/// It is made of isolates, Luau states that host up to
/// [`vms_per_isolate`](crate::LuauOsPlugin::vms_per_isolate) VMs each and run in parallel.
#[derive(Resource)]
pub struct LuauRuntime {
    pub(crate) isolates: Isolates,
    config: IsolateConfig,
    host: HostFunctions,
    requests: Requests,
    vms_per_isolate: usize,
    workers: usize,
    budget: TickBudget,
    /// Isolates that may have a free place, in the order in which they get the next VM.
    with_capacity: VecDeque<u32>,
    /// Which isolates are in `with_capacity`.
    has_capacity: Vec<bool>,
    /// Processes that were spawned and not admitted, with the virtual time of their spawning.
    pending: VecDeque<(Entity, Duration)>,
    scripts: CompileCache,
    compiler: CompileQueue,
    /// Isolates that have lost their last VM, longest ago first. They may have others by now.
    emptied_isolates: VecDeque<u32>,
    /// The isolate whose exits are taken next.
    next_exits: usize,
    /// The isolate whose prints are taken next.
    next_printed: usize,
    /// Virtual time of the current tick.
    pub(crate) now: Duration,
}

/// Where a process lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessHandle {
    pub(crate) isolate: u32,
    pub(crate) slot: SlotId,
}

/// Where a VM lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmHandle {
    pub(crate) isolate: u32,
    pub(crate) place: PlaceId,
}

/// A VM whose process is to be admitted.
pub(crate) struct VmAdmission {
    pub(crate) entity: Entity,
    /// Where it lives, if it had a process before.
    pub(crate) handle: Option<VmHandle>,
    pub(crate) last_pid: u32,
    pub(crate) limits: Arc<Limits>,
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
    pub(crate) pid: Pid,
    pub(crate) process: ProcessHandle,
}

/// What a new runtime is made with; see the fields of [`LuauOsPlugin`](crate::LuauOsPlugin).
pub(crate) struct RuntimeSettings {
    pub(crate) quantum: u32,
    pub(crate) overrun_limit: Duration,
    pub(crate) syscall_timeout: Duration,
    pub(crate) limits: bool,
    pub(crate) seed: u64,
    pub(crate) vms_per_isolate: usize,
    pub(crate) workers: usize,
    pub(crate) budget: TickBudget,
}

fn close_in_background(state: LuauState) {
    match AsyncComputeTaskPool::try_get() {
        Some(pool) => pool.spawn(async move { drop(state) }).detach(),
        None => drop(state),
    }
}

impl LuauRuntime {
    pub(crate) fn new(settings: RuntimeSettings) -> Self {
        let RuntimeSettings { quantum, overrun_limit, syscall_timeout, seed, limits, .. } = settings;
        let exact_memory = settings.vms_per_isolate <= MAX_EXACT_VMS;
        Self {
            isolates: Isolates::default(),
            config: IsolateConfig { quantum, overrun_limit, syscall_timeout, seed, exact_memory, limits },
            host: HostFunctions::default(),
            requests: Requests::default(),
            vms_per_isolate: settings.vms_per_isolate,
            workers: settings.workers,
            budget: settings.budget,
            with_capacity: VecDeque::new(),
            has_capacity: Vec::new(),
            pending: VecDeque::new(),
            scripts: CompileCache::default(),
            compiler: CompileQueue::default(),
            emptied_isolates: VecDeque::new(),
            next_exits: 0,
            next_printed: 0,
            now: Duration::ZERO,
        }
    }

    /// How many isolates are open.
    pub fn isolate_count(&self) -> usize {
        self.isolates.len()
    }

    /// Bytes that all Luau states use, garbage included.
    pub fn isolate_bytes(&self) -> usize {
        self.isolates.iter().map(Isolate::bytes).sum()
    }

    /// How many processes wait for their next slice.
    pub fn runnable(&self) -> usize {
        self.isolates.iter().map(Isolate::runnable).sum()
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

    // --- For the ECS ---

    /// # Panics
    ///
    /// When `path` is not a name or taken, and when an isolate is open.
    pub(crate) fn add_host_function(&mut self, path: &str, function: BoxedFunction) {
        self.host.add(path, Entry::Function(function));
    }

    /// Returns where the replies go.
    ///
    /// # Panics
    ///
    /// As [`LuauRuntime::add_host_function`].
    pub(crate) fn add_syscall(&mut self, path: &str, parser: Parser) -> Inbox {
        self.host.add(path, Entry::Syscall(self.requests.syscalls, parser));
        self.requests.syscalls += 1;
        self.requests.inbox.clone()
    }

    /// The isolate of a process or VM.
    pub(crate) fn isolate_mut(&mut self, isolate: u32) -> &mut Isolate {
        self.isolates.get_mut(isolate)
    }

    /// Hands a signal to the processes of one VM.
    pub(crate) fn signal(&mut self, vm: VmHandle, name: &[u8], payload: &Value) {
        let isolate = self.isolates.get_mut(vm.isolate);
        if isolate.place_is_current(vm.place) {
            isolate.signal(Some(vm.place.place()), name, payload);
        }
    }

    /// Hands a signal to the processes of all VMs.
    pub(crate) fn broadcast(&mut self, name: &[u8], payload: &Value) {
        for isolate in 0..self.isolates.len() as u32 {
            if self.isolates[isolate].has_listeners() {
                self.isolates.get_mut(isolate).signal(None, name, payload);
            }
        }
    }

    /// Queues a new process for admission.
    pub(crate) fn enqueue(&mut self, process: Entity) {
        self.pending.push_back((process, self.now));
    }

    /// The process that was spawned first among those that were not admitted.
    pub(crate) fn next_pending(&mut self) -> Option<(Entity, Duration)> {
        let next = self.pending.pop_front();
        if self.pending.is_empty() {
            self.pending = VecDeque::new(); // it may have been long
        }
        next
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
            || script.source().len() <= SHORT_SOURCE
            || self.compiler.prepare(vm, &self.scripts.intern(script))
    }

    /// Gives a process its PID and its place on its VM's isolate, and the VM an isolate if it has none.
    pub(crate) fn admit(&mut self, vm: VmAdmission, process: ProcessAdmission) -> Admission {
        let is_current = |handle: &VmHandle| self.isolates[handle.isolate].place_is_current(handle.place);
        let handle = vm.handle.filter(is_current);
        let handle = handle.unwrap_or_else(|| self.place_vm(vm.entity, vm.limits, process.spawned_at));
        let pid = Pid(NonZeroU32::new(vm.last_pid + 1).expect("fewer than 2^32 processes on one VM"));
        let script = self.scripts.intern(process.script);
        let isolate = self.isolates.get_mut(handle.isolate);
        let ProcessAdmission { entity, start, spawned_at, .. } = process;
        let parent = start.as_ref().and_then(|start| start.parent);
        let slot = isolate.admit(handle.place, entity, pid, script, start, spawned_at);
        if let Some(parent) = parent {
            isolate.retain_exit(handle.place.place(), pid.get());
            self.reply(parent, Ok(smallvec![f64::from(pid.get()).into()]));
        }
        Admission { vm: handle, pid, process: ProcessHandle { isolate: handle.isolate, slot } }
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
        let slot = self.isolates.get_mut(handle.isolate).restart(handle.slot, script, start)?;
        Some(ProcessHandle { slot, ..handle })
    }

    fn place_vm(&mut self, vm: Entity, limits: Arc<Limits>, spawned_at: Duration) -> VmHandle {
        loop {
            let Some(isolate) = self.with_capacity.pop_front() else {
                for _ in 0..self.workers {
                    let isolate = self.isolates.len() as u32;
                    self.isolates.push(Isolate::new(self.config, self.host.clone()));
                    self.has_capacity.push(true);
                    self.with_capacity.push_back(isolate);
                }
                continue;
            };
            if self.isolates[isolate].vms() >= self.vms_per_isolate {
                self.has_capacity[isolate as usize] = false;
                continue;
            }
            self.with_capacity.push_back(isolate);
            let place = self.isolates.get_mut(isolate).add_vm(vm, limits, spawned_at);
            return VmHandle { isolate, place };
        }
    }

    /// Changes what a VM may use.
    pub(crate) fn set_limits(&mut self, handle: VmHandle, limits: Arc<Limits>) {
        self.isolates.get_mut(handle.isolate).set_limits(handle.place, limits);
    }

    /// Stops a process. `false` if it had ended already.
    pub(crate) fn release_process(&mut self, handle: ProcessHandle) -> bool {
        self.isolates.get_mut(handle.isolate).remove_process(handle.slot)
    }

    /// Frees a VM's place.
    pub(crate) fn release_vm(&mut self, VmHandle { isolate, place }: VmHandle) {
        self.isolates.get_mut(isolate).remove_vm(place);
        if self.isolates[isolate].vms() == 0 {
            self.emptied_isolates.push_back(isolate);
        }
        // As many empty isolates as there are workers stay open for VMs to come.
        while self.emptied_isolates.len() > self.workers {
            let isolate = self.emptied_isolates.pop_front().map(|isolate| self.isolates.get_mut(isolate));
            if let Some(state) = isolate.and_then(Isolate::take_state_if_empty) {
                close_in_background(state);
            }
        }
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
            .flat_map(|(_, isolate)| std::iter::from_fn(|| isolate.take_vms_without_processes()))
            .take(limit)
            .collect()
    }

    /// Takes what the processes of up to `limit` VMs have printed, isolate after isolate.
    pub(crate) fn take_printed(&mut self, limit: usize) -> Vec<(Entity, ConsoleBuffer)> {
        let mut taken = Vec::new();
        while let Some(next) = self.isolates.find_busy(self.next_printed, Isolate::has_printed) {
            let isolate = self.isolates.get_mut(next as u32);
            taken.extend(std::iter::from_fn(|| isolate.take_printed()).take(limit - taken.len()));
            self.next_printed = next;
            if taken.len() == limit {
                break;
            }
        }
        taken
    }

    /// Ends a tick: lists the isolates where places have become free, and those with nothing to do rest.
    pub(crate) fn rest(&mut self) {
        for (i, isolate) in self.isolates.busy_mut() {
            if !self.has_capacity[i as usize] && isolate.vms() < self.vms_per_isolate {
                self.has_capacity[i as usize] = true;
                self.with_capacity.push_back(i);
            }
        }
        self.isolates.rest();
    }
}
