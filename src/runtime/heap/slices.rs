//! Running the processes of a heap.

use std::time::{Duration, Instant};

use super::Heap;
use super::limits::{Holdings, Stopwatch, Turn, kill_reason};
use crate::console::ConsoleBuffer;
use crate::process::ProcessState;
use crate::process::exit::{KillReason, Outcome};
use crate::runtime::luau::{Allowance, SliceEnd, SliceLimits, ThreadId};
use crate::value::Value;

/// Slices between two looks at the clock.
const SLICES_PER_CLOCK_LOOK: u32 = 16;

/// Safepoints between two looks at the clock: a fraction of a millisecond.
const SAFEPOINTS_PER_CLOCK_LOOK: u64 = 16_384;

/// How many slices ahead a process's thread is prefetched.
const PREFETCH_THREAD: usize = 8;

/// How many slices ahead its call frame and stack are.
const PREFETCH_FRAME: usize = 4;

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

    /// Runs slices until the pass is over or `deadline` is past.
    pub(crate) fn run(&mut self, tick: u32, now: Duration, deadline: Option<Instant>) {
        self.run_slices(self.config.quantum, tick, now, deadline);
    }

    /// Runs slices of up to `quantum` safepoints. One that this cut short is not counted: the process will go on
    /// with it.
    pub(super) fn run_slices(&mut self, quantum: u32, tick: u32, now: Duration, deadline: Option<Instant>) {
        let Self {
            state: Some(state),
            queue,
            slots,
            places,
            stats,
            config,
            printed,
            garbage,
            waiting,
            subscribers,
            ..
        } = self
        else {
            return;
        };
        state.context().now = now.as_secs_f64();
        let overrun = config.overrun_limit;
        // Without a deadline the results must not depend on a clock.
        let time = deadline.filter(|_| config.limits).map(|_| overrun);
        let mut slices = state.slices(SliceLimits { quantum, time, overrun });
        let mut watch = deadline.filter(|_| config.limits).map(|_| Stopwatch::new(quantum, self.is_slow));
        let collections = garbage.collections();
        let (mut slices_since_look, mut safepoints_since_look) = (0, 0);
        // What ends is dealt with after its slice, outside the loop that lives on borrowed parts.
        let mut ended = Vec::new();
        while let Some(id) = queue.next_in_pass() {
            if let Some(soon) = queue.peek(PREFETCH_THREAD) {
                slices.prefetch_thread(ThreadId(soon.slot));
            }
            if let Some(soon) = queue.peek(PREFETCH_FRAME) {
                slices.prefetch_frame(ThreadId(soon.slot));
            }
            let slot = &mut slots[id.slot as usize];
            if slot.generation != id.generation {
                continue; // it was removed while it was queued
            }
            if slot.is_suspended {
                if !slot.state.has_ended() {
                    slot.state = ProcessState::Suspended; // until it is resumed
                }
                continue;
            }
            let place = &mut places[slot.place as usize];
            let is_first_of_tick = place.begin_tick(tick);
            if watch.is_some() && !place.has_time() {
                queue.push(id);
                continue;
            }
            let holdings = if config.limits {
                let bytes = config.exact_memory.then(|| slices.state().category_bytes(slot.category));
                Holdings { bytes, coroutines: slices.state().coroutines(slot.place) }
            } else {
                Holdings::default()
            };
            let turn = if config.limits {
                place.turn(slot.place, id.slot, holdings, collections)
            } else {
                Turn::Run(Allowance::unlimited(place.limits.console_bytes))
            };
            let allowance = match turn {
                Turn::Run(allowance) => allowance,
                Turn::Wait => {
                    garbage.want();
                    queue.push(id);
                    continue;
                }
                Turn::Kill(reason) => {
                    ended.push((id.slot, End::Killed(reason)));
                    continue;
                }
            };
            stats.vm_ticks += u64::from(is_first_of_tick);
            slot.state = ProcessState::Running;
            if waiting.has_replies() {
                slices.state().context().reply = waiting.take_reply(id.slot);
            }
            let passed = if slot.slices == 0 { slot.safepoints as u32 } else { 0 };
            let report = slices.run(ThreadId(id.slot), slot.pid, slot.priority, passed, &allowance);
            slot.safepoints += report.safepoints;
            let is_whole = quantum == config.quantum || report.end != SliceEnd::Preempted;
            slot.slices = slot.slices.saturating_add(u32::from(is_whole));
            stats.resumes += u64::from(is_whole);
            slot.state = ProcessState::Runnable;
            let console = &mut slices.state().context().console;
            if !console.is_empty() {
                if place.console.is_none() {
                    printed.push(slot.place);
                }
                let new = || Box::new(ConsoleBuffer::new(place.limits.console_bytes));
                place.console.get_or_insert_with(new).append(console);
            }
            let mut end = match report.end {
                SliceEnd::Preempted | SliceEnd::Yielded => None,
                SliceEnd::Waiting => {
                    slot.state = ProcessState::Waiting;
                    None
                }
                SliceEnd::Returned => Some(End::Returned),
                SliceEnd::Exited => {
                    Some(End::Exited(std::mem::take(&mut slices.state().context().exit_results)))
                }
                SliceEnd::Failed => Some(End::Failed),
                SliceEnd::Exceeded(excess) => {
                    let bytes = holdings.bytes.unwrap_or_default();
                    let context = slices.state().context();
                    Some(End::Killed(kill_reason(excess, context, &place.limits, overrun, bytes)))
                }
            };
            if let Some(time) = watch.as_mut().and_then(Stopwatch::slice) {
                place.charge_time(time);
                if Stopwatch::is_far_over(time, overrun) {
                    end = Some(End::Killed(KillReason::Overrun { limit: overrun, used: time }));
                }
            }
            // Some of its tasks may wait while others run.
            let requests = &mut slices.state().context().requests;
            if !requests.is_empty() {
                for (task, request) in requests.drain(..).filter(|_| end.is_none()) {
                    let mut request = request;
                    let wait = waiting.next_wait(id, task);
                    subscribers.begin(slot.place, wait, &mut request);
                    waiting.begin(wait, request, now, config.syscall_timeout);
                }
            }
            match end {
                None if slot.state == ProcessState::Waiting => {}
                None => queue.push(id),
                Some(end) => ended.push((id.slot, end)),
            }
            slices_since_look += 1;
            safepoints_since_look += report.safepoints;
            if let (Some(watch), Some(deadline)) = (&mut watch, deadline) {
                let now = if slices_since_look >= SLICES_PER_CLOCK_LOOK
                    || safepoints_since_look >= SAFEPOINTS_PER_CLOCK_LOOK
                {
                    safepoints_since_look = 0;
                    watch.batch(std::mem::take(&mut slices_since_look))
                } else if watch.is_close() {
                    Instant::now()
                } else {
                    continue;
                };
                if now >= deadline {
                    break;
                }
            }
        }
        if let Some(mut watch) = watch {
            if slices_since_look > 0 {
                watch.batch(slices_since_look);
            }
            self.is_slow = watch.is_close();
        }
        for (slot, end) in &mut ended {
            self.end_as(*slot, std::mem::replace(end, End::Returned));
        }
        self.sweep();
        // Only now is it known which VMs have processes left, for which threads are worth keeping.
        for (slot, _) in ended {
            self.drop_thread(slot);
        }
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
