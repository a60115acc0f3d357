//! A clock that can be read at every few safepoints: the processor's cycle counter.
//!
//! Reading the operating system's takes three times as long. The counter's rate is found by comparing the
//! two once; one percent off is good enough for a limit.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A point in time, of which only differences mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticks(u64);

/// How long the rate is measured.
const CALIBRATION: Duration = Duration::from_micros(500);

static PER_MICROSECOND: LazyLock<u64> = LazyLock::new(|| {
    let (began, first) = (Instant::now(), Ticks::now());
    while began.elapsed() < CALIBRATION {
        std::hint::spin_loop();
    }
    let passed = u128::from(Ticks::now().0.saturating_sub(first.0));
    u64::try_from(passed * 1000 / began.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
});

impl Ticks {
    #[cfg(target_arch = "x86_64")]
    pub(super) fn now() -> Self {
        // SAFETY: every x86-64 processor has the instruction; it touches no memory.
        Self(unsafe { std::arch::x86_64::_rdtsc() })
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn now() -> Self {
        static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self(FIRST.elapsed().as_nanos() as u64)
    }

    /// How many ticks make `time`.
    pub(super) fn count(time: Duration) -> u64 {
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX).saturating_mul(*PER_MICROSECOND)
    }

    /// Ticks since `earlier`; none if that is later (the counters of two processors may differ).
    pub(super) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_as_fast_as_other_clocks() {
        let (began, first) = (Instant::now(), Ticks::now());
        while began.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let (ticks, time) = (Ticks::now().since(first), began.elapsed());
        let measured = ticks as f64 / Ticks::count(time) as f64;
        assert!((0.8..1.2).contains(&measured), "{measured}");
        assert_eq!(first.since(Ticks::now()), 0);
    }
}
