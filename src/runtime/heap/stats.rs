//! What heaps count.

use std::ops::AddAssign;
use std::time::Duration;

/// What a heap did since the numbers were last taken, or several heaps.
#[derive(Debug, Default)]
pub(crate) struct HeapStats {
    /// Heaps that do not hold up the pass over all of them any more.
    pub(crate) heap_passes: u64,
    pub(crate) resumes: u64,
    pub(crate) starting_resumes: u64,
    pub(crate) vm_ticks: u64,
    pub(crate) gc_time: Duration,
    pub(crate) gc_longest_pause: Duration,
}

impl HeapStats {
    /// The collector held up the heap for so long.
    pub(super) fn count_pause(&mut self, pause: Duration) {
        self.gc_time += pause;
        self.gc_longest_pause = self.gc_longest_pause.max(pause);
    }
}

impl AddAssign for HeapStats {
    fn add_assign(&mut self, other: Self) {
        self.heap_passes += other.heap_passes;
        self.resumes += other.resumes;
        self.starting_resumes += other.starting_resumes;
        self.vm_ticks += other.vm_ticks;
        self.gc_time += other.gc_time;
        self.gc_longest_pause = self.gc_longest_pause.max(other.gc_longest_pause);
    }
}
