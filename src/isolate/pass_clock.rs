//! How a pass keeps the time: when it reads a clock, and what it charges slices for.

use std::time::{Duration, Instant};

use super::account::nanoseconds;
use crate::types::Deadline;

/// Safepoints between two checks of the clock: a fraction of a millisecond.
const SAFEPOINTS_PER_CHECK: i64 = 16_384;

/// What a slice counts beside its own safepoints, so that there are at most 16 slices between two checks.
const SAFEPOINTS_PER_SLICE: i64 = SAFEPOINTS_PER_CHECK / 16;

/// Slices of so many safepoints are measured one by one: they take a hundred times as long as a look at the clock.
/// Shorter ones are charged for what those before them took on average.
const LONG_QUANTUM: u32 = 256;

/// What a slice takes at most, for each safepoint and all in all, unless its script makes long library calls. This is
/// generous, since only what is far beyond is worth measuring.
const USUAL_NS_PER_SAFEPOINT: u64 = 50;

/// See [`USUAL_NS_PER_SAFEPOINT`].
const USUAL_NS_PER_SLICE: u64 = 4_000;

/// A slice is charged for so much at most, or for what is usual for its safepoints, if that is more. What took longer was
/// the operating system.
const MAX_CHARGE: Duration = Duration::from_micros(250);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct PassClock {
    deadline: Deadline,
    /// Nanoseconds.
    usual_slice: u32,
    is_long_quantum: bool,
    /// Whether each slice is measured.
    measures_slices: bool,
    /// Nanoseconds that the last slices took on average.
    slice_time: u32,
    slices_since_check: u32,
    safepoints_to_check: i64,
    batch_began: Instant,
    slice_began: Instant,
}

impl PassClock {
    /// For slices of `quantum` safepoints. The last ones took `slice_time` nanoseconds on average.
    pub(super) fn start(deadline: Deadline, quantum: u32, slice_time: u32) -> Self {
        let now = Instant::now();
        let usual_slice = u32::try_from(USUAL_NS_PER_SLICE + USUAL_NS_PER_SAFEPOINT * u64::from(quantum));
        let usual_slice = usual_slice.unwrap_or(u32::MAX);
        let is_long_quantum = quantum >= LONG_QUANTUM;
        Self {
            deadline,
            usual_slice,
            is_long_quantum,
            measures_slices: is_long_quantum || slice_time > usual_slice,
            slice_time: slice_time.min(usual_slice),
            slices_since_check: 0,
            safepoints_to_check: SAFEPOINTS_PER_CHECK,
            batch_began: now,
            slice_began: now,
        }
    }

    #[inline]
    pub(super) fn measures_slices(&self) -> bool {
        self.measures_slices
    }

    /// Nanoseconds that a slice is charged for which is not measured.
    #[inline]
    pub(super) fn slice_time(&self) -> u32 {
        self.slice_time
    }

    /// A slice is over that passed so many safepoints: nanoseconds that it took, and that it is charged for unless it is
    /// [watched](super::watch), if slices are measured.
    pub(super) fn measure(&mut self, safepoints: u64) -> (u32, u32) {
        let now = Instant::now();
        let time = now - std::mem::replace(&mut self.slice_began, now);
        let usual = Duration::from_nanos(USUAL_NS_PER_SAFEPOINT.saturating_mul(safepoints));
        (nanoseconds(time), nanoseconds(time.min(MAX_CHARGE.max(usual))))
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
        if self.deadline.is_never() && !self.measures_slices {
            self.safepoints_to_check = SAFEPOINTS_PER_CHECK;
            return false; // the end of the pass is soon enough
        }
        // Where slices are measured, the clock has just been read.
        let now = if self.measures_slices { self.slice_began } else { Instant::now() };
        if self.safepoints_to_check <= 0 {
            self.safepoints_to_check = SAFEPOINTS_PER_CHECK;
            self.end_batch(now);
        }
        self.deadline.has_passed_at(now)
    }

    /// The pass is over. Nanoseconds that its last slices took on average.
    pub(super) fn stop(&mut self) -> u32 {
        self.end_batch(Instant::now());
        self.slice_time
    }

    /// How long its slices took decides whether the next ones are measured.
    fn end_batch(&mut self, now: Instant) {
        let slices = std::mem::take(&mut self.slices_since_check);
        if slices == 0 {
            return;
        }
        self.slice_time = nanoseconds((now - self.batch_began) / slices);
        self.batch_began = now;
        let is_slow = self.slice_time > self.usual_slice;
        if is_slow && !self.measures_slices {
            self.slice_began = now;
        }
        self.measures_slices = self.is_long_quantum || is_slow;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many slices of so many safepoints are between two checks.
    fn slices_per_check(safepoints: u64) -> usize {
        let mut clock = PassClock::start(Deadline::NEVER, 2, 0);
        clock.usual_slice = u32::MAX; // whatever else the machine does
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
    fn the_deadline_is_found_whether_slices_are_measured_or_not() {
        let past = Deadline::at(Instant::now());
        for (quantum, slice_time) in [(2, 0), (2, u32::MAX), (1_000, 0)] {
            assert!(PassClock::start(past, quantum, slice_time).check());
            assert!(!PassClock::start(Deadline::NEVER, quantum, slice_time).check());
        }
    }

    #[test]
    fn slices_are_measured_where_they_are_long_or_slow() {
        assert!(PassClock::start(Deadline::NEVER, 1_000, 0).measures_slices());
        let mut clock = PassClock::start(Deadline::NEVER, 2, u32::MAX);
        assert!(clock.measures_slices() && clock.count(2), "each one is checked");
        // A million slices in no time are not slow.
        clock.slices_since_check = 1_000_000;
        clock.stop();
        assert!(!clock.measures_slices());
        clock.count(2);
        clock.usual_slice = 0;
        assert!(clock.stop() > 0 && clock.measures_slices());
    }

    #[test]
    fn what_the_operating_system_took_is_not_charged() {
        let mut clock = PassClock::start(Deadline::NEVER, 1_000, 0);
        let long_ago =
            || Instant::now().checked_sub(Duration::from_secs(1)).expect("the machine runs for longer");
        clock.slice_began = long_ago();
        assert_eq!(clock.measure(1_000).1, 250_000);
        clock.slice_began = long_ago();
        assert_eq!(clock.measure(1_000_000).1, 50_000_000);
        assert!(clock.measure(1_000).0 < 250_000);
    }
}
