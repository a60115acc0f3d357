//! When a heap is collected, and how.

use std::time::Instant;

use super::Heap;
use crate::runtime::luau::LuauState;

/// A heap may grow this much beyond what is expected to live before a collection is due, so that
/// small heaps are not collected all the time.
const MIN_GROWTH: usize = 256 * 1024;

/// Up to this many live bytes a heap is collected in one go, which takes less than 2 ms.
const COLLECT_WHOLE: usize = 4 * 1024 * 1024;

/// What a process takes at least: `lua_State`, call frames, stack, closure, table of globals.
const PROCESS_BYTES: usize = 1_400;

/// Ticks for which a heap stays open without a VM.
const TICKS_TO_CLOSE: u32 = 120;

/// What is known of a heap's garbage without looking.
#[derive(Debug, Default)]
pub(crate) struct Estimate {
    /// What the last collection left, with what was started and without what has ended since.
    live: usize,
    /// A collection in steps is under way.
    collecting: bool,
    ticks_without_vm: u32,
}

impl Estimate {
    /// Processes were started, which took `bytes`.
    pub(super) fn expect_live(&mut self, bytes: usize) {
        self.live += bytes;
    }

    /// The thread of a process was dropped.
    pub(super) fn expect_garbage(&mut self) {
        self.live = self.live.saturating_sub(PROCESS_BYTES);
    }

    fn is_due(&self, bytes: usize) -> bool {
        self.collecting || bytes > (2 * self.live).max(self.live + MIN_GROWTH)
    }

    fn is_overdue(&self, bytes: usize) -> bool {
        bytes > (4 * self.live).max(self.live + 4 * MIN_GROWTH)
    }
}

impl Heap {
    /// Bytes in use, garbage included.
    pub(crate) fn bytes(&self) -> usize {
        self.state.as_ref().map_or(0, LuauState::bytes)
    }

    /// Whether the heap has grown enough since its last collection to be worth another one. A heap
    /// without VMs is not: it will be used again, or closed.
    pub(crate) fn collection_is_due(&self) -> bool {
        self.vms() > 0 && self.garbage.is_due(self.bytes())
    }

    /// Whether the heap must be collected before it runs again.
    pub(crate) fn collection_is_overdue(&self) -> bool {
        self.vms() > 0 && self.garbage.is_overdue(self.bytes())
    }

    /// Collects garbage: a small heap whole, a large one in steps until `deadline` or the end of the
    /// collection.
    pub(crate) fn collect(&mut self, deadline: Instant) {
        let overdue = self.collection_is_overdue();
        let Some(state) = &mut self.state else { return };
        let mut pause_began = Instant::now();
        let mut done = self.garbage.live <= COLLECT_WHOLE && !self.garbage.collecting;
        if done {
            state.collect();
        }
        loop {
            let now = Instant::now();
            let pause = now - pause_began;
            self.stats.gc_time += pause;
            self.stats.gc_longest_pause = self.stats.gc_longest_pause.max(pause);
            if done || (now >= deadline && !overdue) {
                break;
            }
            pause_began = now;
            done = state.collect_step();
        }
        self.garbage.collecting = !done;
        if done {
            self.garbage.live = state.bytes();
        }
    }

    /// Counts a tick without a VM. After some of them the heap gives up its state, to be closed where
    /// it disturbs nobody.
    pub(crate) fn close_if_unused(&mut self) -> Option<LuauState> {
        if self.state.is_none() || self.vms() > 0 {
            self.garbage.ticks_without_vm = 0;
            return None;
        }
        self.garbage.ticks_without_vm += 1;
        if self.garbage.ticks_without_vm < TICKS_TO_CLOSE {
            return None;
        }
        // Old handles must not fit the slots and places of the heap that starts over.
        let generations = self.slots.iter().map(|slot| slot.generation);
        let last = generations.chain(self.places.iter().map(|place| place.generation)).max();
        let next = Self { first_generation: last.map_or(0, |last| last + 1), ..Self::new(self.config) };
        std::mem::replace(self, next).state
    }
}
