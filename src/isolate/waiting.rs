//! Tasks that wait: for a time, or for the answer to a syscall. A process all of whose tasks wait is in no queue.

mod timers;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bevy::platform::collections::HashMap;
use smallvec::{SmallVec, smallvec};

use super::slots::Identity;
use super::sweep::SweepAt;
use super::{Isolate, SlotId};
use super::{Posted, RequestId};
use crate::luau::request::ExternalRequest;
use crate::luau::{Context, Reply, Request, TaskId, prefetch};
use crate::types::Pid;
use crate::types::ProcessIndex;
use crate::types::VirtualTime;
use crate::value::Value;

use timers::{Timer, Timers};

/// Processes woken between two looks at the clock.
const WAKES_PER_CLOCK_LOOK: usize = 64;

/// Timers that are looked at [ahead](Waiting::due).
const SOON: usize = 8;

/// One wait of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WaitId {
    /// Waits so far on the isolate.
    pub(crate) number: u64,
    slot: u32,
    generation: u32,
    pub(crate) task: TaskId,
}

impl WaitId {
    pub(crate) fn slot(self) -> SlotId {
        SlotId { slot: self.slot, generation: self.generation }
    }
}

/// What is waited for that can come before a time, or never.
#[derive(Clone, Copy, Debug)]
struct Pending {
    task: TaskId,
    number: u64,
}

/// What the waiting tasks of an isolate wait for.
#[derive(Default)]
pub(super) struct Waiting {
    timers: Timers,
    sweep_timers_at: SweepAt,
    /// What others must answer and have not been asked yet.
    requests: Vec<(WaitId, ExternalRequest)>,
    sweep_requests_at: SweepAt,
    /// By slot.
    pending: HashMap<u32, SmallVec<[Pending; 1]>>,
    /// Syscalls, answered ones included, in the order of their deadlines: each has the same time.
    deadlines: VecDeque<(VirtualTime, WaitId)>,
    sweep_deadlines_at: SweepAt,
    /// Waits so far.
    count: u64,
}

/// What a wait takes at least. One that begins before the tick looks at its timers is to end in a later tick.
const MIN_WAIT: Duration = Duration::from_nanos(1);

impl Waiting {
    /// For an isolate that starts over: no number is used twice.
    pub(super) fn after(old: &Self) -> Self {
        Self { count: old.count, ..Self::default() }
    }

    /// Whether there are requests that have not left the isolate.
    pub(super) fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// The next wait of a task.
    pub(super) fn next_wait(&mut self, id: SlotId, task: TaskId) -> WaitId {
        self.count += 1;
        WaitId { number: self.count, slot: id.slot, generation: id.generation, task }
    }

    /// A task waits from now on.
    pub(super) fn begin(&mut self, wait: WaitId, request: Request, now: Duration, timeout: Duration) {
        match request {
            Request::Sleep(time) => {
                let due = now + time.max(MIN_WAIT);
                self.timers.push(Timer::new(due.into(), wait, false));
            }
            Request::External(request) => {
                self.pend(wait);
                if let ExternalRequest::Syscall { .. } = request {
                    self.deadlines.push_back(((now + timeout).into(), wait));
                }
                self.requests.push((wait, request));
            }
            request @ (Request::Receive { .. } | Request::Signal { .. }) => {
                let timeout = Self::timeout_of(&request);
                self.pend(wait);
                if let Some(timeout) = timeout {
                    self.set_timeout(wait, now + timeout.max(MIN_WAIT));
                }
            }
            // Not a wait; see `Subscribers::begin`.
            Request::Connect { .. } => {}
            Request::Cancel => {
                if let Some(pending) = self.pending.get_mut(&wait.slot) {
                    pending.retain(|pending| pending.task != wait.task);
                    if pending.is_empty() {
                        self.pending.remove(&wait.slot);
                    }
                }
            }
        }
    }

    fn pend(&mut self, wait: WaitId) {
        let pending = Pending { task: wait.task, number: wait.number };
        self.pending.entry(wait.slot).or_default().push(pending);
    }

    /// Ends a wait at some time if nothing else has ended it.
    pub(super) fn set_timeout(&mut self, wait: WaitId, due: Duration) {
        if self.is_pending(wait) {
            self.timers.push(Timer::new(due.into(), wait, true));
        }
    }

    /// Whether a wait has not ended. Numbers are never used twice.
    pub(super) fn is_pending(&self, wait: WaitId) -> bool {
        self.pending.get(&wait.slot).is_some_and(|all| all.iter().any(|one| one.number == wait.number))
    }

    /// Ends a wait. `false` if it has ended already.
    fn finish(&mut self, wait: WaitId) -> bool {
        let Some(all) = self.pending.get_mut(&wait.slot) else { return false };
        let Some(at) = all.iter().position(|one| one.number == wait.number) else { return false };
        all.swap_remove(at);
        if all.is_empty() {
            self.pending.remove(&wait.slot);
        }
        true
    }

    fn next_due(&self) -> VirtualTime {
        let call = self.deadlines.front().map_or(VirtualTime::MAX, |call| call.0);
        self.timers.next_due().min(call)
    }

    /// Starts loading the timers that are due first.
    pub(super) fn prefetch_soon(&self) {
        prefetch(self.timers.soon(SOON));
    }

    /// Starts loading what the next timer is compared with.
    pub(super) fn prefetch_looked_at(&self) {
        self.timers.looked_at().for_each(prefetch);
    }

    /// Who waits for the first few timers, as far as they are due at `now`.
    pub(super) fn due(&self, now: VirtualTime) -> impl Iterator<Item = SlotId> {
        let soon = self.timers.soon(SOON).iter().rev();
        soon.take_while(move |timer| timer.due <= now).map(|timer| timer.wait().slot())
    }

    /// Timers, deadlines and calls, those of waits that are over included.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.timers.len() + self.deadlines.len() + self.requests.len()
    }

    /// Throws out timers and calls of waits that are over. `is_waiting` tells whether a task waits at all.
    pub(super) fn sweep(&mut self, is_waiting: impl Fn(WaitId) -> bool) {
        if self.sweep_timers_at.is_due(self.timers.len()) {
            let mut timers = std::mem::take(&mut self.timers);
            timers.retain(|timer| match timer.is_timeout {
                true => self.is_pending(timer.wait()),
                false => is_waiting(timer.wait()),
            });
            self.sweep_timers_at.swept(timers.len());
            self.timers = timers;
        }
        if self.sweep_deadlines_at.is_due(self.deadlines.len()) {
            let mut deadlines = std::mem::take(&mut self.deadlines);
            deadlines.retain(|&(_, wait)| self.is_pending(wait));
            self.sweep_deadlines_at.swept(deadlines.len());
            self.deadlines = deadlines;
        }
        if self.sweep_requests_at.is_due(self.requests.len()) {
            let mut requests = std::mem::take(&mut self.requests);
            requests.retain(|&(wait, _)| self.is_pending(wait));
            self.sweep_requests_at.swept(requests.len());
            self.requests = requests;
        }
    }
}

impl Isolate {
    /// When the first timer is due; the end of time if there is none.
    pub(crate) fn next_due(&self) -> VirtualTime {
        self.waiting.next_due()
    }

    /// Whether some task is to be woken by `now`.
    pub(crate) fn has_due(&self, now: Duration) -> bool {
        self.waiting.next_due() <= now.into()
    }

    /// Wakes the tasks whose time has come, until `deadline`.
    pub(crate) fn wake(&mut self, now: Duration, deadline: Option<Instant>) {
        let now = VirtualTime::from(now);
        for woken in 1.. {
            if let Some(timer) = self.waiting.timers.pop_due(now) {
                if !timer.is_timeout {
                    self.resume_waiting(timer.wait(), None);
                } else if self.waiting.finish(timer.wait()) {
                    self.resume_waiting(timer.wait(), Some(Ok(smallvec![Value::Nil])));
                }
            } else if let Some((_, wait)) =
                self.waiting.deadlines.front().copied().filter(|&(deadline, _)| deadline <= now)
            {
                self.waiting.deadlines.pop_front();
                self.reply(wait, Err("the game did not answer in time".to_owned()));
            } else {
                break;
            }
            let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if woken % WAKES_PER_CLOCK_LOOK == 0 && is_over() {
                break;
            }
        }
    }

    /// Ends a wait, unless it has ended or its process has.
    pub(crate) fn reply(&mut self, wait: WaitId, reply: Reply) {
        if self.waiting.finish(wait) {
            self.resume_waiting(wait, Some(reply));
        }
        while let Some(&(_, wait)) = self.waiting.deadlines.front()
            && !self.waiting.is_pending(wait)
        {
            self.waiting.deadlines.pop_front();
        }
    }

    fn resume_waiting(&mut self, wait: WaitId, reply: Option<Reply>) {
        if self.slots.live(wait.slot()).is_none() {
            return;
        }
        let Some(state) = &mut self.state else { return };
        if state.wake(ProcessIndex(wait.slot), wait.task, reply) {
            self.make_runnable(wait.slot());
        }
    }

    /// Ends a wait for the end of a process after some time.
    pub(crate) fn set_timeout(&mut self, wait: WaitId, due: Duration) {
        self.waiting.set_timeout(wait, due);
    }

    /// Whether a wait has not ended.
    pub(crate) fn is_pending(&self, wait: WaitId) -> bool {
        self.waiting.is_pending(wait)
    }

    /// Takes what processes have asked others for, as far as it is wanted.
    pub(crate) fn take_requests(
        &mut self,
        isolate: u32,
        is_wanted: impl Fn(&ExternalRequest) -> bool,
        mut each: impl FnMut(Posted<()>, ExternalRequest),
    ) {
        let requests = std::mem::take(&mut self.waiting.requests).into_iter();
        let (wanted, left) = requests.partition(|(_, request)| is_wanted(request));
        self.waiting.requests = left;
        let wanted: Vec<(WaitId, ExternalRequest)> = wanted;
        for (wait, request) in wanted {
            if !self.waiting.is_pending(wait) {
                continue; // its process has ended, or its task was cancelled
            }
            let vm = self.places[self.slots[wait.slot].place as usize].vm;
            let Identity { process, pid, .. } = self.slots.identity(wait.slot);
            let pid = Pid(pid.try_into().expect("PIDs start at 1"));
            each(Posted { id: RequestId { isolate, wait }, vm, process, pid, request: () }, request);
        }
    }

    /// Forgets what the process in a slot waits for.
    pub(super) fn forget_waiting(&mut self, slot: u32) {
        self.subscribers.forget_slot(slot);
        if let Some(state) = &mut self.state {
            let Context { mail, replies, .. } = state.context();
            if !mail.is_empty() {
                mail.remove(&ProcessIndex(slot));
            }
            replies.forget(ProcessIndex(slot));
        }
        if !self.waiting.pending.is_empty() {
            self.waiting.pending.remove(&slot);
        }
    }
}
