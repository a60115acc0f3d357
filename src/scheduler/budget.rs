//! What a tick may cost, and how its phases share that.

use std::time::{Duration, Instant};

use crate::types::Deadline;

/// A part of the tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Admit,
    Wake,
    Run,
    Collect,
    Settle,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Admit, Self::Wake, Self::Run, Self::Collect, Self::Settle];

    /// The part of the budget that a phase is sure of when all need more than there is.
    fn share(self) -> f64 {
        match self {
            Self::Wake => 0.1,
            Self::Settle => 0.15,
            // Collect: what programs make that do nothing else takes a third of their time to collect.
            Self::Admit | Self::Run | Self::Collect => 0.25,
        }
    }

    /// What `share` may grow to, at the cost of the earlier phases, while the phase is cut short in each tick. The
    /// processes of isolates with too much garbage wait for the collector, and cannot use what Run has.
    fn max_share(self) -> f64 {
        match self {
            Self::Collect => 0.4,
            _ => self.share(),
        }
    }
}

/// What a share grows by in a tick in which its phase was cut short.
const GROWTH: f64 = 0.01;

/// What is kept for a phase beyond what it took lately, as a part of the budget.
const RESERVE: f64 = 0.03;

/// What remains of a phase's need after a tick in which it took less.
const DECAY: f64 = 0.9;

/// A longer budget counts as this: no tick gets there, and no sum of times overflows.
const LONGEST: Duration = Duration::from_secs(3600);

/// A tick's budget, and who has used how much of it.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// `None` if it is unlimited.
    budget: Option<Duration>,
    spent: Duration,
    /// What each phase needed lately, as a part of the budget; at most its largest share.
    needs: [f64; 5],
}

impl Default for Account {
    fn default() -> Self {
        Self { budget: None, spent: Duration::ZERO, needs: Phase::ALL.map(Phase::share) }
    }
}

impl Account {
    /// Begins a tick.
    pub(crate) fn begin(&mut self, budget: Option<Duration>) {
        (self.budget, self.spent) = (budget.map(|budget| budget.min(LONGEST)), Duration::ZERO);
    }

    /// What the phases took so far. Other systems run in between, and their time is not charged.
    pub(crate) fn spent(&self) -> Duration {
        self.spent
    }

    /// When `phase` has to stop if it begins at `now`. Each leaves the later ones their shares, or less if they
    /// needed less lately, and gets what the earlier ones did not use.
    pub(crate) fn deadline(&self, now: Instant, phase: Phase) -> Deadline {
        let Some(budget) = self.budget else { return Deadline::NEVER };
        let reserve = |later: Phase| {
            let need = self.needs[later as usize];
            need.max(later.share()).min(need + RESERVE)
        };
        let reserved: f64 = Phase::ALL.into_iter().filter(|&later| later > phase).map(reserve).sum();
        Deadline::at(now + budget.mul_f64(1.0 - reserved).saturating_sub(self.spent))
    }

    /// When a tick has to be over that is no usual one and begins at `now`.
    #[cfg(feature = "save")]
    pub(crate) fn whole(&self, now: Instant) -> Deadline {
        self.budget.map_or(Deadline::NEVER, |budget| Deadline::at(now + budget))
    }

    /// A phase has taken `time`; `was_cut` if it had to stop.
    pub(crate) fn charge(&mut self, phase: Phase, time: Duration, was_cut: bool) {
        self.spent += time;
        if let Some(budget) = self.budget {
            let taken = time.div_duration_f64(budget.max(Duration::from_nanos(1)));
            let need = &mut self.needs[phase as usize];
            let now = if was_cut { phase.share().max(*need + GROWTH) } else { taken.max(*need * DECAY) };
            *need = now.min(phase.max_share());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// What a phase may take if it begins now.
    fn left(account: &Account, phase: Phase) -> Duration {
        let now = Instant::now();
        account.deadline(now, phase).instant().expect("a limited budget") - now
    }

    fn tick(account: &mut Account, times: [Duration; 5]) {
        account.begin(Some(ms(100)));
        for (phase, time) in std::iter::zip(Phase::ALL, times) {
            account.charge(phase, time, false);
        }
        account.begin(Some(ms(100)));
    }

    #[test]
    fn phases_that_need_more_than_there_is_get_their_shares() {
        let mut account = Account::default();
        account.begin(Some(ms(100)));
        let mut granted = Vec::new();
        for phase in Phase::ALL {
            let time = left(&account, phase);
            granted.push(time.as_millis());
            account.charge(phase, time, true);
        }
        assert_eq!(granted, [25, 10, 25, 25, 15]);
        assert_eq!(left(&account, Phase::Settle), Duration::ZERO);
        account.charge(Phase::Settle, ms(50), true);
        assert_eq!(left(&account, Phase::Settle), Duration::ZERO, "nothing is left of a budget overdrawn");
    }

    #[test]
    fn what_a_phase_does_not_use_is_left_to_those_after_it() {
        let mut account = Account::default();
        account.begin(Some(ms(100)));
        account.charge(Phase::Admit, ms(1), false);
        assert_eq!(left(&account, Phase::Run), ms(59));
        account.charge(Phase::Run, ms(30), false);
        assert_eq!(left(&account, Phase::Settle), ms(69));
    }

    #[test]
    fn what_a_phase_has_not_needed_lately_is_left_to_those_before_it() {
        let (mut account, nothing) = (Account::default(), Duration::ZERO);
        for _ in 0..60 {
            tick(&mut account, [ms(40), nothing, ms(20), nothing, nothing]);
        }
        assert!(left(&account, Phase::Run) > ms(90));
        assert!((ms(65)..ms(72)).contains(&left(&account, Phase::Admit)), "the run phase still needs 20 ms");
        // What was cut short gets its share again at once.
        account.charge(Phase::Collect, Duration::ZERO, true);
        assert!(left(&account, Phase::Run) < ms(83));
    }

    #[test]
    fn the_collector_gets_more_while_it_falls_behind() {
        let mut account = Account::default();
        let run_gets = |account: &mut Account, collector_is_cut: bool, ticks: u32| {
            for _ in 0..ticks {
                account.begin(Some(ms(100)));
                account.charge(Phase::Run, ms(20), true);
                account.charge(Phase::Collect, ms(30), collector_is_cut);
                account.charge(Phase::Settle, ms(15), true);
            }
            account.begin(Some(ms(100)));
            left(account, Phase::Run).as_millis()
        };
        assert_eq!(run_gets(&mut account, false, 0), 60);
        assert!((50..59).contains(&run_gets(&mut account, true, 5)));
        assert_eq!(run_gets(&mut account, true, 100), 45, "it has a largest share");
        assert!((54..56).contains(&run_gets(&mut account, false, 100)), "it takes 30% and keeps up");
    }

    #[test]
    fn a_budget_may_be_as_long_as_it_likes() {
        let mut account = Account::default();
        account.begin(Some(Duration::MAX));
        for phase in Phase::ALL {
            assert!(left(&account, phase) >= LONGEST / 5);
            account.charge(phase, ms(1), false);
        }
    }

    #[test]
    fn an_unlimited_budget_has_no_deadline() {
        let mut account = Account::default();
        account.begin(None);
        account.charge(Phase::Admit, ms(1), false);
        assert!(account.deadline(Instant::now(), Phase::Run).is_never());
        assert_eq!(account.spent(), ms(1));
    }
}
