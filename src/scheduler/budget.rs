//! What a tick may cost.

use std::time::{Duration, Instant};

/// How much of a frame a tick may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TickBudget {
    /// Every runnable process gets its slice in every tick, however long that takes. The only mode
    /// in which two runs of the same app give the same results.
    Unlimited,
    /// A tick stops when this much wall time is used up and the next goes on where it stopped.
    Time(Duration),
}

/// 4 ms: a quarter of a frame at 60 frames a second.
impl Default for TickBudget {
    fn default() -> Self {
        Self::Time(Duration::from_millis(4))
    }
}

/// A part of the tick.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// Admit: heap and PID.
    Place,
    /// Admit: thread.
    Start,
    Run,
    Collect,
    Settle,
}

impl TickBudget {
    /// When `phase` of a tick that began at `tick_began` has to stop. Each phase leaves something
    /// for the ones after it, and gets what the ones before it did not use.
    pub(crate) fn deadline(self, tick_began: Instant, phase: Phase) -> Option<Instant> {
        let Self::Time(budget) = self else { return None };
        let share = match phase {
            Phase::Place => 0.08,
            Phase::Start => 0.25,
            Phase::Run => 0.7,
            Phase::Collect => 0.85,
            Phase::Settle => 1.0,
        };
        Some(tick_began + budget.mul_f64(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_share_a_time_budget_and_unlimited_has_no_deadline() {
        let began = Instant::now();
        let budget = TickBudget::Time(Duration::from_millis(100));
        let after = |phase| budget.deadline(began, phase).unwrap() - began;
        assert!(after(Phase::Place) < after(Phase::Start) && after(Phase::Start) < after(Phase::Run));
        assert!(after(Phase::Run) < after(Phase::Collect));
        assert_eq!(after(Phase::Settle), Duration::from_millis(100));
        assert_eq!(TickBudget::Unlimited.deadline(began, Phase::Settle), None);
    }
}
