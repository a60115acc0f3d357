//! Timers of a heap, soonest first.
//!
//! Of many timers few are due in a tick. A priority queue of all would touch a line of memory for each of its levels
//! whenever one is taken, and with thousands of heaps none of them is in a cache. So only the soonest are in order, and
//! the others lie behind them as they came.

use super::WaitId;
use crate::runtime::heap::VirtualTime;
use crate::runtime::luau::TaskId;

/// At least so many are kept in order.
const FEW: usize = 64;

/// When a task is to be woken. Those with the same time are woken in the order in which they began to wait.
///
/// Its wait is taken apart, so that two timers fit a line of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    pub(super) due: VirtualTime,
    number: u64,
    slot: u32,
    generation: u32,
    task: TaskId,
    /// It may be void: the wait is over if it is not pending. Otherwise nothing else ends it.
    pub(super) is_timeout: bool,
}

impl Timer {
    pub(super) fn new(due: VirtualTime, wait: WaitId, is_timeout: bool) -> Self {
        let WaitId { number, slot, generation, task } = wait;
        Self { due, number, slot, generation, task, is_timeout }
    }

    pub(super) fn wait(self) -> WaitId {
        WaitId { number: self.number, slot: self.slot, generation: self.generation, task: self.task }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Timers {
    /// When the first is due; the end of time if there is none.
    next_due: VirtualTime,
    /// Latest first. Never empty while `later` is not.
    soon: Vec<Timer>,
    /// In no order.
    later: Vec<Timer>,
    /// No timer in `soon` is after this one, nor any in `later` before it. None when both are empty.
    soon_until: Option<Timer>,
}

impl Default for Timers {
    fn default() -> Self {
        Self { next_due: VirtualTime::MAX, soon: Vec::new(), later: Vec::new(), soon_until: None }
    }
}

impl Timers {
    /// When the first is due; the end of time if there is none.
    pub(super) fn next_due(&self) -> VirtualTime {
        self.next_due
    }

    /// Up to `most` of the soonest, latest first.
    pub(super) fn soon(&self, most: usize) -> &[Timer] {
        &self.soon[self.soon.len().saturating_sub(most)..]
    }

    /// The last timers of the parts to one of which the next will be added.
    pub(super) fn ends(&self) -> impl Iterator<Item = &Timer> {
        self.soon.last().into_iter().chain(self.later.last())
    }

    /// Takes the one that is due first, if that is at `now` or before.
    pub(super) fn pop_due(&mut self, now: VirtualTime) -> Option<Timer> {
        if self.next_due > now {
            return None;
        }
        let timer = self.soon.pop();
        self.refill();
        timer
    }

    pub(super) fn push(&mut self, timer: Timer) {
        if self.soon_until.is_some_and(|until| timer < until) {
            let at = self.soon.partition_point(|other| *other > timer);
            self.soon.insert(at, timer);
            if self.soon.len() > 2 * self.few() {
                let surplus = self.soon.len() - self.few();
                self.later.extend(self.soon.drain(..surplus));
                self.soon_until = self.soon.first().copied();
            }
        } else {
            self.later.push(timer);
        }
        self.refill();
    }

    pub(super) fn len(&self) -> usize {
        self.soon.len() + self.later.len()
    }

    /// Throws out those for which `is_kept` does not hold.
    pub(super) fn retain(&mut self, is_kept: impl Fn(Timer) -> bool) {
        self.soon.retain(|timer| is_kept(*timer));
        self.later.retain(|timer| is_kept(*timer));
        self.refill();
    }

    /// How many are kept in order. To take one then costs a search through as many of the others, or [`FEW`]; to insert
    /// one, moving no more.
    fn few(&self) -> usize {
        self.len().isqrt().max(FEW)
    }

    /// Where `soon` is empty, moves the soonest of `later` there.
    fn refill(&mut self) {
        if self.soon.is_empty() {
            let latest = self.later.len().saturating_sub(self.few());
            if latest > 0 {
                self.later.select_nth_unstable_by(latest, |a, b| b.cmp(a));
            }
            self.soon.extend(self.later.drain(latest..));
            self.soon.sort_unstable_by(|a, b| b.cmp(a));
            self.soon_until = self.soon.first().copied();
        }
        self.next_due = self.soon.last().map_or(VirtualTime::MAX, |timer| timer.due);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn timer(due: u64, number: u64) -> Timer {
        let wait = WaitId { number, slot: 1, generation: 2, task: 3 };
        Timer::new(Duration::from_nanos(due).into(), wait, false)
    }

    #[test]
    fn a_timer_remembers_its_wait_in_half_a_line() {
        let wait = WaitId { number: 4, slot: 1, generation: 2, task: 3 };
        assert_eq!(Timer::new(VirtualTime::MAX, wait, true).wait(), wait);
        assert!(size_of::<Timer>() <= 32);
    }

    #[test]
    fn a_distant_timer_that_comes_first_does_not_make_all_others_soon() {
        let mut timers = Timers::default();
        timers.push(timer(1_000_000, 0));
        (1..1_000).for_each(|number| timers.push(timer(number % 97, number)));
        assert!(timers.soon.len() <= 2 * FEW, "{}", timers.soon.len());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(u64),
        PopDue(u64),
        Retain(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..1_000u64).prop_map(Step::Push),
            4 => (0..100u64).prop_map(Step::PopDue),
            1 => (2..9u64).prop_map(Step::Retain),
        ]
    }

    proptest! {
        #[test]
        fn timers_come_in_the_order_of_a_sorted_set(steps in prop::collection::vec(step(), 0..2_000)) {
            let (mut timers, mut expected) = (Timers::default(), BTreeSet::new());
            let (mut number, mut now) = (0, 0);
            for step in steps {
                match step {
                    Step::Push(time) => {
                        number += 1;
                        timers.push(timer(now + time, number));
                        expected.insert(timer(now + time, number));
                    }
                    Step::PopDue(time) => {
                        now += time;
                        let now = Duration::from_nanos(now).into();
                        while let Some(first) = timers.pop_due(now) {
                            prop_assert_eq!(expected.pop_first(), Some(first));
                            prop_assert!(first.due <= now);
                        }
                        prop_assert!(expected.first().is_none_or(|first| first.due > now));
                    }
                    Step::Retain(n) => {
                        timers.retain(|timer| timer.number % n > 0);
                        expected.retain(|timer| timer.number % n > 0);
                    }
                }
                let due = expected.first().map_or(VirtualTime::MAX, |first| first.due);
                prop_assert_eq!(timers.next_due(), due);
                prop_assert_eq!(timers.len(), expected.len());
            }
        }
    }
}
