//! How many safepoints a slice may still pass.

use std::cell::Cell;

/// Safepoints between two looks at the clock. A single library call on the largest objects takes a
/// few hundred microseconds, so a slice cannot hold up its tick for long before it is noticed.
///
/// The first looks come sooner: where each safepoint stands for a millisecond, it shows at once.
const SAFEPOINTS_PER_CHECK: i64 = 32;

/// Safepoints before the first look. Then twice as many each time.
const SAFEPOINTS_BEFORE_CHECK: i64 = 2;

/// More safepoints than a slice can pass.
const NEVER: i64 = 1 << 40;

/// What is charged at once at most: far more than any work costs whose operands fit the memory that a
/// VM has.
const MAX_CHARGE: u64 = 1 << 20;

/// The budget of a slice, in safepoints. It is granted in parts, so that the clock can be checked in between.
///
/// It only counts: whose slice it is, what time it is and what happens at the end is for others to know. All of it is
/// in one cache line, and the hot path is [`burn`](Fuel::burn).
pub(super) struct Fuel {
    /// Safepoints until the next check, or the end. Runs below zero while a slice cannot be ended.
    left: Cell<i64>,
    /// All that the slice has been granted so far.
    granted: Cell<i64>,
    /// All that it can have.
    quantum: Cell<i64>,
    /// Safepoints before the first check in each slice.
    first_check: Cell<i64>,
    /// Safepoints between two checks, at most.
    max_check: Cell<i64>,
    /// Safepoints before the next check.
    next_check: Cell<i64>,
}

impl Fuel {
    pub(super) const fn new() -> Self {
        Self {
            left: Cell::new(0),
            granted: Cell::new(0),
            quantum: Cell::new(0),
            first_check: Cell::new(NEVER),
            max_check: Cell::new(NEVER),
            next_check: Cell::new(NEVER),
        }
    }

    /// Whether the slices that follow stop now and then for a look at the clock.
    pub(super) fn set_timed(&self, is_timed: bool) {
        self.first_check.set(if is_timed { SAFEPOINTS_BEFORE_CHECK } else { NEVER });
        self.max_check.set(if is_timed { SAFEPOINTS_PER_CHECK } else { NEVER });
    }

    /// Whether those slices stop at each safepoint.
    pub(super) fn set_watched(&self, is_watched: bool) {
        self.first_check.set(if is_watched { 1 } else { SAFEPOINTS_BEFORE_CHECK });
        self.max_check.set(if is_watched { 1 } else { SAFEPOINTS_PER_CHECK });
    }

    /// A slice begins.
    #[inline]
    pub(super) fn refill(&self, quantum: i64) {
        let first_check = self.first_check.get();
        // The shortest slices are over before it is worth looking at the clock.
        let granted = if quantum > first_check + 1 { first_check } else { quantum };
        self.left.set(granted);
        self.granted.set(granted);
        self.quantum.set(quantum);
    }

    /// Passes a safepoint. `true` if no fuel is left: it is time for a check, or the quantum is used up.
    #[inline]
    pub(super) fn burn(&self) -> bool {
        let left = self.left.get() - 1;
        self.left.set(left);
        left <= 0
    }

    /// Takes what work between safepoints is worth. `true` as for [`burn`](Self::burn).
    #[inline]
    pub(super) fn charge(&self, units: u64) -> bool {
        let left = self.left.get().saturating_sub_unsigned(units.min(MAX_CHARGE));
        self.left.set(left);
        left <= 0
    }

    /// Safepoints passed, with the one that is being passed.
    #[inline]
    pub(super) fn used(&self) -> i64 {
        self.granted.get() - self.left.get()
    }

    /// Whether the quantum is used up.
    #[inline]
    pub(super) fn is_spent(&self) -> bool {
        self.used() >= self.quantum.get()
    }

    /// The first check of a slice: the next one is soon.
    pub(super) fn begin_checks(&self) {
        self.next_check.set(self.first_check.get());
    }

    /// Grants more of the quantum after a check. Checks cost a tight loop a tenth of its time: there are fewer for code
    /// that `is_quick` so far.
    pub(super) fn grant(&self, is_quick: bool) {
        let used = self.used();
        let more = if is_quick {
            self.next_check.get().saturating_mul(2).min(self.max_check.get())
        } else {
            self.first_check.get()
        };
        self.next_check.set(more);
        let left = (self.quantum.get() - used).min(more);
        self.left.set(left);
        self.granted.set(used + left);
    }

    /// Ends the slice at its next safepoint.
    pub(super) fn end_soon(&self) {
        let used = self.used();
        let left = self.left.get().min(0);
        self.left.set(left);
        self.granted.set(used + left);
        self.quantum.set(used.min(self.quantum.get()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes safepoints until the fuel is spent. Returns after how many of them there was a check.
    fn checks(fuel: &Fuel, is_quick: impl Fn(i64) -> bool) -> Vec<i64> {
        let mut checks = Vec::new();
        loop {
            if !fuel.burn() {
                continue;
            }
            if fuel.is_spent() {
                return checks;
            }
            if checks.is_empty() {
                fuel.begin_checks();
            }
            checks.push(fuel.used());
            fuel.grant(is_quick(fuel.used()));
        }
    }

    #[test]
    fn without_a_clock_it_is_spent_after_the_quantum_and_not_before() {
        for quantum in [1, 2, 3, 1000] {
            let fuel = Fuel::new();
            fuel.refill(quantum);
            assert!(checks(&fuel, |_| true).is_empty());
            assert_eq!(fuel.used(), quantum);
        }
    }

    #[test]
    fn checks_become_rarer_while_code_is_quick_and_the_quantum_stays_the_same() {
        let fuel = Fuel::new();
        fuel.set_timed(true);
        fuel.refill(100);
        assert_eq!(checks(&fuel, |_| true), [2, 6, 14, 30, 62, 94]);
        assert_eq!(fuel.used(), 100);
        fuel.refill(12);
        assert_eq!(checks(&fuel, |used| used != 6), [2, 6, 8]);
        assert_eq!(fuel.used(), 12);
        fuel.refill(3);
        assert!(checks(&fuel, |_| true).is_empty(), "too short for a look");
        fuel.set_watched(true);
        fuel.refill(6);
        assert_eq!(checks(&fuel, |_| true), [1, 2, 3, 4, 5]);
        fuel.set_watched(false);
        fuel.refill(12);
        assert_eq!(checks(&fuel, |_| true), [2, 6]);
    }

    #[test]
    fn charges_count_as_safepoints_and_are_bounded() {
        let fuel = Fuel::new();
        fuel.refill(100);
        assert!(!fuel.charge(98));
        assert!(!fuel.burn() && fuel.burn());
        assert!(fuel.is_spent() && fuel.used() == 100);
        assert!(fuel.charge(u64::MAX));
        assert_eq!(fuel.used(), 100 + MAX_CHARGE.cast_signed());
        fuel.refill(5);
        assert_eq!(fuel.used(), 0, "what was too much is not owed");
    }

    #[test]
    fn a_slice_that_ends_soon_ends_at_its_next_safepoint_and_keeps_its_count() {
        for (passed, timed) in [(0, false), (7, false), (7, true), (40, true)] {
            let fuel = Fuel::new();
            fuel.set_timed(timed);
            fuel.refill(1000);
            for _ in 0..passed {
                if fuel.burn() {
                    fuel.grant(true);
                }
            }
            fuel.end_soon();
            assert_eq!(fuel.used(), passed);
            assert!(fuel.burn() && fuel.is_spent());
            fuel.end_soon();
            assert_eq!(fuel.used(), passed + 1);
        }
    }
}
