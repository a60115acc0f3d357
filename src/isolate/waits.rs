//! What the tasks of an isolate wait for. A process all of whose tasks wait is in no queue.
//!
//! Who waits, the scheduler of the process knows (`luau/threads.rs`): it is told when a wait ends here, and tells us
//! ([`Request::Cancel`]) when one ends there.

pub(super) mod retained_exits;
#[cfg(feature = "save")]
pub(super) mod saved;
pub(super) mod subscribers;
mod timers;

use std::collections::VecDeque;
use std::time::Duration;

use bevy::platform::collections::HashMap;
use smallvec::{SmallVec, smallvec};

use super::keys::{ProcessKey, WaitId};
use super::sweep::SweepAt;
use crate::luau::request::{ExternalRequest, Request};
use crate::luau::{Reply, TaskId, prefetch};
use crate::types::{ProcessIndex, VirtualTime};
use crate::value::Value;

use retained_exits::RetainedExits;
use subscribers::Subscribers;
use timers::{Timer, Timers};

/// The shortest wait. A wait that begins in Admit must not end in Wake of the same tick.
const MIN_WAIT: Duration = Duration::from_nanos(1);

/// Timers that are [prefetched](Waits::soon) together.
const SOON: usize = 8;

/// Waits that something other than their time can end, by process.
#[derive(Debug, Default)]
struct Pending(HashMap<ProcessIndex, SmallVec<[(TaskId, u64); 1]>>);

impl Pending {
    fn insert(&mut self, wait: WaitId) {
        self.0.entry(wait.process.index).or_default().push((wait.task, wait.number));
    }

    fn contains(&self, wait: WaitId) -> bool {
        let waits = self.0.get(&wait.process.index);
        waits.is_some_and(|waits| waits.iter().any(|&(_, number)| number == wait.number))
    }

    /// `false` if it is not there.
    fn remove(&mut self, wait: WaitId) -> bool {
        self.retain(wait.process.index, |_, number| number != wait.number)
    }

    fn remove_task(&mut self, process: ProcessIndex, task: TaskId) {
        self.retain(process, |id, _| id != task);
    }

    /// Whether some waits of a process were not kept.
    fn retain(&mut self, process: ProcessIndex, is_kept: impl Fn(TaskId, u64) -> bool) -> bool {
        let Some(waits) = self.0.get_mut(&process) else { return false };
        let count = waits.len();
        waits.retain(|&mut (task, number)| is_kept(task, number));
        let has_removed = waits.len() < count;
        if waits.is_empty() {
            self.0.remove(&process);
        }
        has_removed
    }

    /// All of them, by process.
    #[cfg(feature = "save")]
    fn iter(&self) -> impl Iterator<Item = (ProcessIndex, TaskId, u64)> {
        let waits = self.0.iter();
        waits.flat_map(|(&process, waits)| waits.iter().map(move |&(task, number)| (process, task, number)))
    }

    fn remove_process(&mut self, process: ProcessIndex) {
        if !self.0.is_empty() {
            self.0.remove(&process);
        }
    }
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Waits {
    timers: Timers,
    sweep_timers_at: SweepAt,
    pending: Pending,
    /// Syscalls, answered ones included, in the order of their deadlines. Most have the same time.
    deadlines: VecDeque<(VirtualTime, WaitId)>,
    sweep_deadlines_at: SweepAt,
    /// Those of suspended processes, with the time that is left.
    held_deadlines: HashMap<ProcessIndex, Vec<(Duration, WaitId)>>,
    /// Processes for which signals are kept that their functions have not been called with.
    behind: Vec<ProcessKey>,
    #[cfg(feature = "save")]
    pub(super) repeats: saved::Repeats,
    pub(super) subscribers: Subscribers,
    pub(super) retained_exits: RetainedExits,
    /// Waits so far.
    count: u64,
}

impl Waits {
    /// For an isolate that starts over: no number is used twice.
    pub(super) fn after(old: &Self) -> Self {
        Self { count: old.count, ..Self::default() }
    }

    /// Takes what a task asks for at the end of a slice, of a process. Returns what others must answer.
    pub(super) fn begin(
        &mut self,
        (process, task): (ProcessKey, TaskId),
        request: Request,
        now: Duration,
        syscall_timeout: Duration,
    ) -> Option<(WaitId, ExternalRequest)> {
        self.count += 1;
        let wait = WaitId { number: self.count, process, task };
        match request {
            Request::Sleep(time) => {
                let due = now.saturating_add(time.max(MIN_WAIT));
                self.timers.push(Timer::new(due.into(), wait, false));
            }
            Request::Receive { timeout } => {
                self.subscribers.receive(wait);
                self.pend(wait, timeout.map(|timeout| now.saturating_add(timeout.max(MIN_WAIT))));
            }
            Request::Signal { name, timeout } => {
                self.subscribers.listen(wait, name);
                self.pend(wait, timeout.map(|timeout| now.saturating_add(timeout.max(MIN_WAIT))));
            }
            Request::Join { timeout } => {
                self.pend(wait, timeout.map(|timeout| now.saturating_add(timeout.max(MIN_WAIT))));
            }
            Request::CatchUp => self.is_behind(process),
            Request::Cancel => self.pending.remove_task(process.index, task),
            #[cfg_attr(not(feature = "save"), expect(unused_mut, reason = "what saves take out"))]
            Request::External(mut request) => {
                self.pend(wait, None);
                #[cfg(feature = "save")]
                self.repeats.keep(wait, &mut request);
                if let ExternalRequest::Syscall { timeout, .. } = request {
                    self.set_deadline(wait, now.saturating_add(timeout.unwrap_or(syscall_timeout)).into());
                }
                return Some((wait, request));
            }
        }
        None
    }

    /// Functions of a process are to be called for signals that are kept for them.
    pub(super) fn is_behind(&mut self, process: ProcessKey) {
        if self.behind.last() != Some(&process) {
            self.behind.push(process);
        }
    }

    /// Takes those for which that holds.
    pub(super) fn take_behind(&mut self) -> Vec<ProcessKey> {
        std::mem::take(&mut self.behind)
    }

    fn pend(&mut self, wait: WaitId, timeout: Option<Duration>) {
        self.pending.insert(wait);
        if let Some(due) = timeout {
            self.set_timeout(wait, due);
        }
    }

    /// Ends a wait at some time if nothing else has ended it.
    pub(super) fn set_timeout(&mut self, wait: WaitId, due: Duration) {
        if self.is_pending(wait) {
            self.timers.push(Timer::new(due.into(), wait, true));
        }
    }

    /// A process is suspended: the deadlines of its syscalls stand still.
    pub(super) fn hold_deadlines(&mut self, process: ProcessIndex, now: Duration) {
        if !self.pending.0.contains_key(&process) {
            return;
        }
        let mut held = Vec::new();
        self.deadlines.retain(|&(due, wait)| {
            let is_held = wait.process.index == process;
            if is_held {
                held.push((Duration::from(due).saturating_sub(now), wait));
            }
            !is_held
        });
        if !held.is_empty() {
            self.held_deadlines.entry(process).or_default().append(&mut held);
        }
    }

    /// It is not any more.
    pub(super) fn release_deadlines(&mut self, process: ProcessIndex, now: Duration) {
        for (left, wait) in self.held_deadlines.remove(&process).unwrap_or_default() {
            self.set_deadline(wait, now.saturating_add(left).into());
        }
    }

    /// Ends a syscall at some time. Mostly that is later than what is due already.
    fn set_deadline(&mut self, wait: WaitId, due: VirtualTime) {
        if self.deadlines.back().is_none_or(|deadline| deadline.0 <= due) {
            self.deadlines.push_back((due, wait));
        } else {
            let at = self.deadlines.partition_point(|deadline| deadline.0 <= due);
            self.deadlines.insert(at, (due, wait));
        }
    }

    /// Whether a wait has not ended.
    pub(super) fn is_pending(&self, wait: WaitId) -> bool {
        self.pending.contains(wait)
    }

    /// Ends a wait. `false` if it has ended already.
    pub(super) fn end(&mut self, wait: WaitId) -> bool {
        let has_ended = self.pending.remove(wait);
        #[cfg(feature = "save")]
        self.repeats.forget(wait);
        while self.deadlines.front().is_some_and(|&(_, wait)| !self.is_pending(wait)) {
            self.deadlines.pop_front();
        }
        has_ended
    }

    /// When the first wait ends by itself; the end of time if none does.
    pub(super) fn next_due(&self) -> VirtualTime {
        if !self.behind.is_empty() {
            return Duration::ZERO.into();
        }
        let deadline = self.deadlines.front().map_or(VirtualTime::MAX, |deadline| deadline.0);
        self.timers.next_due().min(deadline)
    }

    /// Ends the wait that is due first, if that is by `now`. Returns what its task goes on with.
    pub(super) fn pop_due(&mut self, now: VirtualTime) -> Option<(WaitId, Option<Reply>)> {
        while let Some(timer) = self.timers.pop_due(now) {
            if !timer.is_timeout {
                return Some((timer.wait(), None));
            }
            if self.end(timer.wait()) {
                return Some((timer.wait(), Some(Ok(smallvec![Value::Nil]))));
            }
        }
        while let Some((_, wait)) = self.deadlines.pop_front_if(|deadline| deadline.0 <= now) {
            if self.end(wait) {
                return Some((wait, Some(Err("the game did not answer in time".to_owned()))));
            }
        }
        None
    }

    /// The wait of a process that has waited longest for a message.
    pub(super) fn next_receiver(&mut self, process: ProcessIndex) -> Option<WaitId> {
        loop {
            let wait = self.subscribers.pop_receiver(process)?;
            if self.is_pending(wait) {
                return Some(wait);
            }
        }
    }

    /// A process has ended, or starts again.
    pub(super) fn forget(&mut self, process: ProcessIndex) {
        self.subscribers.forget(process);
        self.pending.remove_process(process);
        self.held_deadlines.remove(&process);
    }

    /// Throws out what waits have left behind that ended early. `is_waiting` tells whether a task waits at all.
    pub(super) fn sweep(
        &mut self,
        is_waiting: impl Fn(WaitId) -> bool,
        is_live: impl Fn(ProcessKey) -> bool,
    ) {
        let pending = &self.pending;
        if self.sweep_timers_at.is_due(self.timers.len()) {
            self.timers.retain(|timer| match timer.is_timeout {
                true => pending.contains(timer.wait()),
                false => is_waiting(timer.wait()),
            });
            self.sweep_timers_at.swept(self.timers.len());
        }
        if self.sweep_deadlines_at.is_due(self.deadlines.len()) {
            self.deadlines.retain(|&(_, wait)| pending.contains(wait));
            self.sweep_deadlines_at.swept(self.deadlines.len());
            #[cfg(feature = "save")]
            self.repeats.retain(pending.iter().map(|(_, _, number)| number));
        }
        self.subscribers.sweep(|wait| pending.contains(wait), is_live);
    }

    /// Starts loading the timers that are due first.
    pub(super) fn prefetch_soon(&self) {
        prefetch(self.timers.soon(SOON));
    }

    /// Starts loading what the next timer is compared with.
    pub(super) fn prefetch_insertion(&self) {
        self.timers.insertion_points().for_each(prefetch);
    }

    /// Who waits for the first few timers, as far as they are due by `now`.
    pub(super) fn soon(&self, now: VirtualTime) -> impl Iterator<Item = ProcessKey> {
        let soon = self.timers.soon(SOON).iter().rev();
        soon.take_while(move |timer| timer.due <= now).map(|timer| timer.wait().process)
    }

    /// Timers, deadlines and subscribers, void ones included.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.timers.len() + self.deadlines.len() + self.subscribers.entries()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn process(index: u32) -> ProcessKey {
        ProcessKey { index: ProcessIndex(index), generation: 0 }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn syscall() -> Request {
        Request::External(ExternalRequest::Syscall {
            number: 0,
            args: Box::new(()),
            timeout: None,
            #[cfg(feature = "save")]
            again: None,
        })
    }

    fn begin(waits: &mut Waits, task: TaskId, request: Request, now: u64) -> WaitId {
        waits.begin((process(1), task), request, seconds(now), TIMEOUT);
        WaitId { number: waits.count, process: process(1), task }
    }

    #[test]
    fn a_wait_ends_once_by_whatever_comes_first() {
        let mut waits = Waits::default();
        let message = begin(&mut waits, 1, Request::Receive { timeout: Some(seconds(5)) }, 0);
        let unlimited = begin(&mut waits, 2, Request::Receive { timeout: None }, 0);
        assert_eq!(waits.next_due(), seconds(5).into());
        assert_eq!(waits.pop_due(seconds(4).into()), None);
        assert_eq!(waits.pop_due(seconds(5).into()), Some((message, Some(Ok(smallvec![Value::Nil])))));
        assert!(!waits.end(message) && !waits.is_pending(message));
        assert_eq!(waits.next_receiver(process(1).index), Some(unlimited));
        assert!(waits.end(unlimited) && !waits.end(unlimited));
    }

    #[test]
    fn a_message_in_time_makes_the_timeout_void() {
        let mut waits = Waits::default();
        let wait = begin(&mut waits, 1, Request::Receive { timeout: Some(seconds(5)) }, 0);
        assert!(waits.end(wait));
        assert_eq!(waits.pop_due(seconds(9).into()), None);
    }

    #[test]
    fn sleepers_wake_in_order_and_without_a_reply() {
        let mut waits = Waits::default();
        let [late, soon] = [7, 3].map(|time| begin(&mut waits, 1, Request::Sleep(seconds(time)), 0));
        assert_eq!(waits.soon(seconds(5).into()).count(), 1);
        assert_eq!(waits.pop_due(seconds(9).into()), Some((soon, None)));
        assert_eq!(waits.pop_due(seconds(9).into()), Some((late, None)));
        let at_once = begin(&mut waits, 1, Request::Sleep(Duration::ZERO), 9);
        assert_eq!(waits.pop_due(seconds(9).into()), None, "not before the next tick");
        assert_eq!(waits.pop_due(seconds(10).into()), Some((at_once, None)));
    }

    #[test]
    fn a_syscall_without_an_answer_ends_with_an_error() {
        let mut waits = Waits::default();
        let [answered, forgotten] = [1, 2].map(|task| begin(&mut waits, task, syscall(), 0));
        assert!(waits.end(answered));
        assert_eq!((waits.entries(), waits.next_due()), (1, TIMEOUT.into()));
        let (wait, reply) = waits.pop_due(TIMEOUT.into()).expect("its time has come");
        assert!(wait == forgotten && matches!(reply, Some(Err(_))));
        assert_eq!((waits.entries(), waits.next_due()), (0, VirtualTime::MAX));
    }

    #[test]
    fn the_deadline_of_a_syscall_stands_still_while_its_process_is_suspended() {
        let mut waits = Waits::default();
        let wait = begin(&mut waits, 1, syscall(), 0);
        waits.hold_deadlines(process(1).index, seconds(4));
        assert_eq!(waits.pop_due(seconds(99).into()), None);
        waits.release_deadlines(process(1).index, seconds(100));
        assert_eq!(waits.next_due(), seconds(106).into());
        assert!(waits.pop_due(seconds(106).into()).is_some_and(|(due, _)| due == wait));
        begin(&mut waits, 1, syscall(), 200);
        waits.hold_deadlines(process(1).index, seconds(201));
        waits.forget(process(1).index);
        assert!(waits.held_deadlines.is_empty());
    }

    #[test]
    fn what_a_cancelled_task_or_an_ended_process_waited_for_is_swept_out() {
        let mut waits = Waits::default();
        for task in 1..=200 {
            begin(&mut waits, task, syscall(), 0);
            begin(&mut waits, task, Request::Receive { timeout: Some(seconds(99)) }, 0);
            if task > 10 {
                begin(&mut waits, task, Request::Cancel, 0);
            }
        }
        assert_eq!(waits.entries(), 3 * 200);
        waits.sweep(|_| true, |_| true);
        assert_eq!(waits.entries(), 3 * 10);
        waits.forget(process(1).index);
        assert!(waits.pending.0.is_empty());
    }

    #[test]
    fn numbers_go_on_in_an_isolate_that_starts_over() {
        let mut old = Waits::default();
        let before = begin(&mut old, 1, syscall(), 0);
        let mut new = Waits::after(&old);
        begin(&mut new, 1, syscall(), 0);
        assert!(!new.is_pending(before) && new.entries() == 1);
    }
}
