//! Timers of an isolate, soonest first.
//!
//! Of many timers few are due in a tick. Taking one from a priority queue touches a cache line for each of its
//! levels, and with thousands of isolates none of them is in a cache. So the soonest are taken out together, into a
//! sorted list, and leave that one by one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::isolate::keys::{ProcessKey, WaitId};
use crate::luau::TaskId;
use crate::types::VirtualTime;

/// How many are taken out together. The list has at most twice as many.
const BATCH: usize = 64;

/// When a task is to be woken. Tasks with the same time are woken in the order in which they began to wait.
///
/// Its [`WaitId`] is taken apart, so that two timers fit a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    pub(super) due: VirtualTime,
    number: u64,
    process: ProcessKey,
    task: TaskId,
    /// Something else may have ended the wait before. Otherwise nothing else ends it.
    pub(super) is_timeout: bool,
}

impl Timer {
    pub(super) fn new(due: VirtualTime, wait: WaitId, is_timeout: bool) -> Self {
        let WaitId { number, process, task } = wait;
        Self { due, number, process, task, is_timeout }
    }

    pub(super) fn wait(self) -> WaitId {
        WaitId { number: self.number, process: self.process, task: self.task }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Timers {
    /// When the first is due; the end of time if there is none.
    next_due: VirtualTime,
    /// Latest first. Never empty while `later` is not.
    soon: Vec<Timer>,
    /// None is before any in `soon`.
    later: BinaryHeap<Reverse<Timer>>,
}

impl Default for Timers {
    fn default() -> Self {
        Self { next_due: VirtualTime::MAX, soon: Vec::new(), later: BinaryHeap::new() }
    }
}

impl Timers {
    /// When the first is due; the end of time if there is none.
    pub(super) fn next_due(&self) -> VirtualTime {
        self.next_due
    }

    /// Up to `most` of the soonest, the latest first.
    pub(super) fn soon(&self, most: usize) -> &[Timer] {
        &self.soon[self.soon.len().saturating_sub(most)..]
    }

    /// What [`Self::push`] compares a timer with. In the heap it usually passes no more than one or two levels.
    pub(super) fn insertion_points(&self) -> impl Iterator<Item = &Timer> {
        let later = self.later.as_slice();
        let parent = |at: usize| at.saturating_sub(1) / 2;
        let ends = [later.len().saturating_sub(1), parent(later.len()), parent(parent(later.len()))];
        let ends = ends.into_iter().filter_map(|at| later.get(at));
        self.soon.first().into_iter().chain(ends.map(|timer| &timer.0))
    }

    /// Takes the timer that is due first, if that is by `now`.
    pub(super) fn pop_due(&mut self, now: VirtualTime) -> Option<Timer> {
        if self.next_due > now {
            return None;
        }
        let timer = self.soon.pop();
        self.refill();
        timer
    }

    pub(super) fn push(&mut self, timer: Timer) {
        self.next_due = self.next_due.min(timer.due);
        if self.soon.first().is_some_and(|latest| *latest < timer) {
            self.later.push(Reverse(timer));
            return;
        }
        let at = self.soon.partition_point(|other| *other > timer);
        self.soon.insert(at, timer);
        if self.soon.len() > 2 * BATCH {
            self.later.extend(self.soon.drain(..BATCH).map(Reverse));
        }
    }

    /// All of them, in no order.
    #[cfg(feature = "save")]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Timer> {
        self.soon.iter().chain(self.later.iter().map(|timer| &timer.0))
    }

    pub(super) fn len(&self) -> usize {
        self.soon.len() + self.later.len()
    }

    /// Keeps the timers for which `is_kept` holds.
    pub(super) fn retain(&mut self, is_kept: impl Fn(Timer) -> bool) {
        self.soon.retain(|timer| is_kept(*timer));
        self.later.retain(|timer| is_kept(timer.0));
        self.refill();
    }

    /// Where `soon` is empty, moves the soonest of `later` there.
    fn refill(&mut self) {
        if self.soon.is_empty() {
            let soonest = std::iter::from_fn(|| self.later.pop());
            self.soon.extend(soonest.take(BATCH).map(|timer| timer.0));
            self.soon.reverse();
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
    use crate::types::ProcessIndex;

    fn timer(due: u64, number: u64) -> Timer {
        let process = ProcessKey { index: ProcessIndex(1), generation: 2 };
        Timer::new(Duration::from_nanos(due).into(), WaitId { number, process, task: 3 }, false)
    }

    #[test]
    fn two_timers_fit_a_cache_line() {
        assert!(size_of::<Timer>() <= 32);
    }

    #[test]
    fn the_sorted_list_stays_short_whatever_came_first() {
        let mut timers = Timers::default();
        timers.push(timer(1_000_000, 0));
        for number in 1..10_000 {
            timers.push(timer(number % 97, number));
            assert!(timers.soon.len() <= 2 * BATCH);
        }
        assert_eq!(timers.len(), 10_000);
    }

    #[test]
    fn the_others_keep_their_order_when_the_soonest_are_thrown_out() {
        let mut timers = Timers::default();
        (0..1_000).for_each(|number| timers.push(timer(number, number)));
        timers.retain(|timer| timer.number >= 500);
        assert_eq!(timers.next_due(), Duration::from_nanos(500).into());
        let order = std::iter::from_fn(|| timers.pop_due(VirtualTime::MAX)).map(|timer| timer.number);
        assert!(order.eq(500..1_000));
        timers.push(timer(7, 1_000));
        timers.retain(|_| false);
        assert_eq!((timers.len(), timers.next_due()), (0, VirtualTime::MAX));
    }

    #[test]
    fn timers_come_when_they_are_due_and_not_before() {
        let mut timers = Timers::default();
        assert_eq!((timers.pop_due(VirtualTime::MAX), timers.next_due()), (None, VirtualTime::MAX));
        timers.push(timer(20, 0));
        timers.push(timer(10, 1));
        let at = |time| Duration::from_nanos(time).into();
        assert_eq!((timers.pop_due(at(9)), timers.next_due()), (None, at(10)));
        assert_eq!(timers.pop_due(at(10)), Some(timer(10, 1)));
        assert_eq!((timers.pop_due(at(19)), timers.len()), (None, 1));
        assert_eq!(timers.pop_due(at(1_000)), Some(timer(20, 0)));
    }

    #[test]
    fn timers_of_one_time_come_in_the_order_in_which_their_waits_began() {
        // More than are taken out together, so that they are in both places.
        let mut timers = Timers::default();
        (0..1_000).for_each(|number| timers.push(timer(3 + 2 * (number % 2), number)));
        let order = std::iter::from_fn(|| timers.pop_due(VirtualTime::MAX)).map(|timer| timer.number);
        assert!(order.eq((0..1_000).step_by(2).chain((1..1_000).step_by(2))));
    }

    #[test]
    fn the_soonest_can_be_looked_at_latest_first() {
        let mut timers = Timers::default();
        assert!(timers.soon(3).is_empty() && timers.insertion_points().next().is_none());
        (0..1_000).for_each(|number| timers.push(timer(number * 367 % 1_000, number)));
        assert_eq!(timers.pop_due(VirtualTime::MAX), Some(timer(0, 0)));
        let dues = |most| timers.soon(most).iter().map(|timer| timer.due).collect::<Vec<_>>();
        assert_eq!(dues(3), [3, 2, 1].map(|due| Duration::from_nanos(due).into()));
        let all = dues(usize::MAX);
        assert!((1..=2 * BATCH).contains(&all.len()));
        assert!(
            all.iter().rev().copied().eq((1..=all.len() as u64).map(|due| Duration::from_nanos(due).into()))
        );
        assert!((1..=4).contains(&timers.insertion_points().count()));
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
