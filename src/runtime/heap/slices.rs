//! Running the processes of a heap.

use std::time::{Duration, Instant};

use super::{Heap, SlotId};
use crate::console::ConsoleBuffer;
use crate::process::ProcessState;
use crate::process::exit::{CpuUsage, KillReason, Outcome};
use crate::runtime::luau::{SliceEnd, ThreadId};

/// Slices between two looks at the clock.
const SLICES_PER_CLOCK_LOOK: usize = 64;

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
    pub(crate) fn run(&mut self, tick: u64, now: Duration, deadline: Option<Instant>) {
        if let Some(state) = &mut self.state {
            state.context().now = now.as_secs_f64();
        }
        while !self.queue.pass_is_over() {
            for _ in 0..SLICES_PER_CLOCK_LOOK {
                let Some(id) = self.queue.next_in_pass() else { return };
                self.run_slice(id, tick);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return;
            }
        }
    }

    fn run_slice(&mut self, id: SlotId, tick: u64) {
        let slot = &mut self.slots[id.slot as usize];
        let Some(state) = self.state.as_mut().filter(|_| slot.generation == id.generation) else {
            return; // it was removed while it was queued
        };
        let place = &mut self.places[slot.place as usize];
        if place.last_tick != tick {
            place.last_tick = tick;
            self.stats.vm_ticks += 1;
        }
        self.stats.resumes += 1;
        slot.state = ProcessState::Running;
        let thread = ThreadId(id.slot);
        let report = state.resume(thread, self.config.quantum, self.config.overrun_limit);
        slot.cpu += CpuUsage { safepoints: report.safepoints, slices: 1 };
        let printed = &mut state.context().console;
        if !printed.is_empty() {
            if place.console.is_none() {
                self.printed.push(slot.place);
            }
            let capacity = self.config.console_bytes;
            place.console.get_or_insert_with(|| Box::new(ConsoleBuffer::new(capacity))).append(printed);
        }
        let outcome = match report.end {
            SliceEnd::Preempted | SliceEnd::Yielded => {
                slot.state = ProcessState::Runnable;
                self.queue.push(id);
                return;
            }
            SliceEnd::Returned => Outcome::Finished(state.results(thread)),
            SliceEnd::Failed => Outcome::Failed(state.error(thread)),
            SliceEnd::Overrun => Outcome::Killed(KillReason::Overrun { limit: self.config.overrun_limit }),
        };
        self.end(id.slot, outcome);
    }
}
