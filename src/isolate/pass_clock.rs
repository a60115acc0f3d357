//! How a pass keeps the time: when it reads a clock, and which slices it measures.

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

use crate::types::Deadline;

/// Safepoints between two checks of the clock: a fraction of a millisecond.
const SAFEPOINTS_PER_CHECK: i64 = 16_384;

/// What a slice counts beside its own safepoints, so that there are at most 16 slices between two checks.
const SAFEPOINTS_PER_SLICE: i64 = SAFEPOINTS_PER_CHECK / 16;

/// What a slice takes at most, for each safepoint and all in all, unless its script makes long library calls. This is
/// generous, since only what is far beyond is worth measuring.
const USUAL_NS_PER_SAFEPOINT: u64 = 50;

/// See [`USUAL_NS_PER_SAFEPOINT`].
const USUAL_NS_PER_SLICE: u64 = 4_000;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct PassClock {
    deadline: Deadline,
    /// `None` if slices are not timed.
    stopwatch: Option<Stopwatch>,
    /// Whether each slice is measured.
    measures_slices: bool,
    slices_since_check: u32,
    safepoints_to_check: i64,
}

impl PassClock {
    /// For slices of `quantum` safepoints. They are timed for the limits of their VMs if `is_timed`, and each of them
    /// from the start if they were slow lately.
    pub(super) fn start(deadline: Deadline, quantum: u32, is_timed: bool, was_slow: bool) -> Self {
        Self {
            deadline,
            stopwatch: is_timed.then(|| Stopwatch::start(quantum, was_slow)),
            measures_slices: is_timed && was_slow,
            slices_since_check: 0,
            safepoints_to_check: SAFEPOINTS_PER_CHECK,
        }
    }

    #[inline]
    pub(super) fn measures_slices(&self) -> bool {
        self.measures_slices
    }

    /// A slice is over: how long it took, if that was measured and is unusual.
    pub(super) fn slice_time(&mut self) -> Option<Duration> {
        self.stopwatch.as_mut()?.slice()
    }

    /// A slice is over that passed so many safepoints. Whether a [check](Self::check) is due.
    #[inline]
    pub(super) fn count(&mut self, safepoints: u64) -> bool {
        self.slices_since_check += 1;
        self.safepoints_to_check -= SAFEPOINTS_PER_SLICE + safepoints.cast_signed();
        self.safepoints_to_check <= 0 || self.measures_slices
    }

    /// Whether the deadline has passed.
    pub(super) fn check(&mut self) -> bool {
        let ends_batch = self.safepoints_to_check <= 0;
        if ends_batch {
            self.safepoints_to_check = SAFEPOINTS_PER_CHECK;
        }
        match &mut self.stopwatch {
            Some(stopwatch) if ends_batch => {
                let now = stopwatch.batch(std::mem::take(&mut self.slices_since_check));
                self.measures_slices = stopwatch.measures_slices();
                self.deadline.has_passed_at(now)
            }
            _ => self.deadline.has_passed(),
        }
    }

    /// The pass is over. Whether its last slices were slow, if that is known.
    pub(super) fn stop(&mut self) -> Option<bool> {
        let stopwatch = self.stopwatch.as_mut()?;
        if self.slices_since_check > 0 {
            stopwatch.batch(std::mem::take(&mut self.slices_since_check));
        }
        Some(stopwatch.measures_slices())
    }
}

/// Measures each slice only while slices take long: to read the thread's clock costs several times as much as a short
/// slice.
#[derive(Debug)]
struct Stopwatch {
    usual_slice: Duration,
    batch_began: Instant,
    slice_began: Option<ThreadTime>,
}

impl Stopwatch {
    fn start(quantum: u32, measures_slices: bool) -> Self {
        let usual_slice = USUAL_NS_PER_SLICE + USUAL_NS_PER_SAFEPOINT * u64::from(quantum);
        Self {
            usual_slice: Duration::from_nanos(usual_slice),
            batch_began: Instant::now(),
            slice_began: measures_slices.then(ThreadTime::now),
        }
    }

    fn measures_slices(&self) -> bool {
        self.slice_began.is_some()
    }

    fn slice(&mut self) -> Option<Duration> {
        let began = self.slice_began?;
        let now = ThreadTime::now();
        self.slice_began = Some(now);
        Some(now.duration_since(began)).filter(|&time| time > self.usual_slice)
    }

    /// So many more slices are over. How long they took decides whether the next ones are measured. Returns the time.
    fn batch(&mut self, slices: u32) -> Instant {
        let now = Instant::now();
        let is_slow = now - self.batch_began > self.usual_slice * slices;
        self.batch_began = now;
        if is_slow != self.measures_slices() {
            self.slice_began = is_slow.then(ThreadTime::now);
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many slices of so many safepoints are between two checks.
    fn slices_per_check(safepoints: u64) -> usize {
        let mut clock = PassClock::start(Deadline::NEVER, 1_000, false, false);
        let mut until_check = || (1..).find(|_| clock.count(safepoints)).expect("some time");
        let first = until_check();
        clock.check();
        assert!((1..).find(|_| clock.count(safepoints)) == Some(first));
        first
    }

    #[test]
    fn a_check_is_due_after_some_slices_or_many_safepoints() {
        assert_eq!(slices_per_check(0), 16);
        assert_eq!(slices_per_check(1_024), 8);
        assert_eq!(slices_per_check(1_000_000), 1);
    }

    #[test]
    fn the_deadline_is_found_whether_slices_are_timed_or_not() {
        let past = Deadline::at(Instant::now());
        for (is_timed, was_slow) in [(false, false), (true, false), (true, true)] {
            assert!(PassClock::start(past, 2, is_timed, was_slow).check());
            assert!(!PassClock::start(Deadline::NEVER, 2, is_timed, was_slow).check());
        }
    }

    #[test]
    fn slices_are_measured_while_they_are_slow() {
        let mut clock = PassClock::start(Deadline::NEVER, 2, true, true);
        assert!(clock.measures_slices() && clock.count(2), "each one is checked");
        // A million slices in no time are not slow.
        clock.slices_since_check = 1_000_000;
        assert_eq!(clock.stop(), Some(false));
        let mut clock = PassClock::start(Deadline::NEVER, 2, true, false);
        clock.count(2);
        let stopwatch = clock.stopwatch.as_mut().expect("it is timed");
        stopwatch.usual_slice = Duration::ZERO;
        assert_eq!(clock.stop(), Some(true));
        assert_eq!(PassClock::start(Deadline::NEVER, 2, false, true).stop(), None);
    }
}
