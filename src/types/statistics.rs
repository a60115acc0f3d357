//! What isolates count.

use std::ops::AddAssign;
use std::time::Duration;

/// What an isolate did since the numbers were last taken, or several isolates.
#[derive(Debug, Default)]
pub(crate) struct IsolateStats {
    /// Isolates that do not hold up the pass over all of them any more.
    pub(crate) isolate_passes: u64,
    /// Passes over an isolate beyond the first, while it was the only one.
    pub(crate) further_passes: u64,
    pub(crate) resumes: u64,
    pub(crate) starting_resumes: u64,
    pub(crate) vm_ticks: u64,
    pub(crate) tasks_failed: u64,
    pub(crate) gc_time: Duration,
    pub(crate) gc_longest_pause: Duration,
}

impl IsolateStats {
    /// The collector held up the isolate for so long.
    pub(crate) fn count_pause(&mut self, pause: Duration) {
        self.gc_time += pause;
        self.gc_longest_pause = self.gc_longest_pause.max(pause);
    }
}

impl AddAssign for IsolateStats {
    fn add_assign(&mut self, other: Self) {
        self.isolate_passes += other.isolate_passes;
        self.further_passes += other.further_passes;
        self.resumes += other.resumes;
        self.starting_resumes += other.starting_resumes;
        self.vm_ticks += other.vm_ticks;
        self.tasks_failed += other.tasks_failed;
        self.gc_time += other.gc_time;
        self.gc_longest_pause = self.gc_longest_pause.max(other.gc_longest_pause);
    }
}
