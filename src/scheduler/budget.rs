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
    /// As `Time`, with as much time as the game leaves: 60% of what a frame has after the game's own work,
    /// and 1 ms at least. It is learned from what past frames took without us.
    ///
    /// A frame is as long as a tick's timestep, or shorter if frames are more frequent than ticks. The
    /// game's work is that of its main schedule; when frames come late for reasons that do not show there
    /// (rendering), the budget is cut back by up to three quarters.
    Auto,
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
    Wake,
    Run,
    Collect,
    Settle,
}

impl TickBudget {
    /// When `phase` has to stop if it begins at `now` and the phases before it took `spent`. Each
    /// phase leaves something for the ones after it, and gets what the ones before it did not use.
    pub(crate) fn deadline(self, now: Instant, spent: Duration, phase: Phase) -> Option<Instant> {
        let Self::Time(budget) = self else { return None }; // `Auto` has become `Time` in `begin_tick`
        let share = match phase {
            Phase::Place => 0.08,
            Phase::Start => 0.25,
            Phase::Wake => 0.35,
            Phase::Run => 0.7,
            Phase::Collect => 0.85,
            Phase::Settle => 1.0,
        };
        Some(now + budget.mul_f64(share).saturating_sub(spent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_share_a_time_budget_and_unlimited_has_no_deadline() {
        let now = Instant::now();
        let (budget, ms) = (TickBudget::Time(Duration::from_millis(100)), Duration::from_millis);
        let left = |spent, phase| budget.deadline(now, spent, phase).unwrap() - now;
        let nothing = Duration::ZERO;
        assert!(left(nothing, Phase::Place) < left(nothing, Phase::Start));
        assert!(left(nothing, Phase::Start) < left(nothing, Phase::Wake));
        assert!(left(nothing, Phase::Wake) < left(nothing, Phase::Run));
        assert!(left(nothing, Phase::Run) < left(nothing, Phase::Collect));
        assert_eq!(left(nothing, Phase::Settle), ms(100));
        assert_eq!(left(ms(30), Phase::Settle), ms(70));
        assert_eq!(left(ms(200), Phase::Settle), nothing);
        assert_eq!(TickBudget::Unlimited.deadline(now, nothing, Phase::Settle), None);
    }
}
