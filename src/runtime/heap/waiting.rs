//! Processes that wait: for a time, or for the answer to a syscall. They are in no queue.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use bevy::platform::collections::HashMap;

use super::{Heap, SlotId};
use crate::process::{Pid, ProcessState};
use crate::runtime::luau::{Reply, Request};
use crate::syscall::RawCall;
use crate::value::Value;

/// Processes woken between two looks at the clock.
const WAKES_PER_CLOCK_LOOK: usize = 64;

/// When a process is to be woken. Those with the same time are woken in the order in which they began
/// to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    due: Duration,
    number: u64,
    slept_at: Duration,
    slot: u32,
    generation: u32,
}

/// A syscall that has not been answered.
#[derive(Clone, Copy, Debug)]
struct PendingCall {
    deadline: Duration,
    id: SlotId,
    number: u64,
}

/// A syscall that has not reached its system.
struct NewCall {
    id: SlotId,
    number: u64,
    function: usize,
    args: Box<dyn Any + Send + Sync>,
}

/// What the waiting processes of a heap wait for.
#[derive(Default)]
pub(super) struct Waiting {
    timers: BinaryHeap<Reverse<Timer>>,
    new_calls: Vec<NewCall>,
    /// By slot: the number of the call that its process waits for.
    calls: HashMap<u32, u64>,
    /// All calls, answered ones included, in the order of their deadlines: each has the same time.
    deadlines: VecDeque<PendingCall>,
    /// What processes that were woken get, by slot.
    replies: HashMap<u32, Reply>,
    /// Timers and calls so far.
    count: u64,
}

impl Waiting {
    /// What a process that was woken gets. To be asked for only if there is something.
    pub(super) fn take_reply(&mut self, slot: u32) -> Option<Reply> {
        self.replies.remove(&slot)
    }

    /// A process waits from now on.
    pub(super) fn begin(&mut self, id: SlotId, request: Request, now: Duration, timeout: Duration) {
        self.count += 1;
        match request {
            Request::Sleep(time) => self.timers.push(Reverse(Timer {
                due: now + time,
                number: self.count,
                slept_at: now,
                slot: id.slot,
                generation: id.generation,
            })),
            Request::Syscall { function, args } => {
                self.calls.insert(id.slot, self.count);
                self.deadlines.push_back(PendingCall { deadline: now + timeout, id, number: self.count });
                self.new_calls.push(NewCall { id, number: self.count, function, args });
            }
        }
    }

    /// Whether the process in a slot still waits for this call.
    fn is_pending(&self, slot: u32, number: u64) -> bool {
        self.calls.get(&slot) == Some(&number)
    }

    fn next_due(&self) -> Option<Duration> {
        let timer = self.timers.peek().map(|timer| timer.0.due);
        let call = self.deadlines.front().map(|call| call.deadline);
        timer.into_iter().chain(call).min()
    }
}

impl Heap {
    /// Whether some process is to be woken by `now`.
    pub(crate) fn has_due(&self, now: Duration) -> bool {
        self.waiting.next_due().is_some_and(|due| due <= now)
    }

    /// Wakes the processes whose time has come, until `deadline`.
    pub(crate) fn wake(&mut self, now: Duration, deadline: Option<Instant>) {
        for woken in 1.. {
            if let Some(Reverse(timer)) =
                self.waiting.timers.peek().copied().filter(|timer| timer.0.due <= now)
            {
                self.waiting.timers.pop();
                let id = SlotId { slot: timer.slot, generation: timer.generation };
                let waited = now.saturating_sub(timer.slept_at).as_secs_f64();
                self.resume_waiting(id, Ok(Value::Number(waited)));
            } else if let Some(call) =
                self.waiting.deadlines.front().copied().filter(|call| call.deadline <= now)
            {
                self.waiting.deadlines.pop_front();
                if self.waiting.is_pending(call.id.slot, call.number) {
                    self.waiting.calls.remove(&call.id.slot);
                    let message = "the game did not answer in time".to_owned();
                    self.resume_waiting(call.id, Err(message));
                }
            } else {
                break;
            }
            let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if woken % WAKES_PER_CLOCK_LOOK == 0 && is_over() {
                break;
            }
        }
    }

    /// Answers a syscall, unless its process has ended or waits no longer.
    pub(crate) fn answer(&mut self, id: SlotId, number: u64, reply: Reply) {
        if self.waiting.is_pending(id.slot, number) {
            self.waiting.calls.remove(&id.slot);
            self.resume_waiting(id, reply);
        }
        let Waiting { deadlines, calls, .. } = &mut self.waiting;
        while deadlines.front().is_some_and(|call| calls.get(&call.id.slot) != Some(&call.number)) {
            deadlines.pop_front();
        }
    }

    fn resume_waiting(&mut self, id: SlotId, reply: Reply) {
        let slot = &mut self.slots[id.slot as usize];
        if slot.generation == id.generation && slot.state == ProcessState::Waiting {
            slot.state = ProcessState::Runnable;
            slot.has_reply = true;
            self.waiting.replies.insert(id.slot, reply);
            self.queue.push(id);
        }
    }

    /// Takes the syscalls made since the last call, with the numbers of their functions.
    pub(crate) fn take_calls(&mut self, heap: u32, mut each: impl FnMut(usize, RawCall)) {
        for call in std::mem::take(&mut self.waiting.new_calls) {
            let slot = &self.slots[call.id.slot as usize];
            if slot.generation != call.id.generation {
                continue; // despawned in the meantime
            }
            let vm = self.places[slot.place as usize].vm;
            let pid = Pid(slot.pid.try_into().expect("PIDs start at 1"));
            let id = crate::runtime::CallId { heap, slot: call.id, number: call.number };
            each(call.function, RawCall { call: id, vm, process: slot.process, pid, args: call.args });
        }
    }

    /// Forgets what the process in a slot waits for.
    pub(super) fn forget_waiting(&mut self, slot: u32) {
        if std::mem::take(&mut self.slots[slot as usize].has_reply) {
            self.waiting.replies.remove(&slot);
        }
        if !self.waiting.calls.is_empty() {
            self.waiting.calls.remove(&slot);
        }
    }
}
