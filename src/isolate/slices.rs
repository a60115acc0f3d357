//! Running the processes of an isolate.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::garbage::Estimate;
use super::limits::{Collections, Holdings, Stopwatch, Verdict, VmAccount, kill_reason};
use super::messages::Subscribers;
use super::prefetch::prefetch_next;
use super::run_queue::RunQueue;
use super::slots::Slot;
use super::waiting::Waiting;
use super::{Isolate, IsolateConfig, MIN_QUANTUM, Place, SlotId};
use crate::console::ConsoleBuffer;
use crate::luau::Request;
use crate::luau::{Allowance, NORMAL_PRIORITY, SliceEnd, SliceLimits, SliceReport, Slices};
use crate::types::Limits;
use crate::types::ProcessState;
use crate::types::{KillReason, Outcome};
use crate::types::{ProcessIndex, VmIndex};
use crate::value::Value;

/// Safepoints between two looks at the clock: a fraction of a millisecond.
const SAFEPOINTS_PER_CLOCK_LOOK: i64 = 16_384;

/// What a slice counts beside its own: the shortest ones are 16 between two looks.
const SAFEPOINTS_PER_SLICE: i64 = SAFEPOINTS_PER_CLOCK_LOOK / 16;

impl Isolate {
    /// How many processes wait for their turn.
    pub(crate) fn runnable(&self) -> usize {
        self.queue.len() + self.started_this_tick.len()
    }

    /// A pass over all isolates begins. What this one did not get done of its last pass comes first.
    pub(crate) fn begin_pass(&mut self) {
        if self.queue.pass_is_over() {
            self.queue.begin_pass();
        }
        self.skipped_in_round = false;
    }

    /// Whether processes wait for their slice of the current pass, and can have it.
    pub(crate) fn can_run(&self) -> bool {
        !self.queue.pass_is_over() && !self.collection_is_overdue()
    }

    /// Whether the pass over all isolates is not over because of this one. Nobody waits for the collector of another isolate.
    pub(crate) fn has_turns_left(&self) -> bool {
        !self.queue.pass_is_over() && !self.skipped_in_round
    }

    /// Leaves the isolate out of the pass over all isolates if it has to be collected before it can go on.
    pub(crate) fn skip_if_overdue(&mut self) {
        self.skipped_in_round |= !self.queue.pass_is_over() && self.collection_is_overdue();
    }

    /// Runs slices until the pass is over, or with a deadline, until that is past or garbage must be collected that takes
    /// long. `next` is the isolate that this operating-system thread runs next, if that is known.
    pub(crate) fn run(&mut self, tick: u32, now: Duration, deadline: Option<Instant>, next: Option<&Self>) {
        let held_up = self.has_turns_left();
        loop {
            self.run_slices(self.config.quantum, tick, now, deadline, next);
            let is_late = || deadline.is_none_or(|deadline| Instant::now() >= deadline);
            if self.queue.pass_is_over() || !self.is_quickly_collected() || is_late() {
                break;
            }
            // Or those who make no garbage would wait for the next tick, again and again.
            self.collect(deadline);
        }
        self.skip_if_overdue();
        self.stats.isolate_passes += u64::from(held_up && !self.has_turns_left());
    }

    /// Runs slices of up to `quantum` safepoints. One that this cut short is not counted: the process will go on
    /// with it.
    pub(super) fn run_slices(
        &mut self,
        quantum: u32,
        tick: u32,
        now: Duration,
        deadline: Option<Instant>,
        next: Option<&Self>,
    ) {
        let Some(mut pass) = Pass::new(self, quantum, tick, now, deadline, next) else {
            self.queue = RunQueue::default(); // whoever is queued has ended
            return;
        };
        pass.run();
        let Pass { queue, ended, watch, resumes, vm_ticks, .. } = pass;
        self.queue = queue;
        self.stats.resumes += resumes;
        self.stats.vm_ticks += vm_ticks;
        self.is_slow = watch.map_or(self.is_slow, |watch| watch.is_close());
        // Dealt with here, outside the loop that lives on borrowed parts.
        let mut slots = Vec::with_capacity(ended.len());
        for (slot, end) in ended {
            self.end_as(slot, end);
            slots.push(slot);
        }
        self.sweep();
        // Only now is it known which VMs have processes left, for which threads are worth keeping.
        slots.into_iter().for_each(|slot| self.drop_thread(slot));
        self.measure();
    }

    fn end_as(&mut self, slot: u32, end: End) {
        let Some(state) = &mut self.state else { return };
        let thread = ProcessIndex(slot);
        let outcome = match end {
            End::Returned => Outcome::Finished(state.results(thread)),
            End::Exited(results) => Outcome::Finished(results),
            End::Failed => Outcome::Failed(state.error(thread)),
            End::Killed(reason) => Outcome::Killed(reason),
        };
        self.end(slot, outcome);
    }
}

/// How a process ends after its slice.
#[derive(Debug)]
enum End {
    Returned,
    Exited(Vec<Value>),
    Failed,
    Killed(KillReason),
}

/// A slice that is about to run.
#[derive(Clone, Copy, Debug)]
struct Turn {
    process: SlotId,
    quantum: u32,
    /// Bytes that it may allocate.
    memory_bytes: usize,
    /// Bytes that its VM holds.
    held_bytes: usize,
}

/// The slices of one pass, or of a part of it: what they need of the isolate, borrowed once.
///
/// Hundreds of thousands of slices run in each tick, most of them until they are preempted. What those pass
/// through is kept short; the rest is elsewhere.
struct Pass<'a> {
    slices: Slices<'a>,
    queue: RunQueue<SlotId>,
    slots: &'a mut [Slot],
    places: &'a mut [Place],
    accounts: &'a mut [VmAccount],
    config: IsolateConfig,
    printed: &'a mut Vec<u32>,
    garbage: &'a mut Estimate,
    waiting: &'a mut Waiting,
    subscribers: &'a mut Subscribers,
    collections: Collections,
    quantum: u32,
    /// How many slices one is that ends with its quantum: 0 if the process will go on with it.
    counts_as: u32,
    tick: u32,
    now: Duration,
    deadline: Option<Instant>,
    /// The isolate that this operating-system thread runs next, if that is known.
    next: Option<&'a Isolate>,
    watch: Option<Stopwatch>,
    /// Whether it watches each slice.
    is_close: bool,
    /// Slices since it looked last.
    slices_since_check: u32,
    /// Safepoints until it looks again.
    safepoints_to_check: i64,
    /// Whether each VM's memory is known.
    is_exact: bool,
    /// Whose limits the slices are held to now. Only compared: most VMs share one set.
    limits: *const Limits,
    /// Bytes that the VM may have.
    memory_limit: usize,
    /// Bytes that a slice may allocate, if its VM may have so many.
    slice_bytes: usize,
    /// What the state may take before the pass stops.
    most_bytes: usize,
    ended: Vec<(u32, End)>,
    resumes: u64,
    vm_ticks: u64,
}

impl<'a> Pass<'a> {
    fn new(
        isolate: &'a mut Isolate,
        quantum: u32,
        tick: u32,
        now: Duration,
        deadline: Option<Instant>,
        next: Option<&'a Isolate>,
    ) -> Option<Self> {
        let most_bytes =
            if deadline.is_some() { isolate.garbage.most_bytes(isolate.live) } else { usize::MAX };
        let state = isolate.state.as_mut()?;
        state.context().now = now.as_secs_f64();
        let config = isolate.config;
        // Without a deadline the results must not depend on a clock.
        let is_timed = deadline.is_some() && config.limits;
        let overrun = config.overrun_limit;
        let limits = SliceLimits { time: is_timed.then_some(overrun), overrun };
        Some(Self {
            slices: state.slices(limits),
            queue: std::mem::take(&mut isolate.queue),
            slots: isolate.slots.as_mut_slice(),
            places: &mut isolate.places,
            accounts: &mut isolate.accounts,
            config,
            printed: &mut isolate.printed,
            collections: isolate.garbage.collections(),
            garbage: &mut isolate.garbage,
            waiting: &mut isolate.waiting,
            subscribers: &mut isolate.subscribers,
            quantum,
            counts_as: u32::from(quantum == config.quantum),
            tick,
            now,
            deadline,
            next,
            watch: is_timed.then(|| Stopwatch::new(quantum, isolate.is_slow)),
            is_close: is_timed && isolate.is_slow,
            slices_since_check: 0,
            safepoints_to_check: SAFEPOINTS_PER_CLOCK_LOOK,
            is_exact: config.limits && config.exact_memory,
            limits: std::ptr::null(),
            memory_limit: usize::MAX,
            slice_bytes: if config.limits { Limits::SLICE_BYTES } else { usize::MAX },
            most_bytes,
            ended: Vec::new(),
            resumes: 0,
            vm_ticks: 0,
        })
    }

    /// Runs slices until nobody is left in the pass, or it has to stop.
    fn run(&mut self) {
        while let Some(turn) = self.next_turn() {
            let report = self.slices.run(turn.process.thread(), turn.quantum, turn.memory_bytes);
            if self.after_slice(turn, report).is_break() {
                break;
            }
        }
        if let Some(watch) = self.watch.as_mut().filter(|_| self.slices_since_check > 0) {
            watch.batch(self.slices_since_check);
        }
    }

    /// Whose slice is next, and what it may use.
    #[inline]
    fn next_turn(&mut self) -> Option<Turn> {
        loop {
            let process = self.queue.next_in_pass()?;
            prefetch_next(self.slices.state(), self.queue.upcoming(), self.next);
            let turn = self.turn_of(process);
            if turn.is_some() {
                return turn;
            }
        }
    }

    /// The turn of a process, unless it has ended, is suspended or must wait.
    #[inline]
    fn turn_of(&mut self, id: SlotId) -> Option<Turn> {
        let slot = &mut self.slots[id.slot as usize];
        if slot.generation != id.generation {
            return None; // it was removed while it was queued
        }
        let mut quantum = self.quantum;
        if slot.is_suspended || slot.priority != NORMAL_PRIORITY || slot.slices == 0 {
            quantum = special_quantum(slot, quantum)?;
        }
        let account = &mut self.accounts[slot.place as usize];
        let is_first_of_tick = account.begin_tick(self.tick);
        if !account.has_time() && self.watch.is_some() {
            self.queue.keep(id);
            return None;
        }
        if !std::ptr::eq(self.limits, &*account.limits) {
            self.limits = &*account.limits;
            self.memory_limit = if self.is_exact { account.limits.memory_bytes } else { usize::MAX };
            self.slices.allow(&match self.config.limits {
                true => account.allowance(),
                false => Allowance::unlimited(account.limits.console_bytes),
            });
        }
        let held_bytes = if self.is_exact { self.slices.category_bytes(slot.category) } else { 0 };
        if held_bytes > self.memory_limit || account.is_suspect() {
            let vm = VmIndex(slot.place);
            let coroutines = if self.config.limits { self.slices.coroutines(vm) } else { 0 };
            match account.verdict(id.slot, Holdings { bytes: held_bytes, coroutines }, self.collections) {
                Verdict::Run => {}
                Verdict::Wait => {
                    self.garbage.request_collection();
                    self.queue.keep(id);
                    return None;
                }
                Verdict::Kill(reason) => {
                    self.ended.push((id.slot, End::Killed(reason)));
                    return None;
                }
            }
        }
        account.charge_to_last_runner(id.slot);
        self.vm_ticks += u64::from(is_first_of_tick);
        slot.state = ProcessState::Running;
        let memory_bytes = (self.memory_limit - held_bytes).min(self.slice_bytes);
        Some(Turn { process: id, quantum, memory_bytes, held_bytes })
    }

    /// Takes note of what a slice did. The pass stops where the deadline is past, or too much memory is in use.
    #[inline]
    fn after_slice(&mut self, turn: Turn, report: SliceReport) -> ControlFlow<()> {
        let slot = &mut self.slots[turn.process.slot as usize];
        slot.safepoints += report.safepoints;
        slot.state = ProcessState::Runnable;
        match report.outcome {
            None if !self.is_close => {
                slot.slices = slot.slices.saturating_add(self.counts_as);
                self.resumes += u64::from(self.counts_as);
                self.queue.keep(turn.process);
            }
            outcome => self.take_outcome(turn, outcome.unwrap_or(SliceEnd::Preempted)),
        }
        self.slices_since_check += 1;
        self.safepoints_to_check -= SAFEPOINTS_PER_SLICE + report.safepoints.cast_signed();
        if self.safepoints_to_check > 0 && !self.is_close {
            return ControlFlow::Continue(());
        }
        self.check()
    }

    /// Whether the pass goes on.
    #[cold]
    fn check(&mut self) -> ControlFlow<()> {
        let is_late = self.check_clock().zip(self.deadline).is_some_and(|(now, deadline)| now >= deadline);
        match is_late || self.slices.state().object_bytes() > self.most_bytes {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// The time, if slices are timed.
    fn check_clock(&mut self) -> Option<Instant> {
        let is_due = self.safepoints_to_check <= 0;
        if is_due {
            self.safepoints_to_check = SAFEPOINTS_PER_CLOCK_LOOK;
        }
        let watch = self.watch.as_mut()?;
        if !is_due {
            return Some(Instant::now());
        }
        let now = watch.batch(std::mem::take(&mut self.slices_since_check));
        self.is_close = watch.is_close();
        Some(now)
    }

    /// Takes what a slice leaves beyond safepoints: output, requests, time used, its end.
    #[cold]
    fn take_outcome(&mut self, turn: Turn, end: SliceEnd) {
        let id = turn.process;
        let slot = &mut self.slots[id.slot as usize];
        let account = &mut self.accounts[slot.place as usize];
        let slices = if end == SliceEnd::Preempted { self.counts_as } else { 1 };
        slot.slices = slot.slices.saturating_add(slices);
        self.resumes += u64::from(slices);
        if self.slices.coroutines(VmIndex(slot.place)) > account.limits.coroutines {
            account.suspect();
        }
        let context = self.slices.context();
        if !context.console.is_empty() {
            let place = &mut self.places[slot.place as usize];
            if place.console.is_none() {
                self.printed.push(slot.place);
            }
            let new = || Box::new(ConsoleBuffer::new(account.limits.console_bytes));
            place.console.get_or_insert_with(new).append(&mut context.console);
        }
        let overrun = self.config.overrun_limit;
        let mut end = match end {
            SliceEnd::Preempted | SliceEnd::Yielded => None,
            SliceEnd::Waiting => {
                slot.state = ProcessState::Waiting;
                None
            }
            SliceEnd::Returned => Some(End::Returned),
            SliceEnd::Exited => Some(End::Exited(std::mem::take(&mut context.exit_results))),
            SliceEnd::Failed => Some(End::Failed),
            SliceEnd::Exceeded(excess) => {
                Some(End::Killed(kill_reason(excess, context, &account.limits, overrun, turn.held_bytes)))
            }
        };
        if let Some(time) = self.watch.as_mut().and_then(Stopwatch::slice) {
            account.charge_time(time);
            if Stopwatch::is_far_over(time, overrun) {
                end = Some(End::Killed(KillReason::Overrun { limit: overrun, used: time }));
            }
        }
        // Some of its tasks may wait while others run.
        for (task, mut request) in context.requests.drain(..).filter(|_| end.is_none()) {
            if matches!(request, Request::Cancel) {
                context.replies.take(id.thread(), task);
            }
            let wait = self.waiting.next_wait(id, task);
            self.subscribers.begin(slot.place, wait, &mut request);
            self.waiting.begin(wait, request, self.now, self.config.syscall_timeout);
        }
        match end {
            None if slot.state == ProcessState::Waiting => {}
            None => self.queue.keep(id),
            Some(end) => self.ended.push((id.slot, end)),
        }
    }
}

/// The quantum of a process whose priority is not the usual one, or that has had a part of its first slice. None if it
/// is suspended.
#[cold]
fn special_quantum(slot: &mut Slot, usual: u32) -> Option<u32> {
    if slot.is_suspended {
        if !slot.state.has_ended() {
            slot.state = ProcessState::Suspended; // until it is resumed
        }
        return None;
    }
    let scaled = u64::from(usual) * u64::from(slot.priority) / u64::from(NORMAL_PRIORITY);
    let quantum = u32::try_from(scaled).unwrap_or(u32::MAX).max(MIN_QUANTUM);
    let passed = if slot.slices == 0 { slot.safepoints as u32 } else { 0 };
    Some(quantum.saturating_sub(passed).max(1))
}
