//! The shared Luau runtime: heaps, and who lives where.

pub(crate) mod heap;
pub(crate) mod heaps;
pub(crate) mod luau;
pub(crate) mod mail;
pub(crate) mod system_call;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use bevy::prelude::*;
use bevy::tasks::AsyncComputeTaskPool;
use smallvec::smallvec;

use crate::console::ConsoleBuffer;
use crate::host::{BoxedFunction, Entry, HostFunctions};
use crate::process::exit::CpuUsage;
use crate::process::{Pid, Process, ProcessState};
use crate::scheduler::budget::TickBudget;
use crate::script::{CompileCache, Script};
use crate::syscall::{Inbox, Parser, RawCall};
use crate::value::Value;
use crate::vm::Vm;
use crate::vm::limits::VmLimits;

use luau::{LuauState, Reply};
use system_call::PostedCall;

use heap::{Exit, Heap, HeapConfig, MAX_EXACT_VMS, MIN_QUANTUM, PlaceId, SlotId, VmSummary, WaitId};
use heaps::Heaps;

/// Bytes of source that are compiled in about 100 microseconds.
const SHORT_SOURCE: usize = 2 * 1024;

/// The one shared, sandboxed Luau runtime of the app.
///
/// It is made of heaps, Luau states that host up to
/// [`vms_per_heap`](crate::LuauOsPlugin::vms_per_heap) VMs each and run in parallel.
#[derive(Resource)]
pub struct LuauRuntime {
    pub(crate) heaps: Heaps,
    config: HeapConfig,
    host: HostFunctions,
    /// How many syscalls there are.
    syscalls: usize,
    /// Answers to them.
    inbox: Inbox,
    /// Questions of scripts that wait for the system.
    system_calls: VecDeque<PostedCall>,
    vms_per_heap: usize,
    workers: usize,
    budget: TickBudget,
    /// Heaps that may have a free place, in the order in which they get the next VM.
    roomy_heaps: VecDeque<u32>,
    /// Which heaps are in `roomy_heaps`.
    is_roomy: Vec<bool>,
    /// Processes that were spawned and not admitted, with the virtual time of their spawning.
    arrivals: VecDeque<(Entity, Duration)>,
    scripts: CompileCache,
    /// Heaps that have lost their last VM, longest ago first. They may have others by now.
    emptied_heaps: VecDeque<u32>,
    /// The heap whose exits are taken next.
    next_exits: usize,
    /// The heap whose prints are taken next.
    next_printed: usize,
    /// Virtual time of the current tick.
    pub(crate) now: Duration,
}

/// Where a process lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessHandle {
    pub(crate) heap: u32,
    pub(crate) slot: SlotId,
}

/// Where a VM lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmHandle {
    pub(crate) heap: u32,
    pub(crate) place: PlaceId,
}

/// A syscall of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallId {
    pub(crate) heap: u32,
    pub(crate) wait: WaitId,
}

/// What [`LuauRuntime::process_info`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Where the process is in its life.
    pub state: ProcessState,
    /// What it has cost so far.
    pub cpu: CpuUsage,
}

/// What a new runtime is made with; see the fields of [`LuauOsPlugin`](crate::LuauOsPlugin).
pub(crate) struct RuntimeSettings {
    pub(crate) quantum: u32,
    pub(crate) overrun_limit: Duration,
    pub(crate) syscall_timeout: Duration,
    pub(crate) limits: bool,
    pub(crate) seed: u64,
    pub(crate) vms_per_heap: usize,
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
        let exact_memory = settings.vms_per_heap <= MAX_EXACT_VMS;
        Self {
            heaps: Heaps::default(),
            config: HeapConfig { quantum, overrun_limit, syscall_timeout, seed, exact_memory, limits },
            host: HostFunctions::default(),
            syscalls: 0,
            inbox: Inbox::default(),
            system_calls: VecDeque::new(),
            vms_per_heap: settings.vms_per_heap,
            workers: settings.workers,
            budget: settings.budget,
            roomy_heaps: VecDeque::new(),
            is_roomy: Vec::new(),
            arrivals: VecDeque::new(),
            scripts: CompileCache::default(),
            emptied_heaps: VecDeque::new(),
            next_exits: 0,
            next_printed: 0,
            now: Duration::ZERO,
        }
    }

    /// How many heaps are open.
    pub fn heap_count(&self) -> usize {
        self.heaps.len()
    }

    /// Bytes that all Luau states use, garbage included.
    pub fn heap_bytes(&self) -> usize {
        self.heaps.iter().map(Heap::bytes).sum()
    }

    /// How many processes wait for their next slice.
    pub fn runnable(&self) -> usize {
        self.heaps.iter().map(Heap::runnable).sum()
    }

    /// How many threads run heaps.
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
        for heap in self.heaps.all_mut() {
            heap.set_quantum(self.config.quantum);
        }
    }

    /// State and cost of a process; `None` before it is admitted and after it has ended.
    pub fn process_info(&self, process: &Process) -> Option<ProcessInfo> {
        let handle = process.handle?;
        let (state, cpu) = self.heaps[handle.heap].process_info(handle.slot)?;
        Some(ProcessInfo { state, cpu })
    }

    /// Bytes that the objects of a VM take, garbage included. `None` before it has its first process, and when
    /// [`vms_per_heap`](crate::LuauOsPlugin::vms_per_heap) is more than 255: Luau cannot tell more VMs of one
    /// state apart.
    pub fn vm_bytes(&self, vm: &Vm) -> Option<usize> {
        let handle = vm.handle?;
        self.heaps[handle.heap].vm_bytes(handle.place)
    }

    // --- For the ECS ---

    /// # Panics
    ///
    /// When `path` is not a name or taken, and when a heap is open.
    pub(crate) fn add_host_function(&mut self, path: &str, function: BoxedFunction) {
        self.host.add(path, Entry::Function(function));
    }

    /// Returns where the answers go.
    ///
    /// # Panics
    ///
    /// As [`LuauRuntime::add_host_function`].
    pub(crate) fn add_syscall(&mut self, path: &str, parser: Parser) -> Inbox {
        self.host.add(path, Entry::Syscall(self.syscalls, parser));
        self.syscalls += 1;
        self.inbox.clone()
    }

    /// Takes the syscalls made since the last call, by their numbers, heap after heap.
    pub(crate) fn take_calls(&mut self) -> Vec<Vec<RawCall>> {
        let mut calls: Vec<Vec<RawCall>> = std::iter::repeat_with(Vec::new).take(self.syscalls).collect();
        if self.syscalls > 0 {
            for (i, heap) in self.heaps.busy_mut() {
                heap.take_calls(i, |function, call| calls[function].push(call));
            }
        }
        calls
    }

    /// Hands the answers to the processes that wait for them.
    pub(crate) fn deliver_answers(&mut self) {
        for (call, reply) in self.inbox.take() {
            let reply = reply.map(|value| smallvec![value]);
            self.heaps.get_mut(call.heap).answer(call.wait, reply);
        }
    }

    /// Takes the questions that scripts have asked the system, heap after heap, unless there are some left. Until
    /// then they stay where those are swept out that nobody waits for any more.
    pub(crate) fn take_system_calls(&mut self) {
        if !self.system_calls.is_empty() {
            return;
        }
        let calls = &mut self.system_calls;
        for (i, heap) in self.heaps.busy_mut() {
            heap.take_system_calls(i, |call| calls.push_back(call));
        }
    }

    /// The question that was asked first.
    pub(crate) fn next_system_call(&mut self) -> Option<PostedCall> {
        self.system_calls.pop_front()
    }

    /// Answers a question.
    pub(crate) fn answer(&mut self, call: CallId, reply: Reply) {
        self.heaps.get_mut(call.heap).answer(call.wait, reply);
    }

    /// The heap of a process or VM.
    pub(crate) fn heap_mut(&mut self, heap: u32) -> &mut Heap {
        self.heaps.get_mut(heap)
    }

    /// Hands a signal to the processes of one VM.
    pub(crate) fn signal(&mut self, vm: VmHandle, name: &[u8], payload: &Value) {
        let heap = self.heaps.get_mut(vm.heap);
        if heap.place_is_current(vm.place) {
            heap.signal(Some(vm.place.place()), name, payload);
        }
    }

    /// Hands a signal to the processes of all VMs.
    pub(crate) fn broadcast(&mut self, name: &[u8], payload: &Value) {
        for heap in 0..self.heaps.len() as u32 {
            if self.heaps[heap].has_listeners() {
                self.heaps.get_mut(heap).signal(None, name, payload);
            }
        }
    }

    /// Queues a new process for admission.
    pub(crate) fn enqueue(&mut self, process: Entity) {
        self.arrivals.push_back((process, self.now));
    }

    /// The process that was spawned first among those that were not admitted.
    pub(crate) fn next_arrival(&mut self) -> Option<(Entity, Duration)> {
        let next = self.arrivals.pop_front();
        if self.arrivals.is_empty() {
            self.arrivals = VecDeque::new(); // it may have been long
        }
        next
    }

    /// How many processes wait to be admitted.
    pub(crate) fn arrivals(&self) -> usize {
        self.arrivals.len()
    }

    /// Queues a process that was spawned at `spawned_at` behind all others.
    pub(crate) fn postpone_arrival(&mut self, process: Entity, spawned_at: Duration) {
        self.arrivals.push_back((process, spawned_at));
    }

    /// Whether a process that runs `script` can be admitted without holding up the tick: long scripts are
    /// compiled in the background first, unless a tick may take as long as it likes.
    pub(crate) fn is_ready(&mut self, script: &Script) -> bool {
        self.budget == TickBudget::Unlimited
            || script.source().len() <= SHORT_SOURCE
            || self.scripts.intern(script).compile_in_background()
    }

    /// Gives a process its PID and its place on its VM's heap, and the VM a heap if it has none.
    pub(crate) fn admit(
        &mut self,
        (process_entity, process, script): (Entity, &mut Process, &Script),
        (vm_entity, vm, limits): (Entity, &mut Vm, Option<&VmLimits>),
        spawned_at: Duration,
    ) -> ProcessHandle {
        let is_current = |handle: &VmHandle| self.heaps[handle.heap].place_is_current(handle.place);
        let handle = vm
            .handle
            .filter(is_current)
            .unwrap_or_else(|| self.place_vm(vm_entity, limits.cloned().unwrap_or_default(), spawned_at));
        vm.handle = Some(handle);
        vm.last_pid += 1;
        let pid = Pid(NonZeroU32::new(vm.last_pid).expect("fewer than 2^32 processes on one VM"));
        let script = self.scripts.intern(script);
        let heap = self.heaps.get_mut(handle.heap);
        let start = process.take_start();
        let parent = start.as_ref().and_then(|start| start.parent);
        let slot = heap.admit(handle.place, process_entity, pid, script, start, spawned_at);
        process.pid = Some(pid);
        process.state = ProcessState::Runnable;
        let process_handle = ProcessHandle { heap: handle.heap, slot };
        process.handle = Some(process_handle);
        if let Some(parent) = parent {
            heap.keep_end(handle.place.place(), pid.get());
            self.answer(parent, Ok(smallvec![f64::from(pid.get()).into()]));
        }
        process_handle
    }

    /// Makes a process run another script, from its start. It stays the process that it is: entity, VM and
    /// PID remain. `false` if it has ended.
    pub(crate) fn restart(&mut self, process: &mut Process, script: &Script) -> bool {
        let Some(handle) = process.handle else { return false };
        let (script, start) = (self.scripts.intern(script), process.take_start());
        let slot = self.heaps.get_mut(handle.heap).restart(handle.slot, script, start);
        process.handle = slot.map(|slot| ProcessHandle { slot, ..handle }).or(process.handle);
        slot.is_some()
    }

    fn place_vm(&mut self, vm: Entity, limits: VmLimits, spawned_at: Duration) -> VmHandle {
        loop {
            let Some(heap) = self.roomy_heaps.pop_front() else {
                for _ in 0..self.workers {
                    let heap = self.heaps.len() as u32;
                    self.heaps.push(Heap::new(self.config, self.host.clone()));
                    self.is_roomy.push(true);
                    self.roomy_heaps.push_back(heap);
                }
                continue;
            };
            if self.heaps[heap].vms() >= self.vms_per_heap {
                self.is_roomy[heap as usize] = false;
                continue;
            }
            self.roomy_heaps.push_back(heap);
            let place = self.heaps.get_mut(heap).add_vm(vm, limits, spawned_at);
            return VmHandle { heap, place };
        }
    }

    /// Changes what a VM may use.
    pub(crate) fn set_limits(&mut self, handle: VmHandle, limits: VmLimits) {
        self.heaps.get_mut(handle.heap).set_limits(handle.place, limits);
    }

    /// Stops a process. `false` if it had ended already.
    pub(crate) fn release_process(&mut self, handle: ProcessHandle) -> bool {
        self.heaps.get_mut(handle.heap).remove_process(handle.slot)
    }

    /// Frees a VM's place.
    pub(crate) fn release_vm(&mut self, VmHandle { heap, place }: VmHandle) {
        self.heaps.get_mut(heap).remove_vm(place);
        if self.heaps[heap].vms() == 0 {
            self.emptied_heaps.push_back(heap);
        }
        // As many empty heaps as there are workers stay open for VMs to come.
        while self.emptied_heaps.len() > self.workers {
            let heap = self.emptied_heaps.pop_front().map(|heap| self.heaps.get_mut(heap));
            if let Some(state) = heap.and_then(Heap::take_state_if_empty) {
                close_in_background(state);
            }
        }
    }

    /// Takes up to `limit` exits of one heap, heap after heap.
    pub(crate) fn take_exits(&mut self, limit: usize) -> Vec<Exit> {
        let next = self.heaps.find_busy(self.next_exits, Heap::has_exits);
        let Some(next) = next else { return Vec::new() };
        self.next_exits = next;
        let heap = self.heaps.get_mut(next as u32);
        std::iter::from_fn(|| heap.take_exit()).take(limit).collect()
    }

    /// Takes up to `limit` VMs whose last process was removed.
    pub(crate) fn take_emptied(&mut self, limit: usize) -> Vec<(Entity, VmSummary)> {
        let heaps = self.heaps.busy_mut();
        heaps.flat_map(|(_, heap)| std::iter::from_fn(|| heap.take_emptied())).take(limit).collect()
    }

    /// Takes what the processes of up to `limit` VMs have printed, heap after heap.
    pub(crate) fn take_printed(&mut self, limit: usize) -> Vec<(Entity, ConsoleBuffer)> {
        let mut taken = Vec::new();
        while let Some(next) = self.heaps.find_busy(self.next_printed, Heap::has_printed) {
            let heap = self.heaps.get_mut(next as u32);
            taken.extend(std::iter::from_fn(|| heap.take_printed()).take(limit - taken.len()));
            self.next_printed = next;
            if taken.len() == limit {
                break;
            }
        }
        taken
    }

    /// Ends a tick: lists the heaps where places have become free, and those with nothing to do rest.
    pub(crate) fn rest(&mut self) {
        for (i, heap) in self.heaps.busy_mut() {
            if !self.is_roomy[i as usize] && heap.vms() < self.vms_per_heap {
                self.is_roomy[i as usize] = true;
                self.roomy_heaps.push_back(i);
            }
        }
        self.heaps.rest();
    }
}
