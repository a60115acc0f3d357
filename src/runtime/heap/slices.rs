//! Running the processes of a heap.

use std::time::{Duration, Instant};

use super::Heap;
use crate::console::ConsoleBuffer;
use crate::process::ProcessState;
use crate::process::exit::{KillReason, Outcome};
use crate::runtime::luau::{SliceEnd, ThreadId};

/// Slices between two looks at the clock.
const SLICES_PER_CLOCK_LOOK: u32 = 64;

/// Safepoints between two looks at the clock: a fraction of a millisecond.
const SAFEPOINTS_PER_CLOCK_LOOK: u64 = 16_384;

/// How many slices ahead a process's thread is prefetched.
const PREFETCH_THREAD: usize = 8;

/// How many slices ahead its call frame and stack are.
const PREFETCH_FRAME: usize = 4;

impl Heap {
    /// How many processes wait for their turn.
    pub(crate) fn runnable(&self) -> usize {
        self.queue.len()
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
        let Self { state: Some(state), queue, slots, places, stats, config, printed, .. } = self else {
            return;
        };
        state.context().now = now.as_secs_f64();
        let mut slices = state.slices(config.quantum, config.overrun_limit);
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
            let place = &mut places[slot.place as usize];
            if place.last_tick != tick {
                place.last_tick = tick;
                stats.vm_ticks += 1;
            }
            stats.resumes += 1;
            slot.state = ProcessState::Running;
            let report = slices.run(ThreadId(id.slot));
            slot.safepoints += report.safepoints;
            slot.slices = slot.slices.saturating_add(1);
            slot.state = ProcessState::Runnable;
            let console = &mut slices.state().context().console;
            if !console.is_empty() {
                if place.console.is_none() {
                    printed.push(slot.place);
                }
                let new = || Box::new(ConsoleBuffer::new(config.console_bytes));
                place.console.get_or_insert_with(new).append(console);
            }
            match report.end {
                SliceEnd::Preempted | SliceEnd::Yielded => queue.push(id),
                end => ended.push((id.slot, end)),
            }
            slices_since_look += 1;
            safepoints_since_look += report.safepoints;
            if slices_since_look >= SLICES_PER_CLOCK_LOOK
                || safepoints_since_look >= SAFEPOINTS_PER_CLOCK_LOOK
            {
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    break;
                }
                (slices_since_look, safepoints_since_look) = (0, 0);
            }
        }
        for &(slot, end) in &ended {
            self.end_as(slot, end);
        }
        // Only now is it known which VMs have processes left, for which threads are worth keeping.
        for (slot, _) in ended {
            self.drop_thread(slot);
        }
    }

    fn end_as(&mut self, slot: u32, end: SliceEnd) {
        let Some(state) = &mut self.state else { return };
        let thread = ThreadId(slot);
        let outcome = match end {
            SliceEnd::Preempted | SliceEnd::Yielded => return,
            SliceEnd::Returned => Outcome::Finished(state.results(thread)),
            SliceEnd::Failed => Outcome::Failed(state.error(thread)),
            SliceEnd::Overrun => Outcome::Killed(KillReason::Overrun { limit: self.config.overrun_limit }),
        };
        self.end(slot, outcome);
    }
}
