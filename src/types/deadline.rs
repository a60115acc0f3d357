//! When work has to stop.

use std::time::{Duration, Instant};

/// Steps between two reads of the clock. A step takes about a microsecond, a read some 30 nanoseconds.
const STEPS_PER_CHECK: u32 = 32;

/// When work has to stop, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// Work takes as long as it takes, and its results must not depend on a clock.
    pub(crate) const NEVER: Self = Self(None);

    pub(crate) fn at(instant: Instant) -> Self {
        Self(Some(instant))
    }

    pub(crate) fn is_never(self) -> bool {
        self.0.is_none()
    }

    /// Whether it has passed. Without a deadline, the clock is not read.
    pub(crate) fn has_passed(self) -> bool {
        self.0.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Whether it has passed when it is `now`.
    pub(crate) fn has_passed_at(self, now: Instant) -> bool {
        self.0.is_some_and(|deadline| now >= deadline)
    }

    /// The time that is left when it is `now`.
    pub(crate) fn left(self, now: Instant) -> Duration {
        self.0.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(now))
    }

    #[cfg(test)]
    pub(crate) fn instant(self) -> Option<Instant> {
        self.0
    }

    /// The deadline of a part of the work that `began` then.
    pub(crate) fn of_part(self, began: Instant, part: f64) -> Self {
        Self(self.0.map(|deadline| began + deadline.saturating_duration_since(began).mul_f64(part)))
    }

    /// For work in many short steps.
    pub(crate) fn steps(self) -> Steps {
        Steps { deadline: self, until_check: STEPS_PER_CHECK }
    }
}

/// Short steps of work with a deadline. The clock is only read once in so many.
#[derive(Debug)]
pub(crate) struct Steps {
    deadline: Deadline,
    until_check: u32,
}

impl Steps {
    /// How many steps are as good as one check.
    pub(crate) const PER_CHECK: usize = STEPS_PER_CHECK as usize;

    /// One more step is done. Whether it has to be the last.
    pub(crate) fn out_of_time(&mut self) -> bool {
        self.until_check -= 1;
        if self.until_check > 0 {
            return false;
        }
        self.until_check = STEPS_PER_CHECK;
        self.deadline.has_passed()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_deadline_has_passed_from_its_instant_on() {
        let (now, deadline) = (Instant::now(), Deadline::at(Instant::now() + SECOND));
        assert!(!deadline.has_passed_at(now) && deadline.has_passed_at(now + 2 * SECOND));
        assert!(Deadline::at(now).has_passed_at(now) && Deadline::at(now).has_passed());
        assert!(Deadline::NEVER.is_never() && !Deadline::NEVER.has_passed_at(now + 1_000 * SECOND));
    }

    #[test]
    fn a_part_of_the_work_has_a_part_of_the_time() {
        let began = Instant::now();
        let deadline = Deadline::at(began + 10 * SECOND);
        assert_eq!(deadline.of_part(began, 0.3), Deadline::at(began + 3 * SECOND));
        assert_eq!(
            Deadline::at(began).of_part(began + SECOND, 0.3),
            Deadline::at(began + SECOND),
            "it is late"
        );
        assert_eq!(Deadline::NEVER.of_part(began, 0.3), Deadline::NEVER);
    }

    #[test]
    fn steps_stop_at_the_first_check_after_the_deadline() {
        let mut late = Deadline::at(Instant::now()).steps();
        for _ in 0..3 {
            let before = (1..STEPS_PER_CHECK).all(|_| !late.out_of_time());
            assert!(before && late.out_of_time());
        }
        let mut endless = Deadline::NEVER.steps();
        assert!((0..10_000).all(|_| !endless.out_of_time()));
    }
}
