//! When an isolate is collected, and how.

use std::time::Instant;

use super::Isolate;
use super::limits::Collections;
use super::slots::Slots;
use super::waiting::Waiting;
use crate::luau::LuauState;

/// An isolate may grow this much beyond what is expected to live before a collection is due, so that
/// small isolates are not collected all the time.
const MIN_GROWTH: usize = 256 * 1024;

/// Up to this many bytes an isolate is collected in one go, which takes less than 1 ms.
const COLLECT_WHOLE: usize = 1024 * 1024;

/// Up to this many bytes an isolate is collected in the middle of its pass if need be: some milliseconds at most.
const COLLECT_IN_PASS: usize = 8 * COLLECT_WHOLE;

/// What a process takes at least: `lua_State`, call frames, stack, closure, table of globals.
const PROCESS_BYTES: usize = 1_400;

/// An isolate that takes so many times what lives in it is collected.
const GC_SOFT_RATIO: f64 = 1.75;

/// At so many times its processes wait for the collector. With what is free in Luau's pages that is 2.2 times in an isolate
/// of many processes. Further apart, more isolates come to wait; closer to 1, more is collected than need be: measured in
/// docs/performance.md.
const GC_HARD_RATIO: f64 = 2.0;

/// What is known of an isolate's garbage without looking. In bytes of objects: pages of which one object is left count as
/// much as full ones otherwise, and collecting would not end where many are.
#[derive(Debug, Default)]
pub(crate) struct Estimate {
    /// What the state took when it was opened.
    base: usize,
    /// What it takes, as of the last [measurement](Isolate::measure).
    bytes: usize,
    /// What the last collection left.
    left: usize,
    /// How many processes lived then.
    processes: usize,
    /// A collection in steps is under way.
    collecting: bool,
    /// What its last step left.
    after_step: usize,
    /// What was allocated between its steps.
    unseen: usize,
    /// A VM cannot go on before it is known how much of what it holds is garbage.
    is_requested: bool,
    finished: u32,
}

impl Estimate {
    /// The state was opened, or taken over. It took `base` bytes when it was opened, and takes `bytes` now.
    pub(super) fn opened(&mut self, base: usize, bytes: usize) {
        (self.base, self.bytes, self.left, self.processes) = (base, bytes, base, 0);
        (self.collecting, self.is_requested) = (false, false);
    }

    pub(super) fn base_bytes(&self) -> usize {
        self.base
    }

    /// Whether a state that takes `bytes` now, without processes, can go on without a collection.
    pub(super) fn is_nearly_empty(&self, bytes: usize) -> bool {
        !self.collecting && !self.is_requested && bytes < self.base + 2 * MIN_GROWTH
    }

    /// The collector goes on with a state that takes `bytes`.
    fn begin_steps(&mut self, bytes: usize) {
        if !self.collecting {
            (self.collecting, self.unseen, self.after_step) = (true, 0, bytes);
        }
        self.unseen += bytes.saturating_sub(self.after_step);
    }

    /// The collector leaves `bytes`, for others to add to.
    fn end_steps(&mut self, bytes: usize) {
        (self.bytes, self.after_step) = (bytes, bytes);
    }

    /// A collection left `bytes`, with so many processes alive.
    fn collected(&mut self, bytes: usize, processes: usize) {
        // What was allocated while it was under way survives most of the time, and most of that is garbage by now:
        // counted as alive it would let the isolate grow from one collection to the next. Not all of it: what died before
        // the collector had found everything is gone, and an isolate that has just been collected is not to be overdue.
        let unseen = if self.collecting { self.unseen.min(bytes / 2) } else { 0 };
        self.left = bytes.saturating_sub(unseen).max(self.base);
        (self.bytes, self.processes) = (bytes, processes);
        (self.collecting, self.is_requested) = (false, false);
        self.finished += 1;
    }

    /// Asks for a collection even if little has been allocated.
    pub(super) fn request_collection(&mut self) {
        self.is_requested = true;
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
        self.collecting
            || self.is_requested
            || self.bytes > ((live as f64 * GC_SOFT_RATIO) as usize).max(live + MIN_GROWTH)
    }

    /// What the state may take before it has to be collected. What has ended since the last collection is no reason
    /// to stop everybody else.
    pub(super) fn most_bytes(&self, processes: usize) -> usize {
        let live = self.live(processes.max(self.processes));
        ((live as f64 * GC_HARD_RATIO) as usize).max(live + 2 * MIN_GROWTH)
    }

    fn is_overdue(&self, processes: usize) -> bool {
        self.bytes > self.most_bytes(processes)
    }
}

impl Isolate {
    /// Bytes in use, garbage included.
    pub(crate) fn bytes(&self) -> usize {
        self.state.as_ref().map_or(0, LuauState::bytes)
    }

    /// Bytes of objects, garbage included.
    pub(super) fn object_bytes(&self) -> usize {
        self.state.as_ref().map_or(0, LuauState::object_bytes)
    }

    /// Notes the bytes of objects, for those who look at all isolates and would wait for memory at the state of each. Taken
    /// after slices and collections; what signals and despawns change in between shows after the next.
    pub(super) fn measure(&mut self) {
        self.garbage.bytes = self.object_bytes();
    }

    /// Whether the isolate has grown enough since its last collection to be worth another one. An isolate
    /// without VMs is not: it will be used again, or closed.
    pub(crate) fn collection_is_due(&self) -> bool {
        // Exits are settled after collections: an isolate whose processes have all just ended may lose its
        // VMs in a moment, and then all of it is garbage.
        let may_be_done = self.live == 0 && self.has_exits();
        let is_due = !may_be_done && self.garbage.is_due(self.live);
        self.vms() > 0 && (is_due || self.collection_is_overdue())
    }

    /// Whether the isolate must be collected before it runs again, where there is a deadline.
    pub(crate) fn collection_is_overdue(&self) -> bool {
        self.vms() > 0 && self.garbage.is_overdue(self.live)
    }

    /// Whether it must be collected, and is small enough not to keep a worker from other isolates for long.
    pub(super) fn is_quickly_collected(&self) -> bool {
        self.collection_is_overdue() && self.bytes() <= COLLECT_IN_PASS
    }

    /// Collects garbage: a small isolate whole, a large one in steps until `deadline`, in any case one. Without a
    /// deadline every isolate is collected whole, so that results do not depend on a clock.
    pub(crate) fn collect(&mut self, deadline: Option<Instant>) {
        let Some(state) = &mut self.state else { return };
        // What is free in its pages is swept as well.
        let is_small = state.bytes() <= COLLECT_WHOLE && !self.garbage.collecting;
        let Some(deadline) = deadline.filter(|_| !is_small) else {
            let began = Instant::now();
            self.collect_whole();
            self.stats.count_pause(began.elapsed());
            return;
        };
        self.garbage.begin_steps(state.object_bytes());
        let mut step_began = Instant::now();
        loop {
            let done = state.collect_step();
            let now = Instant::now();
            self.stats.count_pause(now - step_began);
            step_began = now;
            if done {
                self.garbage.collected(state.object_bytes(), self.live);
            }
            if done || now >= deadline {
                break;
            }
        }
        self.garbage.end_steps(state.object_bytes());
    }

    /// Collects all garbage at once, however long it takes. Returns what lives.
    pub(crate) fn collect_whole(&mut self) -> usize {
        let Some(state) = &mut self.state else { return 0 };
        state.collect(); // ends what steps have begun, and begins anew
        self.garbage.collecting = false;
        self.garbage.collected(state.object_bytes(), self.live);
        self.garbage.bytes
    }

    /// Starts over, and hands out the state of an isolate without VMs, to be closed where that disturbs
    /// nobody.
    pub(crate) fn take_state_if_empty(&mut self) -> Option<LuauState> {
        if self.slots.is_empty() || self.vms() > 0 {
            return None;
        }
        // Old handles must not fit the slots and places of the isolate that starts over.
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

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Of a state with 10 MiB that live.
    fn estimate() -> Estimate {
        let mut estimate = Estimate::default();
        estimate.opened(MIB, MIB);
        estimate.collected(10 * MIB, 100);
        estimate
    }

    #[test]
    fn a_heap_is_collected_before_its_processes_have_to_wait() {
        let mut estimate = estimate();
        let mut states = Vec::new();
        for mib in [17, 18, 21] {
            estimate.bytes = mib * MIB;
            states.push((estimate.is_due(100), estimate.is_overdue(100)));
        }
        assert_eq!(states, [(false, false), (true, false), (true, true)]);
        assert!(!estimate.is_overdue(10_000), "new ones need something, too");
    }

    #[test]
    fn what_was_allocated_during_a_collection_is_not_taken_to_be_alive() {
        let mut estimate = estimate();
        estimate.begin_steps(18 * MIB);
        estimate.end_steps(18 * MIB); // it has only marked
        estimate.begin_steps(20 * MIB);
        estimate.end_steps(15 * MIB);
        estimate.begin_steps(17 * MIB);
        estimate.collected(14 * MIB, 100);
        assert_eq!(estimate.live(100), 10 * MIB);
        assert!(!estimate.is_due(100) && estimate.collections().finished == 2);
        // The next one counts from zero.
        estimate.begin_steps(18 * MIB);
        estimate.collected(12 * MIB, 100);
        assert_eq!(estimate.live(100), 12 * MIB);
        // All but a little has been allocated since, and died: half of what is there may be alive.
        estimate.begin_steps(22 * MIB);
        estimate.end_steps(22 * MIB);
        estimate.begin_steps(42 * MIB);
        estimate.collected(16 * MIB, 100);
        assert_eq!((estimate.live(100), estimate.is_overdue(100)), (8 * MIB, false));
    }
}
