//! Collecting the garbage of an isolate.

use std::time::Instant;

use super::Isolate;
use super::processes::ProcessTable;
use super::state::OpenState;
use super::vms::VmTable;
use super::waits::Waits;
use crate::luau::LuauState;
use crate::types::Deadline;

/// Up to this many bytes an isolate is collected in one go, which takes less than 1 ms.
const MAX_WHOLE_BYTES: usize = 1024 * 1024;

/// Up to this many bytes an isolate is collected in the middle of its pass if need be: some milliseconds at most.
const MAX_BYTES_IN_PASS: usize = 8 * MAX_WHOLE_BYTES;

impl Isolate {
    /// Bytes in use, garbage included.
    pub(crate) fn bytes(&self) -> usize {
        self.state.as_ref().map_or(0, OpenState::bytes)
    }

    pub(super) fn measure(&mut self) {
        self.collector.measured(self.state.as_ref().map_or(0, |state| state.luau.object_bytes()));
    }

    /// Whether the isolate has grown enough since its last collection to be worth another one. An isolate
    /// without VMs is not: it will be used again, or closed.
    pub(crate) fn collection_is_due(&self) -> bool {
        let live = self.processes.live_count();
        // Exits are settled after collections: an isolate whose processes have all just ended may lose its
        // VMs in a moment, and then all of it is garbage.
        let may_be_done = live == 0 && self.outbox.has_exits();
        let is_due = !may_be_done && self.collector.is_due(live);
        self.vms() > 0 && (is_due || self.collection_is_overdue())
    }

    /// Whether the isolate must be collected before it runs again, where there is a deadline.
    pub(crate) fn collection_is_overdue(&self) -> bool {
        self.vms() > 0 && self.collector.is_overdue(self.processes.live_count())
    }

    /// Whether it must be collected, and is small enough not to keep a worker from other isolates for long.
    pub(super) fn is_quickly_collected(&self) -> bool {
        self.collection_is_overdue() && self.bytes() <= MAX_BYTES_IN_PASS
    }

    /// Collects garbage: a small isolate whole, a large one in steps until the deadline, in any case one. Without a
    /// deadline every isolate is collected whole, so that results do not depend on a clock.
    pub(crate) fn collect(&mut self, deadline: Deadline) {
        // What is free in its pages is swept as well.
        let is_small = self.bytes() <= MAX_WHOLE_BYTES && !self.collector.is_underway();
        if deadline.is_never() || is_small {
            let began = Instant::now();
            self.collect_whole();
            self.stats.count_pause(began.elapsed());
        } else {
            self.collect_in_steps(deadline);
        }
    }

    fn collect_in_steps(&mut self, deadline: Deadline) {
        let Some(OpenState { luau, .. }) = &mut self.state else { return };
        self.collector.begin_steps(luau.object_bytes());
        let mut step_began = Instant::now();
        loop {
            let done = luau.collect_step();
            let now = Instant::now();
            self.stats.count_pause(now - step_began);
            step_began = now;
            if done {
                self.collector.finished_steps(luau.object_bytes(), self.processes.live_count());
                self.vms.collected(|category| luau.category_bytes(category));
            }
            if done || deadline.has_passed_at(now) {
                break;
            }
        }
        self.collector.end_steps(luau.object_bytes());
    }

    /// Collects all garbage at once, however long it takes. Returns the bytes of the objects that live.
    pub(crate) fn collect_whole(&mut self) -> usize {
        let Some(OpenState { luau, .. }) = &mut self.state else { return 0 };
        luau.collect(); // ends what steps have begun, and begins anew
        let bytes = luau.object_bytes();
        self.collector.finished_at_once(bytes, self.processes.live_count());
        self.vms.collected(|category| luau.category_bytes(category));
        bytes
    }

    /// Starts over, and hands out the Luau state of an isolate without VMs, to be closed where that disturbs nobody.
    pub(crate) fn take_state_if_empty(&mut self) -> Option<LuauState> {
        if self.processes.is_unused() || self.vms() > 0 {
            return None;
        }
        // Old keys must not fit what lives here later.
        let next = Self {
            processes: ProcessTable::new(self.processes.next_generation()),
            vms: VmTable::new(self.vms.next_generation()),
            waits: Waits::after(&self.waits),
            ..Self::new(self.config, self.host.clone())
        };
        std::mem::replace(self, next).state.map(|state| state.luau)
    }
}
