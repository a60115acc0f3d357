//! Entries of waits that have ended early (a timeout, a task that was cancelled, a process that was killed) are not
//! looked for at once: they are swept out when there may be as many of them as of others.

use super::{Heap, SlotId};
use crate::runtime::luau::ThreadId;

/// Below that it is not worth it.
const FEW: usize = 64;

/// When a collection is to be swept, so that each entry costs a constant time and void ones never are many more
/// than half.
#[derive(Debug)]
pub(super) struct SweepAt(usize);

impl Default for SweepAt {
    fn default() -> Self {
        Self(FEW)
    }
}

impl SweepAt {
    pub(super) fn is_due(&self, entries: usize) -> bool {
        entries > self.0
    }

    /// So many entries were kept.
    pub(super) fn swept(&mut self, entries: usize) {
        self.0 = 2 * entries + FEW;
    }
}

impl Heap {
    /// Throws out what waits have left behind that ended early.
    pub(super) fn sweep(&mut self) {
        let Self { waiting, subscribers, slots, state: Some(state), .. } = self else { return };
        state.release_functions();
        let is_alive = |id: SlotId| {
            let slot = &slots[id.slot as usize];
            slot.generation == id.generation && !slot.state.has_ended()
        };
        waiting
            .sweep(|wait| is_alive(wait.slot()) && state.is_waiting(ThreadId(wait.slot().slot), wait.task));
        let is_connected = |wait: super::WaitId| {
            is_alive(wait.slot()) && state.is_connected(ThreadId(wait.slot().slot), wait.task)
        };
        subscribers.sweep(|wait| waiting.is_pending(wait), is_connected, is_alive);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_stay_are_swept_rarely_and_void_ones_do_not_pile_up() {
        for live in [0, 10, 100_000] {
            let (mut at, mut entries, mut visited) = (SweepAt::default(), live, 0);
            for _ in 0..1_000_000 {
                entries += 1; // void at once
                if at.is_due(entries) {
                    visited += entries;
                    entries = live;
                    at.swept(entries);
                }
                assert!(entries <= 2 * live + FEW + 1);
            }
            assert!(visited <= 4 * (1_000_000 + live), "{live}: {visited}");
        }
    }
}
