//! When to sweep out what is void.
//!
//! Entries of waits that ended early (a timeout, a task that was cancelled, a process that was killed) are not looked
//! for at once. They stay until there may be as many of them as of others.

/// Fewer entries are not worth a sweep.
const MIN_SWEEP: usize = 64;

/// How long a list may be before it is swept: so that each entry costs a constant time, and hardly more than half of
/// them are void.
#[derive(Debug)]
pub(super) struct SweepAt(usize);

impl Default for SweepAt {
    fn default() -> Self {
        Self(MIN_SWEEP)
    }
}

impl SweepAt {
    pub(super) fn is_due(&self, entries: usize) -> bool {
        entries > self.0
    }

    /// So many entries were kept.
    pub(super) fn swept(&mut self, entries: usize) {
        self.0 = 2 * entries + MIN_SWEEP;
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
                assert!(entries <= 2 * live + MIN_SWEEP + 1);
            }
            assert!(visited <= 4 * (1_000_000 + live), "{live}: {visited}");
        }
    }
}
