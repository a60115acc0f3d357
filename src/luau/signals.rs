//! Signals of the game that processes have not received, and which they have asked for.

#[cfg(feature = "save")]
pub(crate) mod saved;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bevy::platform::collections::HashMap;
use smallvec::SmallVec;

use super::threads::{MAIN, TaskId};
use crate::types::{Limits, ProcessIndex};
use crate::value::Value;

/// Names that are remembered of those a process has waited for, the last ones.
const MAX_ASKED: usize = 64;

/// Signals that are kept for a process that has not asked for them. There may be many that never will.
const MAX_EARLY: usize = 64;

/// One signal, for all that it is sent to.
#[derive(Debug, PartialEq)]
pub(crate) struct Signal {
    pub(crate) name: Box<[u8]>,
    pub(crate) payload: Value,
}

/// A signal that a process has asked for.
#[derive(Debug)]
struct Kept {
    signal: Arc<Signal>,
    /// The last connection that was called with it.
    called: TaskId,
}

/// The signals of one process.
///
/// A signal is kept for a process that has asked for its name, or may still do so, until it takes it. When there is no
/// room for more, the oldest is dropped and counted. So a name of which the process wants no more signals is in
/// nobody's way.
#[derive(Debug, Default)]
pub(crate) struct ProcessSignals {
    /// Of names that it has asked for, oldest first.
    kept: VecDeque<Kept>,
    /// Of others.
    early: VecDeque<Arc<Signal>>,
    bytes: usize,
    /// Names that it has waited for, the last one at the end.
    asked: VecDeque<Box<[u8]>>,
    /// Connections, in the order in which they were made, by name.
    connections: BTreeMap<Box<[u8]>, SmallVec<[TaskId; 1]>>,
    dropped: u64,
}

impl ProcessSignals {
    fn has_asked_for(&self, name: &[u8]) -> bool {
        self.is_connected(name) || self.asked.iter().any(|asked| **asked == *name)
    }

    /// Whether it has functions called for signals of a name.
    pub(crate) fn is_connected(&self, name: &[u8]) -> bool {
        self.connections.contains_key(name)
    }

    /// Keeps a signal, if it has asked for it, or `may_ask`. Returns how many were dropped for that.
    pub(crate) fn keep(&mut self, signal: &Arc<Signal>, limits: &Limits, may_ask: bool) -> u64 {
        let has_asked = self.has_asked_for(&signal.name);
        if !has_asked && !may_ask {
            return 0;
        }
        let signal = signal.clone();
        self.bytes += signal.payload.size();
        match has_asked {
            true => self.kept.push_back(Kept { signal, called: MAIN }),
            false => self.early.push_back(signal),
        }
        let dropped = self.dropped;
        let is_full =
            |it: &Self| it.early.len() + it.kept.len() > limits.signals || it.bytes > limits.mailbox_bytes;
        while self.early.len() > MAX_EARLY || is_full(self) {
            let Some(oldest) = self.early.pop_front().or_else(|| Some(self.kept.pop_front()?.signal)) else {
                break;
            };
            self.bytes -= oldest.payload.size();
            self.dropped += 1;
        }
        self.dropped - dropped
    }

    /// Takes the oldest signal with a name for a task that asks for it. While functions are connected to that, what is
    /// kept is for them.
    pub(super) fn take(&mut self, name: &[u8]) -> Option<Arc<Signal>> {
        if self.is_connected(name) {
            return None;
        }
        self.asks_for(name);
        let position = self.kept.iter().position(|kept| *kept.signal.name == *name)?;
        self.remove(position)
    }

    fn remove(&mut self, position: usize) -> Option<Arc<Signal>> {
        let Kept { signal, .. } = self.kept.remove(position)?;
        self.bytes -= signal.payload.size();
        Some(signal)
    }

    fn asks_for(&mut self, name: &[u8]) {
        match self.asked.iter().position(|asked| **asked == *name) {
            Some(position) => {
                let last = self.asked.remove(position);
                self.asked.extend(last);
            }
            None => {
                self.bring_forward(name);
                self.asked.push_back(name.into());
                if self.asked.len() > MAX_ASKED {
                    self.asked.pop_front();
                }
            }
        }
    }

    /// It asks for a name: what came early has come in time.
    fn bring_forward(&mut self, name: &[u8]) {
        let kept = &mut self.kept;
        self.early.retain(|signal| {
            let is_early = *signal.name != *name;
            if !is_early {
                kept.push_back(Kept { signal: signal.clone(), called: MAIN });
            }
            is_early
        });
    }

    /// A function is to be called for each signal of a name. Whether there are some already.
    pub(super) fn connect(&mut self, name: &[u8], connection: TaskId) -> bool {
        self.bring_forward(name);
        self.connections.entry(name.into()).or_default().push(connection);
        self.kept.iter().any(|kept| *kept.signal.name == *name)
    }

    /// That ends. What only it has not been called with, nobody wants.
    pub(super) fn disconnect(&mut self, connection: TaskId) {
        let of = self.connections.iter_mut().find(|(_, connections)| connections.contains(&connection));
        let Some((name, connections)) = of else { return };
        connections.retain(|&mut other| other != connection);
        if connections.is_empty() {
            let name = name.clone();
            self.connections.remove(&name);
            let bytes = &mut self.bytes;
            self.kept.retain(|kept| {
                let is_kept = kept.signal.name != name;
                if !is_kept {
                    *bytes -= kept.signal.payload.size();
                }
                is_kept
            });
        }
    }

    /// The first call that is due of a connected function, of those for signals `from` that position on.
    pub(crate) fn next_call(&self, from: usize) -> Option<DueCall> {
        self.kept.iter().enumerate().skip(from).find_map(|(position, kept)| {
            let connections = self.connections.get(&kept.signal.name)?;
            let connection = *connections.iter().find(|&&connection| connection > kept.called)?;
            Some(DueCall { position, connection, signal: kept.signal.clone() })
        })
    }

    /// It was called. Returns from where on the next one is.
    pub(crate) fn called(&mut self, call: &DueCall) -> usize {
        let Some(kept) = self.kept.get_mut(call.position) else { return 0 };
        kept.called = call.connection;
        let connections = self.connections.get(&kept.signal.name);
        let has_more =
            connections.is_some_and(|connections| connections.iter().any(|&it| it > call.connection));
        if !has_more {
            self.remove(call.position);
        }
        call.position
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept.len() + self.early.len()
    }

    /// How many there was no room for.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether something would be lost with it.
    #[cfg(feature = "save")]
    pub(crate) fn is_used(&self) -> bool {
        !self.is_unused()
    }

    /// Whether nothing would be lost with it.
    fn is_unused(&self) -> bool {
        self.len() == 0 && self.dropped == 0 && self.asked.is_empty() && self.connections.is_empty()
    }
}

/// A call of a connected function.
pub(crate) struct DueCall {
    position: usize,
    pub(crate) connection: TaskId,
    pub(crate) signal: Arc<Signal>,
}

/// The signals of all processes of an isolate.
#[derive(Debug, Default)]
pub(crate) struct Signals(HashMap<ProcessIndex, ProcessSignals>);

impl Signals {
    pub(crate) fn of(&self, process: ProcessIndex) -> Option<&ProcessSignals> {
        self.0.get(&process)
    }

    pub(crate) fn of_mut(&mut self, process: ProcessIndex) -> Option<&mut ProcessSignals> {
        self.0.get_mut(&process)
    }

    /// The same, made if there is none.
    pub(crate) fn entry(&mut self, process: ProcessIndex) -> &mut ProcessSignals {
        self.0.entry(process).or_default()
    }

    /// What was sent to a process before it was admitted.
    pub(crate) fn insert(&mut self, process: ProcessIndex, signals: ProcessSignals) {
        if !signals.is_unused() {
            self.0.insert(process, signals);
        }
    }

    /// The process has ended, or starts again.
    pub(crate) fn forget(&mut self, process: ProcessIndex) {
        if !self.0.is_empty() {
            self.0.remove(&process);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(name: &str, payload: f64) -> Arc<Signal> {
        Arc::new(Signal { name: name.as_bytes().into(), payload: payload.into() })
    }

    fn payloads(signals: &mut ProcessSignals, name: &str) -> Vec<f64> {
        std::iter::from_fn(|| signals.take(name.as_bytes())?.payload.as_f64()).collect()
    }

    #[test]
    fn what_a_process_may_still_ask_for_is_kept_and_comes_in_order() {
        let (mut signals, limits) = (ProcessSignals::default(), Limits::default());
        for number in [1.0, 2.0] {
            signals.keep(&signal("hit", number), &limits, true);
            signals.keep(&signal("other", number), &limits, false);
        }
        assert_eq!(payloads(&mut signals, "hit"), [1.0, 2.0]);
        signals.keep(&signal("hit", 3.0), &limits, false);
        assert_eq!((payloads(&mut signals, "hit"), payloads(&mut signals, "other")), (vec![3.0], vec![]));
        assert_eq!((signals.len(), signals.bytes, signals.dropped()), (0, 0, 0));
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let mut signals = ProcessSignals::default();
        let limits = Limits { signals: 3, ..Limits::default() };
        payloads(&mut signals, "hit");
        let dropped =
            (0..5).map(|number| signals.keep(&signal("hit", number.into()), &limits, false)).sum::<u64>();
        assert_eq!((dropped, signals.dropped()), (2, 2));
        assert_eq!(payloads(&mut signals, "hit"), [2.0, 3.0, 4.0]);
        let limits = Limits { mailbox_bytes: signal("", 1.0).payload.size(), ..limits };
        signals.keep(&signal("hit", 5.0), &limits, false);
        assert_eq!(signals.keep(&signal("hit", 6.0), &limits, false), 1);
        assert_eq!((payloads(&mut signals, "hit"), signals.bytes), (vec![6.0], 0));
    }

    #[test]
    fn few_are_kept_that_nobody_asked_for() {
        let (mut signals, limits) = (ProcessSignals::default(), Limits::default());
        for number in 0..100 {
            signals.keep(&signal("hit", number.into()), &limits, true);
        }
        assert_eq!((signals.len(), signals.dropped()), (MAX_EARLY, 100 - MAX_EARLY as u64));
        (0..200).for_each(|i| _ = payloads(&mut signals, &i.to_string()));
        assert_eq!(signals.asked.len(), MAX_ASKED);
    }

    #[test]
    fn each_connection_is_called_once_with_each_signal() {
        let (mut signals, limits) = (ProcessSignals::default(), Limits::default());
        signals.keep(&signal("hit", 1.0), &limits, true);
        assert!(signals.connect(b"hit", 4) && !signals.connect(b"other", 5));
        signals.connect(b"hit", 6);
        signals.keep(&signal("hit", 2.0), &limits, false);
        assert!(signals.take(b"hit").is_none(), "it is for the connections");
        let mut calls = Vec::new();
        let mut from = 0;
        while let Some(call) = signals.next_call(from) {
            from = signals.called(&call);
            calls.push((call.connection, call.signal.payload.as_f64().unwrap_or_default()));
        }
        assert_eq!(calls, [(4, 1.0), (6, 1.0), (4, 2.0), (6, 2.0)]);
        signals.keep(&signal("hit", 3.0), &limits, false);
        [4, 6].into_iter().for_each(|connection| signals.disconnect(connection));
        assert_eq!((signals.len(), signals.bytes, signals.is_connected(b"hit")), (0, 0, false));
    }
}
