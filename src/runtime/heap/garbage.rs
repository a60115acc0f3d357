//! When a heap is collected, and how.

use std::time::{Duration, Instant};

use super::Heap;
use super::limits::Collections;
use super::slots::Slots;
use super::waiting::Waiting;
use crate::runtime::luau::LuauState;

/// A heap may grow this much beyond what is expected to live before a collection is due, so that
/// small heaps are not collected all the time.
const MIN_GROWTH: usize = 256 * 1024;

/// Up to this many bytes a heap is collected in one go, which takes less than 1 ms.
const COLLECT_WHOLE: usize = 1024 * 1024;

/// The same where there is no deadline to keep: with collections of one piece, results do not depend on a
/// clock.
const COLLECT_WHOLE_UNLIMITED: usize = 4 * 1024 * 1024;

/// What a process takes at least: `lua_State`, call frames, stack, closure, table of globals.
const PROCESS_BYTES: usize = 1_400;

/// What a collection in steps may take of a tick whose budget is unlimited.
const STEPS_PER_UNLIMITED_TICK: Duration = Duration::from_millis(2);

/// What is known of a heap's garbage without looking.
#[derive(Debug, Default)]
pub(crate) struct Estimate {
    /// What the state took when it was opened.
    base: usize,
    /// What it takes, as of the last [measurement](Heap::measure).
    bytes: usize,
    /// What the last collection left.
    left: usize,
    /// How many processes lived then.
    processes: usize,
    /// A collection in steps is under way.
    collecting: bool,
    /// A VM cannot go on before it is known how much of what it holds is garbage.
    wanted: bool,
    finished: u32,
}

impl Estimate {
    /// The state was opened, or taken over. It took `base` bytes when it was opened, and takes `bytes` now.
    pub(super) fn opened(&mut self, base: usize, bytes: usize) {
        (self.base, self.bytes, self.left, self.processes) = (base, bytes, base, 0);
        (self.collecting, self.wanted) = (false, false);
    }

    pub(super) fn base_bytes(&self) -> usize {
        self.base
    }

    /// Whether a state that takes `bytes` now, without processes, can go on without a collection.
    pub(super) fn is_little(&self, bytes: usize) -> bool {
        !self.collecting && !self.wanted && bytes < self.base + 2 * MIN_GROWTH
    }

    /// A collection left what was measured, with so many processes alive.
    pub(super) fn collected(&mut self, processes: usize) {
        (self.left, self.processes) = (self.bytes, processes);
        self.wanted = false;
        self.finished += 1;
    }

    /// Asks for a collection even if little has been allocated.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    pub(super) fn collections(&self) -> Collections {
        Collections { finished: self.finished, one_is_underway: self.collecting }
    }

    /// What is alive now if the processes do as they did, and new ones have nothing yet.
    fn live(&self, processes: usize) -> usize {
        let new = processes.saturating_sub(self.processes) * PROCESS_BYTES;
        let gone = self.processes.saturating_sub(processes) * PROCESS_BYTES;
        (self.left + new).saturating_sub(gone)
    }

    fn is_due(&self, processes: usize) -> bool {
        let live = self.live(processes);
        self.collecting || self.wanted || self.bytes > (2 * live).max(live + MIN_GROWTH)
    }

    fn is_overdue(&self, processes: usize) -> bool {
        // What has ended since the last collection is no reason to stop everybody else.
        let live = self.live(processes.max(self.processes));
        self.bytes > (4 * live).max(live + 4 * MIN_GROWTH)
    }
}

impl Heap {
    /// Bytes in use, garbage included.
    pub(crate) fn bytes(&self) -> usize {
        self.state.as_ref().map_or(0, LuauState::bytes)
    }

    /// Notes the bytes in use, for those who look at all heaps and would wait for memory at the state of each. Taken
    /// after slices and collections; what signals and despawns change in between shows after the next.
    pub(super) fn measure(&mut self) {
        self.garbage.bytes = self.bytes();
    }

    /// Whether the heap has grown enough since its last collection to be worth another one. A heap
    /// without VMs is not: it will be used again, or closed.
    pub(crate) fn collection_is_due(&self) -> bool {
        // Exits are settled after collections: a heap whose processes have all just ended may lose its
        // VMs in a moment, and then all of it is garbage.
        let may_be_done = self.live == 0 && self.has_exits();
        let is_due = !may_be_done && self.garbage.is_due(self.live);
        self.vms() > 0 && (is_due || self.collection_is_overdue())
    }

    /// Whether the heap must be collected before it runs again.
    pub(crate) fn collection_is_overdue(&self) -> bool {
        self.vms() > 0 && self.garbage.is_overdue(self.live)
    }

    /// Collects garbage: a small heap whole, a large one in steps until `deadline`. Without one, a
    /// large heap gets a part of each tick, or what it needs if it is overdue.
    pub(crate) fn collect(&mut self, deadline: Option<Instant>) {
        let mut step_began = Instant::now();
        let until = match deadline {
            Some(deadline) => Some(deadline),
            None if self.collection_is_overdue() => None,
            None => Some(step_began + STEPS_PER_UNLIMITED_TICK),
        };
        let Some(state) = &mut self.state else { return };
        let most = if deadline.is_some() { COLLECT_WHOLE } else { COLLECT_WHOLE_UNLIMITED };
        let is_small = state.bytes() <= most && !self.garbage.collecting;
        loop {
            let done = if is_small {
                state.collect();
                true
            } else {
                state.collect_step()
            };
            let now = Instant::now();
            let pause = now - step_began;
            step_began = now;
            self.stats.gc_time += pause;
            self.stats.gc_longest_pause = self.stats.gc_longest_pause.max(pause);
            self.garbage.collecting = !done;
            self.garbage.bytes = state.bytes();
            if done {
                self.garbage.collected(self.live);
            }
            if done || until.is_some_and(|until| now >= until) {
                return;
            }
        }
    }

    /// Collects all garbage at once, however long it takes. Returns what lives.
    pub(crate) fn collect_all(&mut self) -> usize {
        let Some(state) = &mut self.state else { return 0 };
        state.collect(); // ends what steps have begun, and begins anew
        self.garbage.collecting = false;
        self.garbage.bytes = state.bytes();
        self.garbage.collected(self.live);
        self.garbage.bytes
    }

    /// Starts over, and hands out the state of a heap without VMs, to be closed where that disturbs
    /// nobody.
    pub(crate) fn take_state_if_empty(&mut self) -> Option<LuauState> {
        if self.slots.is_empty() || self.vms() > 0 {
            return None;
        }
        // Old handles must not fit the slots and places of the heap that starts over.
        let last = self.slots.generations().chain(self.places.iter().map(|place| place.generation)).max();
        let first_generation = last.map_or(0, |last| last + 1);
        let next = Self {
            slots: Slots::new(first_generation),
            first_generation,
            waiting: Waiting::after(&self.waiting),
            ..Self::new(self.config, self.host.clone())
        };
        std::mem::replace(self, next).state
    }
}
