//! What reaches the tasks of an isolate from outside: messages, signals, the ends of processes.

use std::collections::{BTreeMap, VecDeque};

use bevy::platform::collections::{HashMap, HashSet};
use smallvec::smallvec;

use super::sweep::SweepAt;
use super::waiting::{WaitId, Waiting};
use super::{Isolate, SlotId};
use crate::luau::Request;
use crate::types::Outcome;
use crate::types::ProcessIndex;
use crate::types::ProcessState;
use crate::value::Value;
use crate::value::Values;

/// Ends of processes that scripts started that are kept for a later `process.join`, for each VM.
const KEPT_ENDS: usize = 64;

/// Bytes of the results in them; older ones are forgotten.
const KEPT_ENDS_BYTES: usize = 256 * 1024;

/// Who gets messages, signals and ends.
#[derive(Default)]
pub(super) struct Subscribers {
    /// Tasks that wait for a message, by slot, in the order in which they began.
    receivers: HashMap<u32, VecDeque<WaitId>>,
    /// By place and name of the signal.
    listeners: BTreeMap<u32, BTreeMap<Box<[u8]>, Vec<Listener>>>,
    /// By place and PID.
    watchers: HashMap<(u32, u32), Vec<Watcher>>,
    /// Processes that scripts started.
    children: HashSet<(u32, u32)>,
    /// How they ended, by place, with their PIDs.
    ends: HashMap<u32, VecDeque<(u32, Values)>>,
    /// Receivers, listeners and watchers, at most.
    entries: usize,
    sweep_at: SweepAt,
}

#[derive(Clone, Copy, Debug)]
enum Listener {
    Once(WaitId),
    /// The task is the connection.
    Connection(WaitId),
}

#[derive(Clone, Copy, Debug)]
enum Watcher {
    Join(WaitId),
    Monitor(SlotId),
}

impl Subscribers {
    /// A wait begins, or a connection does or ends, of a process in `place`.
    pub(super) fn begin(&mut self, place: u32, wait: WaitId, request: &mut Request) {
        let mut listen = |name: &mut Box<[u8]>, listener| {
            let names = self.listeners.entry(place).or_default();
            names.entry(std::mem::take(name)).or_default().push(listener);
        };
        match request {
            Request::Receive { .. } => self.receivers.entry(wait.slot().slot).or_default().push_back(wait),
            Request::Signal { name, .. } => listen(name, Listener::Once(wait)),
            Request::Connect { name } => listen(name, Listener::Connection(wait)),
            _ => return,
        }
        self.entries += 1;
    }

    fn watch(&mut self, place: u32, pid: u32, watcher: Watcher) {
        self.watchers.entry((place, pid)).or_default().push(watcher);
        self.entries += 1;
    }

    /// Receivers, listeners and watchers, those that are over included.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        let listeners = self.listeners.values().flat_map(|names| names.values()).map(Vec::len);
        let watchers = self.watchers.values().map(Vec::len);
        self.receivers.values().map(VecDeque::len).chain(listeners).chain(watchers).sum()
    }

    /// Throws out those whose waits, connections or processes are over.
    pub(super) fn sweep(
        &mut self,
        is_pending: impl Fn(WaitId) -> bool,
        is_connected: impl Fn(WaitId) -> bool,
        is_alive: impl Fn(SlotId) -> bool,
    ) {
        if !self.sweep_at.is_due(self.entries) {
            return;
        }
        self.entries = 0;
        let mut kept = |count: usize| {
            self.entries += count;
            count > 0
        };
        self.receivers.retain(|_, waits| {
            waits.retain(|&wait| is_pending(wait));
            kept(waits.len())
        });
        self.listeners.retain(|_, names| {
            names.retain(|_, listeners| {
                listeners.retain(|listener| match *listener {
                    Listener::Once(wait) => is_pending(wait),
                    Listener::Connection(wait) => is_connected(wait),
                });
                kept(listeners.len())
            });
            !names.is_empty()
        });
        self.watchers.retain(|_, watchers| {
            watchers.retain(|watcher| match *watcher {
                Watcher::Join(wait) => is_pending(wait),
                Watcher::Monitor(id) => is_alive(id),
            });
            kept(watchers.len())
        });
        self.sweep_at.swept(self.entries);
    }

    /// The process in a slot has ended.
    pub(super) fn forget_slot(&mut self, slot: u32) {
        if !self.receivers.is_empty() {
            self.receivers.remove(&slot);
        }
    }

    /// The VM in a place has gone.
    pub(super) fn forget_place(&mut self, place: u32) {
        if !self.ends.is_empty() {
            self.ends.remove(&place);
        }
    }
}

impl Isolate {
    /// Hands a message to a process: to a task that waits for one, or its mailbox.
    pub(crate) fn post(&mut self, id: SlotId, value: Value, sender: Value) -> Result<(), &'static str> {
        let Some(slot) = self.slots.live(id) else { return Err("no such process") };
        let place = slot.place;
        if let Some(wait) = self.next_receiver(id.slot) {
            self.reply(wait, Ok(smallvec![value, sender]));
            return Ok(());
        }
        let limits = &self.accounts[place as usize].limits;
        let (messages, bytes) = (limits.mailbox_messages, limits.mailbox_bytes);
        let Some(state) = &mut self.state else { return Err("it has not started") };
        state.context().mail.entry(ProcessIndex(id.slot)).or_default().push((value, sender), messages, bytes)
    }

    /// Messages that a process has not received.
    pub(crate) fn mailbox_len(&mut self, id: SlotId) -> usize {
        let state = self.state.as_mut();
        state.and_then(|state| Some(state.context().mail.get(&ProcessIndex(id.slot))?.len())).unwrap_or(0)
    }

    /// Whether some process may want signals.
    pub(crate) fn has_listeners(&self) -> bool {
        !self.subscribers.listeners.is_empty()
    }

    /// Hands a signal to the processes of the VM in `place`, or of all VMs.
    pub(crate) fn signal(&mut self, place: Option<u32>, name: &[u8], payload: &Value) {
        let places = match place {
            Some(place) => vec![place],
            None => self.subscribers.listeners.keys().copied().collect(),
        };
        for place in places {
            let listeners = self.subscribers.listeners.get_mut(&place);
            let Some(listeners) = listeners.and_then(|names| names.get_mut(name)) else { continue };
            let now = listeners.clone();
            listeners.retain(|listener| matches!(listener, Listener::Connection(_)));
            for listener in now {
                match listener {
                    Listener::Once(wait) => self.reply(wait, Ok(smallvec![payload.clone(), true.into()])),
                    Listener::Connection(wait) => self.call_connection(place, wait, payload),
                }
            }
        }
    }

    fn call_connection(&mut self, place: u32, connection: WaitId, payload: &Value) {
        let id = connection.slot();
        let limit = self.accounts[place as usize].limits.tasks;
        let Some(slot) = self.slots.live(id) else { return };
        let category = slot.category;
        let Some(state) = &mut self.state else { return };
        let thread = ProcessIndex(id.slot);
        if state.call_connection(thread, category, connection.task, payload, limit) {
            self.make_runnable(id);
        }
    }

    /// A task waits for the end of a process, unless that is over.
    pub(crate) fn join(&mut self, place: u32, pid: u32, wait: WaitId) {
        self.subscribers.watch(place, pid, Watcher::Join(wait));
    }

    /// How a process that a script started ended, if it has and that is still known.
    pub(crate) fn retained_exit(&self, place: u32, pid: u32) -> Option<Values> {
        let ends = self.subscribers.ends.get(&place)?;
        ends.iter().find(|end| end.0 == pid).map(|end| end.1.clone())
    }

    /// A process wants to be told of the end of another. Once is enough. Room for that is reserved in its mailbox.
    pub(crate) fn monitor(&mut self, place: u32, pid: u32, id: SlotId) -> Result<(), &'static str> {
        let is_it = |watcher: &Watcher| matches!(watcher, Watcher::Monitor(it) if *it == id);
        let watchers = self.subscribers.watchers.get(&(place, pid));
        if watchers.is_some_and(|watchers| watchers.iter().any(is_it)) {
            return Ok(());
        }
        let limit = self.accounts[place as usize].limits.mailbox_messages;
        let Some(state) = &mut self.state else { return Err("it has not started") };
        state.context().mail.entry(ProcessIndex(id.slot)).or_default().reserve(limit)?;
        self.subscribers.watch(place, pid, Watcher::Monitor(id));
        Ok(())
    }

    /// Tells a process that monitors another how that ended.
    fn post_end(&mut self, id: SlotId, pid: u32, end: &Values) {
        let Some(slot) = self.slots.live(id) else { return };
        let limit = self.accounts[slot.place as usize].limits.mailbox_bytes;
        let Some(wait) = self.next_receiver(id.slot) else {
            let Some(state) = &mut self.state else { return };
            let mailbox = state.context().mail.entry(ProcessIndex(id.slot)).or_default();
            mailbox.push_reserved(end_message(pid, end, true), || end_message(pid, end, false), limit);
            return;
        };
        if let Some(mailbox) =
            self.state.as_mut().and_then(|state| state.context().mail.get_mut(&ProcessIndex(id.slot)))
        {
            mailbox.release();
        }
        let (value, sender) = end_message(pid, end, true);
        self.reply(wait, Ok(smallvec![value, sender]));
    }

    /// The task of a process that has waited longest for a message.
    fn next_receiver(&mut self, slot: u32) -> Option<WaitId> {
        let receivers = self.subscribers.receivers.get_mut(&slot)?;
        while let Some(wait) = receivers.pop_front() {
            if self.waiting.is_pending(wait) {
                return Some(wait);
            }
        }
        None
    }

    /// A process was started by a script: its end is kept for a while.
    pub(crate) fn retain_exit(&mut self, place: u32, pid: u32) {
        self.subscribers.children.insert((place, pid));
    }

    /// Tells everybody who asked how a process ended.
    pub(super) fn announce_end(&mut self, place: u32, pid: u32, outcome: &Outcome) {
        let Subscribers { watchers, children, ends, .. } = &mut self.subscribers;
        if watchers.is_empty() && children.is_empty() {
            return;
        }
        let watchers = watchers.remove(&(place, pid));
        let is_child = children.remove(&(place, pid));
        if watchers.is_none() && !is_child {
            return;
        }
        let end = describe(outcome);
        if is_child && !self.places[place as usize].vm_is_gone {
            let ends = ends.entry(place).or_default();
            ends.push_front((pid, end.clone()));
            let mut bytes = 0;
            let fits = |(_, end): &&(u32, Values)| {
                bytes += end.iter().map(Value::size).sum::<usize>();
                bytes <= KEPT_ENDS_BYTES
            };
            let kept = ends.iter().take(KEPT_ENDS).take_while(fits).count();
            ends.truncate(kept);
        }
        for watcher in watchers.into_iter().flatten() {
            match watcher {
                Watcher::Join(wait) => self.reply(wait, Ok(end.clone())),
                Watcher::Monitor(id) => self.post_end(id, pid, &end),
            }
        }
    }

    /// A process that waits, if it did, has something to do.
    pub(super) fn make_runnable(&mut self, id: SlotId) {
        let slot = &mut self.slots[id.slot];
        if slot.state == ProcessState::Waiting {
            if slot.is_suspended {
                slot.state = ProcessState::Suspended;
            } else {
                slot.state = ProcessState::Runnable;
                self.queue.push(id);
            }
        }
    }

    /// Takes a process's turns away until [`Isolate::resume`].
    pub(crate) fn suspend(&mut self, id: SlotId) {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.is_suspended = true;
        }
    }

    /// The opposite of [`Isolate::suspend`].
    pub(crate) fn resume(&mut self, id: SlotId) {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.is_suspended = false;
            if slot.state == ProcessState::Suspended {
                slot.state = ProcessState::Runnable;
                self.queue.push(id);
            }
        }
    }

    /// Sets the factor on a process's quantum, in sixteenths.
    pub(crate) fn set_priority(&mut self, id: SlotId, sixteenths: u8) {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.priority = sixteenths;
        }
    }
}

/// How a process ended, for scripts: "finished" and its results, "failed" and the message, or "killed" and
/// the reason.
fn describe(outcome: &Outcome) -> Values {
    match outcome {
        Outcome::Finished(results) => {
            std::iter::once("finished".into()).chain(results.iter().cloned()).collect()
        }
        Outcome::Failed(error) => {
            smallvec!["failed".into(), (&*error.message).into(), (&*error.traceback).into()]
        }
        Outcome::Killed(reason) => smallvec!["killed".into(), (&*reason.to_string()).into()],
    }
}

/// What a process gets that monitors another, and from whom. Details are the results or the message.
fn end_message(pid: u32, end: &Values, with_details: bool) -> (Value, Value) {
    let pid: Value = f64::from(pid).into();
    let mut entries = vec![("pid".into(), pid.clone())];
    let mut end = end.iter().cloned();
    entries.extend(end.next().map(|outcome| ("outcome".into(), outcome)));
    if with_details {
        let details = (1..).map(|i| f64::from(i).into()).zip(end).collect();
        entries.push(("details".into(), Value::Table(details)));
    }
    (Value::Table(entries), pid)
}

impl Waiting {
    /// The time that a request sets itself.
    pub(super) fn timeout_of(request: &Request) -> Option<std::time::Duration> {
        match request {
            Request::Receive { timeout } | Request::Signal { timeout, .. } => *timeout,
            _ => None,
        }
    }
}
