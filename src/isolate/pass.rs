//! The slices of a pass over one isolate.
//!
//! Hundreds of thousands of slices run in each tick, and most of them end by preemption. Their path is kept short.
//! Everything else is in functions marked as cold.

use std::ops::ControlFlow;
use std::ptr;
use std::time::Duration;

use super::Isolate;
use super::account::{Collections, Holdings, Verdict, nanoseconds};
use super::audits::Audits;
use super::collector::Collector;
use super::config::{IsolateConfig, MIN_QUANTUM, TickTime};
use super::exit::{CallAnswer, TaskError};
use super::keys::ProcessKey;
use super::outbox::Outbox;
use super::pass_clock::PassClock;
use super::prefetch::prefetch_next;
use super::processes::{Pause, ProcessOrigin, ProcessRecord, ProcessTable};
use super::share::weighted;
use super::vms::VmTable;
use super::waits::Waits;
use crate::console::ConsoleBuffer;
use crate::luau::{
    Allowance, Batch, FailedTask, NORMAL_PRIORITY, Slice, SliceEnd, SliceLimits, SliceReport, Slices, Turn,
};
use crate::types::{KillReason, Limits, ProcessIndex, ProcessState, Share};
use crate::value::Value;

/// With a time budget a slice that has taken so long ends as if its quantum were used up: its safepoints stand for much
/// work each. A VM can go beyond its time by so much.
const MAX_SLICE_TIME: Duration = Duration::from_micros(250);

/// Safepoints beyond its quantum that a slice is not charged for. Its last library call may have counted as some.
const FORGIVEN_SAFEPOINTS: u64 = 1024;

/// How a process ends after its slice.
#[derive(Debug)]
pub(super) enum End {
    Returned,
    Exited(Vec<Value>),
    Failed,
    Killed(KillReason),
}

/// What a pass has done, for the isolate to deal with when it has its parts back.
#[derive(Debug, Default)]
pub(super) struct PassReport {
    pub(super) ended: Vec<(ProcessIndex, End)>,
    pub(super) resumes: u64,
    pub(super) vm_ticks: u64,
    pub(super) tasks_failed: u64,
    /// Tasks whose errors give their own text.
    pub(super) failed_tasks: Vec<(ProcessKey, FailedTask)>,
    /// Passes beyond the first.
    pub(super) further_passes: u32,
    /// Nanoseconds that the last slices took on average.
    pub(super) slice_time: u32,
}

/// Whose slice runs, or ran last.
#[derive(Clone, Copy, Debug)]
struct Running {
    process: ProcessKey,
    quantum: u32,
    /// Bytes that its VM held when it began.
    held_bytes: usize,
}

/// What a slice may use.
#[derive(Clone, Copy, Debug)]
struct Grant {
    quantum: u32,
    /// Bytes that it may allocate, ...
    memory_bytes: usize,
    /// ... in this memory category.
    category: u8,
}

/// A pass, or a part of it: the parts of the isolate that slices need, borrowed once.
pub(super) struct Pass<'a> {
    slices: Slices<'a>,
    processes: &'a mut ProcessTable,
    vms: &'a mut VmTable,
    waits: &'a mut Waits,
    collector: &'a mut Collector,
    audits: &'a mut Audits,
    outbox: &'a mut Outbox,
    config: IsolateConfig,
    time: TickTime<'a>,
    /// The pause of processes that yield in this tick.
    yielded: Pause,
    clock: PassClock,
    /// Whether VMs are held to the time that they may use.
    is_timed: bool,
    /// Whether any VM is watched.
    watches: bool,
    /// Whether slices are looked at closely now.
    is_watched: bool,
    /// Slices that had been run when the current pass began.
    resumes_before_pass: u64,
    limits: LimitsInForce,
    collections: Collections,
    quantum: u32,
    /// What a preempted slice counts: 1, or 0 if the process will go on with the same slice.
    counted: u32,
    /// What the state may take before the pass stops.
    max_bytes: usize,
    /// The isolate that this operating-system thread runs next, if that is known.
    next: Option<&'a Isolate>,
    running: Running,
    report: PassReport,
}

/// The limits that slices are held to now. Most VMs share one set, so they change rarely.
#[derive(Debug)]
struct LimitsInForce {
    /// Only compared.
    set: *const Limits,
    /// Bytes that a VM may have.
    memory_bytes: usize,
    /// Bytes that a slice may allocate, if its VM may have so many.
    slice_bytes: usize,
    /// Nanoseconds that a VM may use in a tick.
    time: u32,
    /// The quantum that all processes of a VM share, or 0 where each has its own.
    quantum: u32,
    /// Whether VMs are held to their memory limits.
    are_exact: bool,
}

impl LimitsInForce {
    fn new(config: &IsolateConfig) -> Self {
        Self {
            set: ptr::null(),
            memory_bytes: usize::MAX,
            slice_bytes: usize::MAX,
            time: u32::MAX,
            quantum: 0,
            are_exact: config.limits && config.exact_memory,
        }
    }
}

impl<'a> Pass<'a> {
    /// `None` if the isolate has no state.
    pub(super) fn new(
        isolate: &'a mut Isolate,
        quantum: u32,
        time: TickTime<'a>,
        next: Option<&'a Isolate>,
    ) -> Option<Self> {
        let Isolate { config, state, processes, vms, waits, collector, audits, outbox, slice_time, .. } =
            isolate;
        let (config, luau) = (*config, &mut state.as_mut()?.luau);
        luau.context().time = time.now;
        luau.context().epoch = config.epoch.as_secs_f64();
        luau.context().ends_on_task_error = config.ends_on_task_error;
        // Without a deadline the results must not depend on a clock.
        let is_timed = !time.deadline.is_never() && config.limits;
        let max_bytes = collector.max_bytes(processes.live_count());
        let watches = is_timed && vms.watches.iter().any(|watch| watch.is_watched());
        Some(Self {
            slices: luau.slices(SliceLimits { time: is_timed.then_some(MAX_SLICE_TIME) }, time.world),
            processes,
            vms,
            waits,
            collections: collector.collections(),
            collector,
            audits,
            outbox,
            config,
            time,
            yielded: Pause::in_tick(time.number),
            clock: PassClock::start(time.deadline, quantum, *slice_time),
            is_timed,
            watches,
            is_watched: false,
            resumes_before_pass: 0,
            limits: LimitsInForce::new(&config),
            quantum,
            counted: u32::from(quantum == config.quantum),
            max_bytes: if time.deadline.is_never() { usize::MAX } else { max_bytes },
            next,
            running: Running { process: ProcessKey::NONE, quantum: 0, held_bytes: 0 },
            report: PassReport::default(),
        })
    }

    /// Runs slices until nobody is left in the pass, or it has to stop.
    pub(super) fn run(mut self) -> PassReport {
        Slices::run_batch(&mut self);
        self.report.slice_time = self.clock.stop();
        self.report
    }

    /// What a process may use in its turn, unless it has ended, is suspended or must wait.
    #[inline(always)]
    fn grant(&mut self, process: ProcessKey) -> Option<Grant> {
        let ProcessTable { records, queue, .. } = &mut *self.processes;
        let record = &mut records[process.index.at()];
        if record.generation != process.generation {
            return None; // it has ended while it was queued
        }
        let mut quantum = self.quantum;
        if record.pause != Pause::NONE || record.priority != NORMAL_PRIORITY || record.slices == 0 {
            if record.pause == self.yielded {
                queue.keep(process);
                return None;
            }
            quantum = special_quantum(record, quantum)?;
        }
        let account = &mut self.vms.accounts[record.vm.at()];
        if !ptr::eq(self.limits.set, &*account.limits) {
            self.limits.set = &*account.limits;
            self.limits.memory_bytes =
                if self.limits.are_exact { account.limits.memory_bytes } else { usize::MAX };
            if self.config.limits {
                self.limits.slice_bytes = account.limits.slice_bytes;
                self.limits.time = nanoseconds(account.limits.time_per_tick);
                if self.config.share == Share::PerVm && self.counted > 0 {
                    self.limits.quantum = weighted(self.quantum, account.limits.cpu_weight);
                }
            }
            self.slices.allow(&match self.config.limits {
                true => account.allowance(),
                false => Allowance::unlimited(account.limits.console_bytes),
            });
        }
        let is_first_of_tick = account.begin_tick(self.time.number, self.limits.time);
        if !account.has_time(self.limits.time) {
            queue.keep(process);
            return None;
        }
        if self.limits.quantum > 0 {
            let shared = self.vms.shares.quantum(process.index, record.vm.at(), self.limits.quantum);
            let Some(shared) = shared else {
                queue.keep(process);
                self.resumes_before_pass = u64::MAX; // it will have its turn
                return None;
            };
            quantum = scaled(shared, record);
        }
        let held_bytes = if self.limits.are_exact {
            account.own_bytes(self.slices.category_bytes(record.category))
        } else {
            0
        };
        if held_bytes > self.limits.memory_bytes || account.is_suspect() {
            let coroutines = if self.config.limits { self.slices.coroutines(record.vm) } else { 0 };
            let pages = if self.limits.are_exact { self.slices.page_bytes(record.category) } else { 0 };
            let holdings = Holdings { bytes: held_bytes, coroutines, pages };
            if self.audits.is_underway(record.vm) {
                queue.keep(process);
                return None;
            }
            match account.verdict(process.index, holdings, self.collections) {
                Verdict::Run => {}
                Verdict::Wait => {
                    self.collector.request();
                    queue.keep(process);
                    return None;
                }
                Verdict::Audit => {
                    self.audits.request(record.vm);
                    queue.keep(process);
                    return None;
                }
                Verdict::Kill(reason) => {
                    self.report.ended.push((process.index, End::Killed(reason)));
                    return None;
                }
            }
        }
        if self.watches {
            let is_watched = self.vms.watches[record.vm.at()].is_watched();
            if is_watched != self.is_watched {
                self.is_watched = is_watched;
                self.slices.watch(is_watched);
            }
        }
        account.set_last_runner(process.index);
        self.report.vm_ticks += u64::from(is_first_of_tick);
        record.state = ProcessState::Running;
        let memory_bytes = (self.limits.memory_bytes - held_bytes).min(self.limits.slice_bytes);
        self.running = Running { process, quantum, held_bytes };
        Some(Grant { quantum, memory_bytes, category: record.category })
    }

    /// Begins another pass, if there is to be one and it is of use.
    #[cold]
    fn begin_further_pass(&mut self) -> bool {
        let ran = self.report.resumes != self.resumes_before_pass;
        let is_wanted = ran && self.report.further_passes + 1 < self.time.passes;
        if is_wanted {
            self.report.further_passes += 1;
            self.resumes_before_pass = self.report.resumes;
            let ProcessTable { records, queue, .. } = &mut *self.processes;
            queue.begin_pass();
            if self.config.share == Share::PerVm {
                self.vms.shares.begin_pass(records, queue.upcoming());
            }
        }
        is_wanted
    }

    /// Whether the pass goes on.
    #[cold]
    fn check(&mut self) -> ControlFlow<()> {
        let is_over = self.clock.check() || self.slices.state().object_bytes() > self.max_bytes;
        if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Takes what a slice of so many safepoints, some of them beyond its quantum, leaves beyond that: output, requests,
    /// time used, its end.
    #[cold]
    fn take_outcome(&mut self, end: SliceEnd, safepoints: u64, overdraft: u64) {
        let Running { process, held_bytes, .. } = self.running;
        let ProcessTable { records, origins, queue, .. } = &mut *self.processes;
        let record = &mut records[process.index.at()];
        let account = &mut self.vms.accounts[record.vm.at()];
        let slices = if end == SliceEnd::Preempted { self.counted } else { 1 };
        record.slices = record.slices.saturating_add(slices);
        self.report.resumes += u64::from(slices);
        if self.slices.coroutines(record.vm) > account.limits.coroutines
            || (self.limits.are_exact
                && self.slices.page_bytes(record.category) > account.limits.page_bytes())
        {
            account.suspect();
        }
        let context = self.slices.context();
        if !context.console.is_empty() {
            let vm = &mut self.vms.records[record.vm.at()];
            if vm.console.is_none() {
                self.outbox.push_printed(record.vm);
            }
            let new = || Box::new(ConsoleBuffer::new(account.limits.console_bytes));
            vm.console.get_or_insert_with(new).append(&mut context.console);
        }
        for error in context.task_errors.drain(..) {
            self.report.tasks_failed += 1;
            let ProcessOrigin { process: entity, pid, .. } = origins[process.index.at()];
            let vm = self.vms.records[record.vm.at()].vm;
            self.outbox.push_task_error(TaskError { process: entity, key: process, vm, pid, error });
        }
        for answer in context.answers.drain(..) {
            let process = origins[process.index.at()].process;
            self.outbox.push_answer(CallAnswer { process, answer });
        }
        for failed in context.failed_tasks.drain(..) {
            self.report.failed_tasks.push((process, failed));
        }
        let mut waits = false;
        let end = match end {
            SliceEnd::Preempted => None,
            SliceEnd::Yielded => {
                record.pause = self.yielded;
                None
            }
            SliceEnd::Waiting => {
                waits = true;
                None
            }
            SliceEnd::Returned => Some(End::Returned),
            SliceEnd::Exited => Some(End::Exited(std::mem::take(&mut context.exit_results))),
            SliceEnd::Failed => Some(End::Failed),
            SliceEnd::HostPanicked => {
                let (function, message) = context.take_host_panic();
                let (function, message) = (function.into(), message.into());
                Some(End::Killed(KillReason::HostPanic { function, message }))
            }
            SliceEnd::Exceeded(violation) => {
                let held_bytes = self.limits.are_exact.then_some(held_bytes);
                Some(End::Killed(account.kill_reason(violation, held_bytes)))
            }
        };
        let is_measured = self.clock.measures_slices();
        let time = if is_measured {
            let (taken, charged) = self.clock.measure(safepoints);
            let watch = &mut self.vms.watches[record.vm.at()];
            watch.measured(taken);
            self.watches |= self.is_timed && watch.is_watched();
            if watch.pays_in_full() { taken } else { charged }
        } else {
            self.clock.slice_time()
        };
        record.time += u64::from(time);
        if self.is_timed {
            account.charge_time(time);
        }
        if overdraft > FORGIVEN_SAFEPOINTS && self.config.limits && !(self.is_timed && is_measured) {
            account.charge_work(overdraft);
        }
        // Some of its tasks may wait while others run.
        for (task, request) in context.requests.drain(..).filter(|_| end.is_none()) {
            let timeout = self.config.syscall_timeout;
            let posted = self.waits.begin((process, task), request, self.time.now, timeout);
            if let Some((wait, request)) = posted {
                self.outbox.push_request(wait, request);
            }
        }
        match end {
            None if waits => record.state = ProcessState::Waiting,
            None => queue.keep(process),
            Some(end) => self.report.ended.push((process.index, end)),
        }
    }
}

impl Batch for Pass<'_> {
    fn slice(&self) -> &Slice {
        self.slices.slice()
    }

    #[inline(always)]
    fn next_turn(&mut self) -> Option<Turn> {
        loop {
            let Some(process) = self.processes.queue.next_in_pass() else {
                self.begin_further_pass().then_some(())?;
                continue;
            };
            prefetch_next(self.slices.state(), self.processes.queue.upcoming(), self.next);
            if let Some(Grant { quantum, memory_bytes, category }) = self.grant(process) {
                return Some(self.slices.ready(process.index, quantum, (memory_bytes, category)));
            }
        }
    }

    /// Takes note of what a slice did. The pass stops where the deadline is past, or too much memory is in use.
    #[inline(always)]
    fn after_slice(&mut self, report: SliceReport) -> ControlFlow<()> {
        let Running { process, quantum, .. } = self.running;
        let ProcessTable { records, queue, .. } = &mut *self.processes;
        let record = &mut records[process.index.at()];
        record.safepoints += report.safepoints;
        record.state = ProcessState::Runnable;
        let overdraft = report.safepoints.saturating_sub(quantum.into());
        match report.outcome {
            None if !self.clock.measures_slices() && overdraft <= FORGIVEN_SAFEPOINTS => {
                record.slices = record.slices.saturating_add(self.counted);
                self.report.resumes += u64::from(self.counted);
                let time = self.clock.slice_time();
                record.time += u64::from(time);
                if self.is_timed {
                    self.vms.accounts[record.vm.at()].charge_time(time);
                }
                queue.keep(process);
            }
            outcome => {
                let end = outcome.unwrap_or(SliceEnd::Preempted);
                self.take_outcome(end, report.safepoints, overdraft);
            }
        }
        if self.clock.count(report.safepoints) { self.check() } else { ControlFlow::Continue(()) }
    }
}

/// The quantum of a process whose priority is not the usual one, or that has had a part of its first slice. `None` if
/// it is suspended.
#[cold]
fn special_quantum(record: &mut ProcessRecord, usual: u32) -> Option<u32> {
    if record.is_suspended() {
        record.state = ProcessState::Suspended; // until it is resumed
        return None;
    }
    record.pause = Pause::NONE; // it yielded in an earlier tick
    let quantum = scaled(usual, record);
    let passed = if record.slices == 0 { record.safepoints as u32 } else { 0 };
    Some(quantum.saturating_sub(passed).max(1))
}

/// A quantum by the priority of a process.
fn scaled(quantum: u32, record: &ProcessRecord) -> u32 {
    let scaled = u64::from(quantum) * u64::from(record.priority) / u64::from(NORMAL_PRIORITY);
    u32::try_from(scaled).unwrap_or(u32::MAX).max(MIN_QUANTUM)
}
