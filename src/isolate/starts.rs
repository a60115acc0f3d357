//! Starting the processes of an isolate: each gets its thread and, at once, the beginning of its first slice.
//!
//! A process that ends there hands its thread, still in the caches, to the next, so that many short ones take
//! the memory of a few.

use std::time::{Duration, Instant};

use super::run_queue::RunQueue;
use super::{Isolate, SlotId};
use crate::types::Outcome;

/// Processes started between two looks at the clock.
const STARTS_PER_CLOCK_LOOK: usize = 16;

/// Safepoints of the first slice that belong to the start. The rest of it follows when it is the process's
/// turn: starts are to stay cheap.
const STARTING_SAFEPOINTS: u32 = 16;

impl Isolate {
    /// Whether processes wait for [`Isolate::start_admitted`].
    pub(crate) fn has_admitted(&self) -> bool {
        !self.starting.is_empty()
    }

    /// Whether they can start now.
    pub(crate) fn can_start(&self) -> bool {
        self.has_admitted() && !self.collection_is_overdue()
    }

    /// Starts admitted processes until `deadline`.
    pub(crate) fn start_admitted(&mut self, tick: u32, now: Duration, deadline: Option<Instant>) {
        while self.can_start() {
            let mut batch = RunQueue::default();
            self.start_some(&mut batch);
            batch.begin_pass();
            // They are alone in the queue: a pass may be under way there.
            let queue = std::mem::replace(&mut self.queue, batch);
            let quantum = self.config.quantum.min(STARTING_SAFEPOINTS);
            let resumes = self.stats.resumes;
            self.run_slices(quantum, tick, now, deadline, None);
            self.stats.starting_resumes += self.stats.resumes - resumes;
            for id in std::mem::replace(&mut self.queue, queue).into_entries() {
                let had_slice = self.slots[id.slot].slices > 0;
                if had_slice { self.started_this_tick.push(id) } else { self.queue.push(id) }
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
        }
        if self.starting.is_empty() {
            self.starting = Default::default(); // it may have been long
        }
    }

    /// Queues those that had their first slice in this tick, for the passes that begin in later ones. To be called when
    /// that of this tick has begun.
    pub(crate) fn enqueue_started(&mut self) {
        // It may have been long, and few start at other times.
        std::mem::take(&mut self.started_this_tick).into_iter().for_each(|id| self.queue.push(id));
    }

    fn start_some(&mut self, batch: &mut RunQueue<SlotId>) {
        for _ in 0..STARTS_PER_CLOCK_LOOK {
            let Some((id, script, start)) = self.starting.pop_front() else { break };
            if self.slots.live(id).is_none() {
                continue; // despawned or killed in the meantime
            }
            match self.start(id.slot, &script, start) {
                Ok(()) => batch.push(id),
                Err(error) => {
                    self.end(id.slot, Outcome::Failed(error));
                    self.drop_thread(id.slot);
                }
            }
        }
    }
}
