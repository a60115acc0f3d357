//! When an isolate is to be collected.

use super::account::Collections;

/// An isolate may grow this much beyond what is expected to live before a collection is due, so that small isolates
/// are not collected all the time.
const MIN_GROWTH: usize = 256 * 1024;

/// What a process takes at least: `lua_State`, call frames, stack, closure, table of globals.
const PROCESS_BYTES: usize = 1_400;

/// A collection is due when an isolate takes so many times what lives in it.
const GC_SOFT_RATIO: f64 = 1.75;

/// At so many times, its processes wait for the collector. With what is free in Luau's pages that is 2.2 times in an
/// isolate of many processes. Further apart from the soft ratio, more isolates come to wait. Closer to 1, more is
/// collected than needed. Measured in docs/performance.md.
const GC_HARD_RATIO: f64 = 2.0;

/// Estimates how much of an isolate is garbage.
///
/// Counts object bytes, not pages. A collection cannot free a fragmented page, so counting pages would trigger it for
/// ever.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// What the state took when it was opened.
    empty_bytes: usize,
    /// What it takes, as of the last [measurement](Self::measured).
    bytes: usize,
    /// What survived the last collection.
    survived: usize,
    /// How many processes lived then.
    processes: usize,
    /// A collection in steps is under way.
    is_underway: bool,
    /// What its last step left.
    after_step: usize,
    /// What was allocated between its steps.
    allocated_between_steps: usize,
    /// A VM cannot go on before it is known how much of what it holds is garbage.
    is_requested: bool,
    finished: u32,
    /// Whether other isolates go on to the next pass without this one, which has to be collected first.
    pub(super) skipped_in_round: bool,
}

impl Collector {
    /// The isolate has got a state. It took `empty_bytes` when it was opened, and takes `bytes` now.
    pub(super) fn opened(&mut self, empty_bytes: usize, bytes: usize) {
        (self.empty_bytes, self.bytes, self.survived, self.processes) = (empty_bytes, bytes, empty_bytes, 0);
        (self.is_underway, self.is_requested) = (false, false);
    }

    /// Notes how many bytes objects take, for loops over all isolates: reading it from each state would be a cache
    /// miss. Called after slices and collections. What signals and despawns change in between shows after the next.
    pub(super) fn measured(&mut self, bytes: usize) {
        self.bytes = bytes;
    }

    /// Whether a state that takes `bytes` now, without processes, can go on without a collection.
    pub(super) fn is_nearly_empty(&self, bytes: usize) -> bool {
        !self.is_underway && !self.is_requested && bytes < self.empty_bytes + 2 * MIN_GROWTH
    }

    pub(super) fn is_underway(&self) -> bool {
        self.is_underway
    }

    /// The collector goes on with a state that takes `bytes`.
    pub(super) fn begin_steps(&mut self, bytes: usize) {
        if !self.is_underway {
            (self.is_underway, self.allocated_between_steps, self.after_step) = (true, 0, bytes);
        }
        self.allocated_between_steps += bytes.saturating_sub(self.after_step);
    }

    /// The collector leaves `bytes`, for others to add to.
    pub(super) fn end_steps(&mut self, bytes: usize) {
        (self.bytes, self.after_step) = (bytes, bytes);
    }

    /// A collection in steps has left `bytes`, with so many processes alive.
    pub(super) fn finished_steps(&mut self, bytes: usize, processes: usize) {
        // What was allocated while it was under way survives most of the time, and most of that is garbage by now.
        // Counted as alive, it would let the isolate grow from one collection to the next. But not all of it
        // survived: what died before the collector had found everything is gone. And an isolate that was just
        // collected must not be overdue.
        let garbage = self.allocated_between_steps.min(bytes / 2);
        self.finish(bytes, bytes - garbage, processes);
    }

    /// A collection in one go has left `bytes`, with so many processes alive.
    pub(super) fn finished_at_once(&mut self, bytes: usize, processes: usize) {
        self.finish(bytes, bytes, processes);
    }

    fn finish(&mut self, bytes: usize, survived: usize, processes: usize) {
        self.survived = survived.max(self.empty_bytes);
        (self.bytes, self.processes) = (bytes, processes);
        (self.is_underway, self.is_requested) = (false, false);
        self.finished += 1;
    }

    /// A collection is due even if little has been allocated.
    pub(super) fn request(&mut self) {
        self.is_requested = true;
    }

    pub(super) fn collections(&self) -> Collections {
        Collections { finished: self.finished, one_is_underway: self.is_underway }
    }

    /// What is alive now if the processes do what they did before, and new ones have nothing yet.
    fn live_bytes(&self, processes: usize) -> usize {
        let new = processes.saturating_sub(self.processes) * PROCESS_BYTES;
        let gone = self.processes.saturating_sub(processes) * PROCESS_BYTES;
        (self.survived + new).saturating_sub(gone)
    }

    /// Whether it has grown enough since the last collection to be worth another one.
    pub(super) fn is_due(&self, processes: usize) -> bool {
        let live = self.live_bytes(processes);
        self.is_underway
            || self.is_requested
            || self.bytes > ((live as f64 * GC_SOFT_RATIO) as usize).max(live + MIN_GROWTH)
    }

    /// What the state may take before its processes wait. That some have ended since the last collection is no reason
    /// to stop the others.
    pub(super) fn max_bytes(&self, processes: usize) -> usize {
        let live = self.live_bytes(processes.max(self.processes));
        ((live as f64 * GC_HARD_RATIO) as usize).max(live + 2 * MIN_GROWTH)
    }

    /// Whether it has to be collected before its processes go on.
    pub(super) fn is_overdue(&self, processes: usize) -> bool {
        self.bytes > self.max_bytes(processes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Of a state with 10 MiB that live.
    fn collector() -> Collector {
        let mut collector = Collector::default();
        collector.opened(MIB, MIB);
        collector.finished_at_once(10 * MIB, 100);
        collector
    }

    #[test]
    fn an_isolate_is_collected_before_its_processes_have_to_wait() {
        let mut collector = collector();
        let mut states = Vec::new();
        for mib in [17, 18, 21] {
            collector.bytes = mib * MIB;
            states.push((collector.is_due(100), collector.is_overdue(100)));
        }
        assert_eq!(states, [(false, false), (true, false), (true, true)]);
        assert!(!collector.is_overdue(10_000), "new ones need something, too");
    }

    #[test]
    fn what_was_allocated_during_a_collection_is_not_taken_to_be_alive() {
        let mut collector = collector();
        collector.begin_steps(18 * MIB);
        collector.end_steps(18 * MIB); // it has only marked
        collector.begin_steps(20 * MIB);
        collector.end_steps(15 * MIB);
        collector.begin_steps(17 * MIB);
        collector.finished_steps(14 * MIB, 100);
        assert_eq!(collector.live_bytes(100), 10 * MIB);
        assert!(!collector.is_due(100) && collector.collections().finished == 2);
        // The next one counts from zero.
        collector.begin_steps(18 * MIB);
        collector.finished_steps(12 * MIB, 100);
        assert_eq!(collector.live_bytes(100), 12 * MIB);
        // All but a little has been allocated since, and died: half of what is there may be alive.
        collector.begin_steps(22 * MIB);
        collector.end_steps(22 * MIB);
        collector.begin_steps(42 * MIB);
        collector.finished_steps(16 * MIB, 100);
        assert_eq!((collector.live_bytes(100), collector.is_overdue(100)), (8 * MIB, false));
    }
}
