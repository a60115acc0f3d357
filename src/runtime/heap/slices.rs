//! Running the processes of a heap.

use std::time::{Duration, Instant};

use super::garbage::Estimate;
use super::limits::{Collections, Holdings, Stopwatch, Turn, VmAccount, kill_reason};
use super::lookahead::{prefetch_first, prefetch_next};
use super::messages::Subscribers;
use super::slots::Slot;
use super::waiting::Waiting;
use super::{Heap, HeapConfig, MIN_QUANTUM, Place, SlotId};
use crate::console::ConsoleBuffer;
use crate::process::ProcessState;
use crate::process::exit::{KillReason, Outcome};
use crate::runtime::luau::{Allowance, NORMAL_PRIORITY, SliceEnd, SliceLimits, Slices, ThreadId};
use crate::scheduler::run_queue::RunQueue;
use crate::value::Value;
use crate::vm::limits::Limits;

/// Slices between two looks at the clock.
const SLICES_PER_CLOCK_LOOK: u32 = 16;

/// Safepoints between two looks at the clock: a fraction of a millisecond.
const SAFEPOINTS_PER_CLOCK_LOOK: u64 = 16_384;

impl Heap {
    /// How many processes wait for their turn.
    pub(crate) fn runnable(&self) -> usize {
        self.queue.len() + self.rested.len()
    }

    /// Starts a pass over all runnable processes.
    pub(crate) fn begin_pass(&mut self) {
        self.queue.begin_pass();
    }

    /// Whether every process has had its slice of the current pass.
    pub(crate) fn pass_is_over(&self) -> bool {
        self.queue.pass_is_over()
    }

    /// Runs slices until the pass is over or `deadline` is past. `next` is the heap that this operating-system thread
    /// runs next, if that is known.
    pub(crate) fn run(&mut self, tick: u32, now: Duration, deadline: Option<Instant>, next: Option<&Self>) {
        if let Some(next) = next {
            next.prefetch();
        }
        self.run_slices(self.config.quantum, tick, now, deadline, next);
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
        let Some(mut pass) = Pass::new(self, quantum, tick, now, deadline) else {
            self.queue = RunQueue::default(); // whoever is queued has ended
            return;
        };
        pass.run(deadline, next);
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
    }

    fn end_as(&mut self, slot: u32, end: End) {
        let Some(state) = &mut self.state else { return };
        let thread = ThreadId(slot);
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

/// The slices of one pass, or of a part of it: what they need of the heap, borrowed once.
///
/// Hundreds of thousands of slices run in each tick, most of them until they are preempted. What those pass
/// through is kept short; the rest is elsewhere.
struct Pass<'a> {
    slices: Slices<'a>,
    queue: RunQueue<SlotId>,
    slots: &'a mut [Slot],
    places: &'a mut [Place],
    accounts: &'a mut [VmAccount],
    config: HeapConfig,
    printed: &'a mut Vec<u32>,
    garbage: &'a mut Estimate,
    waiting: &'a mut Waiting,
    subscribers: &'a mut Subscribers,
    collections: Collections,
    quantum: u32,
    /// Whether a slice is counted that ends with its quantum.
    is_whole: bool,
    tick: u32,
    now: Duration,
    watch: Option<Stopwatch>,
    /// Whose limits the slices are held to now. Only compared: most VMs share one set.
    limits: *const Limits,
    ended: Vec<(u32, End)>,
    resumes: u64,
    vm_ticks: u64,
}

impl<'a> Pass<'a> {
    fn new(
        heap: &'a mut Heap,
        quantum: u32,
        tick: u32,
        now: Duration,
        deadline: Option<Instant>,
    ) -> Option<Self> {
        let state = heap.state.as_mut()?;
        state.context().now = now.as_secs_f64();
        let config = heap.config;
        // Without a deadline the results must not depend on a clock.
        let is_timed = deadline.is_some() && config.limits;
        let overrun = config.overrun_limit;
        let limits = SliceLimits { time: is_timed.then_some(overrun), overrun };
        Some(Self {
            slices: state.slices(limits),
            queue: std::mem::take(&mut heap.queue),
            slots: heap.slots.as_mut_slice(),
            places: &mut heap.places,
            accounts: &mut heap.accounts,
            config,
            printed: &mut heap.printed,
            collections: heap.garbage.collections(),
            garbage: &mut heap.garbage,
            waiting: &mut heap.waiting,
            subscribers: &mut heap.subscribers,
            quantum,
            is_whole: quantum == config.quantum,
            tick,
            now,
            watch: is_timed.then(|| Stopwatch::new(quantum, heap.is_slow)),
            limits: std::ptr::null(),
            ended: Vec::new(),
            resumes: 0,
            vm_ticks: 0,
        })
    }

    fn run(&mut self, deadline: Option<Instant>, next: Option<&Heap>) {
        let (mut slices, mut safepoints) = (0, 0);
        prefetch_first(self.slices.state(), self.queue.upcoming());
        while let Some(id) = self.queue.next_in_pass() {
            prefetch_next(self.slices.state(), self.queue.upcoming(), next);
            let Some(passed) = self.turn(id) else { continue };
            slices += 1;
            safepoints += passed;
            if let Some(watch) = &mut self.watch {
                let now = if slices >= SLICES_PER_CLOCK_LOOK || safepoints >= SAFEPOINTS_PER_CLOCK_LOOK {
                    safepoints = 0;
                    watch.batch(std::mem::take(&mut slices))
                } else if watch.is_close() {
                    Instant::now()
                } else {
                    continue;
                };
                if deadline.is_some_and(|deadline| now >= deadline) {
                    break;
                }
            }
        }
        if let Some(watch) = self.watch.as_mut().filter(|_| slices > 0) {
            watch.batch(slices);
        }
    }

    /// The turn of a process. If it had a slice: the safepoints that it passed.
    #[inline]
    fn turn(&mut self, id: SlotId) -> Option<u64> {
        let slot = &mut self.slots[id.slot as usize];
        if slot.generation != id.generation {
            return None; // it was removed while it was queued
        }
        if slot.is_suspended {
            if !slot.state.has_ended() {
                slot.state = ProcessState::Suspended; // until it is resumed
            }
            return None;
        }
        let is_usual = slot.priority == NORMAL_PRIORITY && slot.slices > 0;
        let quantum = if is_usual { self.quantum } else { quantum_of(slot, self.quantum) };
        let account = &mut self.accounts[slot.place as usize];
        let is_first_of_tick = account.begin_tick(self.tick);
        if self.watch.is_some() && !account.has_time() {
            self.queue.keep(id);
            return None;
        }
        let mut memory_bytes = usize::MAX;
        let mut holdings = Holdings::default();
        if self.config.limits {
            if self.config.exact_memory {
                holdings.bytes = self.slices.category_bytes(slot.category);
            }
            holdings.coroutines = self.slices.coroutines(slot.place);
            match account.turn(id.slot, holdings, self.collections) {
                Turn::Run { memory_bytes: left } => {
                    memory_bytes = if self.config.exact_memory { left } else { Limits::SLICE_BYTES };
                }
                Turn::Wait => {
                    self.garbage.want();
                    self.queue.keep(id);
                    return None;
                }
                Turn::Kill(reason) => {
                    self.ended.push((id.slot, End::Killed(reason)));
                    return None;
                }
            }
        }
        if !std::ptr::eq(self.limits, &*account.limits) {
            self.limits = &*account.limits;
            self.slices.allow(&match self.config.limits {
                true => account.allowance(),
                false => Allowance::unlimited(account.limits.console_bytes),
            });
        }
        self.vm_ticks += u64::from(is_first_of_tick);
        slot.state = ProcessState::Running;
        if self.waiting.has_replies() {
            self.slices.context().reply = self.waiting.take_reply(id.slot);
        }
        let report = self.slices.run(id.thread(), quantum, memory_bytes);
        let is_preempted = report.end == SliceEnd::Preempted;
        let is_whole = self.is_whole || !is_preempted;
        slot.safepoints += report.safepoints;
        slot.slices = slot.slices.saturating_add(u32::from(is_whole));
        slot.state = ProcessState::Runnable;
        self.resumes += u64::from(is_whole);
        let is_watched = self.watch.as_ref().is_some_and(Stopwatch::is_close);
        if is_preempted && !is_watched && !self.slices.context().has_news() {
            self.queue.keep(id);
        } else {
            self.after_slice(id, report.end, holdings);
        }
        Some(report.safepoints)
    }

    /// Takes what a slice leaves: output, requests, time used, its end.
    #[cold]
    fn after_slice(&mut self, id: SlotId, end: SliceEnd, holdings: Holdings) {
        let slot = &mut self.slots[id.slot as usize];
        let account = &mut self.accounts[slot.place as usize];
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
                Some(End::Killed(kill_reason(excess, context, &account.limits, overrun, holdings.bytes)))
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

/// The quantum of a process whose priority is not the usual one, or that has had a part of its first slice.
#[cold]
fn quantum_of(slot: &Slot, usual: u32) -> u32 {
    let scaled = u64::from(usual) * u64::from(slot.priority) / u64::from(NORMAL_PRIORITY);
    let quantum = u32::try_from(scaled).unwrap_or(u32::MAX).max(MIN_QUANTUM);
    let passed = if slot.slices == 0 { slot.safepoints as u32 } else { 0 };
    quantum.saturating_sub(passed).max(1)
}
