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

/// Objects that an audit goes through between two looks at the clock: some 20 microseconds.
const AUDIT_STEP: usize = 512;

/// Bytes that a VM which has gone may leave for the next one: its threads.
const IDLE_THREADS: usize = 16 << 10;

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
        self.vms() > 0 && (is_due || self.audits.are_due() || self.collection_is_overdue())
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
    /// deadline every isolate is collected whole, so that results do not depend on a clock. Before that, it finds out what
    /// VMs can reach of which that is to be known.
    pub(crate) fn collect(&mut self, deadline: Deadline) {
        if self.audits.are_due() && !(self.audit(deadline) && self.collection_is_due()) {
            return;
        }
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
            let Some(OpenState { luau, .. }) = &mut self.state else { return };
            let done = luau.collect_step();
            let now = Instant::now();
            self.stats.count_pause(now - step_began);
            step_began = now;
            if done {
                self.collector.finished_steps(luau.object_bytes(), self.processes.live_count());
                self.note_collected();
            }
            if done || deadline.has_passed_at(now) {
                break;
            }
        }
        self.collector.end_steps(self.state.as_ref().map_or(0, |state| state.luau.object_bytes()));
    }

    /// A collection is over.
    fn note_collected(&mut self) {
        let Some(OpenState { luau, categories, .. }) = &self.state else { return };
        self.vms.collected(|category| luau.category_bytes(category));
        let left = |category| luau.category_bytes(category).saturating_sub(IDLE_THREADS);
        if self.audits.orphaned(categories.unused().map(left).sum()) {
            self.audits.request_all(self.vms.with_categories());
        }
    }

    /// Collects all garbage at once, however long it takes. Returns the bytes of the objects that live.
    pub(crate) fn collect_whole(&mut self) -> usize {
        let Some(OpenState { luau, .. }) = &mut self.state else { return 0 };
        luau.collect(); // ends what steps have begun, and begins anew
        let bytes = luau.object_bytes();
        self.collector.finished_at_once(bytes, self.processes.live_count());
        self.note_collected();
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

    /// Finds out what VMs can reach, until the deadline, in any case one step. Whether all is done.
    pub(super) fn audit(&mut self, deadline: Deadline) -> bool {
        let Some(OpenState { luau, .. }) = &mut self.state else {
            self.audits.due.clear();
            self.audits.has_begun = false;
            return true;
        };
        let collections = self.collector.collections().finished;
        while let Some(&vm) = self.audits.due.front() {
            let category = self.vms.record(vm).category;
            if category == 0 {
                self.audits.done(); // its last process has gone
                continue;
            }
            if !self.audits.has_begun {
                self.audits.has_begun = true;
                luau.begin_audit(category);
                self.vms.account_mut(vm).suspect();
            }
            if let Some(reached) = luau.audit(category, AUDIT_STEP) {
                self.audits.done();
                let charged = luau.category_bytes(category);
                if self.vms.account_mut(vm).audited(charged, reached, collections) {
                    self.audits.request_all(self.vms.with_categories().filter(|&other| other != vm));
                }
            }
            if !deadline.is_never() && deadline.has_passed_at(Instant::now()) {
                break;
            }
        }
        !self.audits.are_due()
    }
}
