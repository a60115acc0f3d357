//! Who wants messages, signals and the ends of processes.

use std::collections::{BTreeMap, VecDeque};

use bevy::platform::collections::HashMap;

use crate::isolate::keys::{ProcessKey, WaitId};
use crate::isolate::sweep::SweepAt;
use crate::types::{ProcessIndex, VmIndex};

/// See the [module](self).
#[derive(Default)]
pub(in crate::isolate) struct Subscribers {
    /// Tasks that wait for a message, by process, in the order in which they began.
    receivers: HashMap<ProcessIndex, VecDeque<WaitId>>,
    /// Tasks that wait for a signal, by process and name.
    listeners: HashMap<ProcessIndex, BTreeMap<Box<[u8]>, Vec<WaitId>>>,
    /// By VM and PID.
    watchers: HashMap<(VmIndex, u32), Vec<Watcher>>,
    /// Receivers, listeners and watchers, at most.
    entries: usize,
    sweep_at: SweepAt,
}

/// Who wants the end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::isolate) enum Watcher {
    Join(WaitId),
    Monitor(ProcessKey),
}

impl Subscribers {
    pub(super) fn receive(&mut self, wait: WaitId) {
        self.receivers.entry(wait.process.index).or_default().push_back(wait);
        self.entries += 1;
    }

    pub(super) fn listen(&mut self, wait: WaitId, name: Box<[u8]>) {
        let names = self.listeners.entry(wait.process.index).or_default();
        names.entry(name).or_default().push(wait);
        self.entries += 1;
    }

    /// A process that another one monitors counts once for each.
    pub(in crate::isolate) fn watch(&mut self, vm: VmIndex, pid: u32, watcher: Watcher) {
        self.watchers.entry((vm, pid)).or_default().push(watcher);
        self.entries += 1;
    }

    pub(in crate::isolate) fn is_watching(&self, vm: VmIndex, pid: u32, watcher: Watcher) -> bool {
        self.watchers.get(&(vm, pid)).is_some_and(|watchers| watchers.contains(&watcher))
    }

    /// The wait of a process that has waited longest for a message. It may be over.
    pub(super) fn pop_receiver(&mut self, process: ProcessIndex) -> Option<WaitId> {
        self.receivers.get_mut(&process)?.pop_front()
    }

    /// Takes the waits of a process for a signal. They may be over.
    pub(in crate::isolate) fn take_listeners(&mut self, process: ProcessIndex, name: &[u8]) -> Vec<WaitId> {
        let waits = self.listeners.get_mut(&process).and_then(|names| names.remove(name));
        waits.unwrap_or_default()
    }

    /// Takes who wants to know of the end of a process.
    pub(in crate::isolate) fn take_watchers(&mut self, vm: VmIndex, pid: u32) -> Vec<Watcher> {
        if self.watchers.is_empty() {
            return Vec::new();
        }
        self.watchers.remove(&(vm, pid)).unwrap_or_default()
    }

    /// Tasks that wait for messages. Their waits may be over.
    #[cfg(feature = "save")]
    pub(super) fn receivers(&self) -> impl Iterator<Item = WaitId> {
        self.receivers.values().flatten().copied()
    }

    /// Tasks that wait for signals, with their names. Their waits may be over.
    #[cfg(feature = "save")]
    pub(super) fn listeners(&self) -> impl Iterator<Item = (WaitId, &[u8])> {
        let names = self.listeners.values().flatten();
        names.flat_map(|(name, waits)| waits.iter().map(|&wait| (wait, &**name)))
    }

    /// Who wants to know of the ends of processes, with their PIDs.
    #[cfg(feature = "save")]
    pub(super) fn watchers(&self) -> impl Iterator<Item = (u32, Watcher)> {
        let watched = self.watchers.iter();
        watched.flat_map(|(&(_, pid), watchers)| watchers.iter().map(move |&watcher| (pid, watcher)))
    }

    /// A process has ended, or starts again.
    pub(super) fn forget(&mut self, process: ProcessIndex) {
        if !self.receivers.is_empty() {
            self.receivers.remove(&process);
        }
        if !self.listeners.is_empty() {
            self.listeners.remove(&process);
        }
    }

    /// Throws out entries whose waits, connections or processes are over.
    pub(super) fn sweep(
        &mut self,
        is_pending: impl Fn(WaitId) -> bool,
        is_live: impl Fn(ProcessKey) -> bool,
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
            names.retain(|_, waits| {
                waits.retain(|&wait| is_pending(wait));
                kept(waits.len())
            });
            !names.is_empty()
        });
        self.watchers.retain(|_, watchers| {
            watchers.retain(|watcher| match *watcher {
                Watcher::Join(wait) => is_pending(wait),
                Watcher::Monitor(process) => is_live(process),
            });
            kept(watchers.len())
        });
        self.sweep_at.swept(self.entries);
    }

    /// Receivers, listeners and watchers, void ones included.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        let listeners = self.listeners.values().flat_map(|names| names.values()).map(Vec::len);
        let watchers = self.watchers.values().map(Vec::len);
        self.receivers.values().map(VecDeque::len).chain(listeners).chain(watchers).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: VmIndex = VmIndex(1);

    fn process(index: u32) -> ProcessKey {
        ProcessKey { index: ProcessIndex(index), generation: 0 }
    }

    fn wait(number: u64) -> WaitId {
        WaitId { number, process: process(3), task: 0 }
    }

    #[test]
    fn whoever_waits_for_a_signal_gets_one() {
        let mut subscribers = Subscribers::default();
        [1, 2].into_iter().for_each(|number| subscribers.listen(wait(number), (*b"door").into()));
        subscribers.listen(wait(3), (*b"alarm").into());
        let index = process(3).index;
        assert_eq!(subscribers.take_listeners(index, b"door"), [wait(1), wait(2)]);
        assert_eq!(subscribers.take_listeners(index, b"door"), []);
        assert_eq!(subscribers.take_listeners(process(2).index, b"alarm"), []);
        subscribers.forget(index);
        assert_eq!(subscribers.take_listeners(index, b"alarm"), []);
    }

    #[test]
    fn messages_go_to_those_who_waited_longest() {
        let mut subscribers = Subscribers::default();
        (1..=3).for_each(|number| subscribers.receive(wait(number)));
        let index = process(3).index;
        assert_eq!([1, 2].map(|_| subscribers.pop_receiver(index)), [Some(wait(1)), Some(wait(2))]);
        subscribers.forget(index);
        assert_eq!(subscribers.pop_receiver(index), None);
    }

    #[test]
    fn the_end_of_a_process_is_told_once_to_each() {
        let mut subscribers = Subscribers::default();
        let watchers = [Watcher::Join(wait(1)), Watcher::Monitor(process(5))];
        watchers.iter().for_each(|&watcher| subscribers.watch(VM, 7, watcher));
        assert!(subscribers.is_watching(VM, 7, watchers[1]) && !subscribers.is_watching(VM, 8, watchers[1]));
        assert_eq!(subscribers.take_watchers(VM, 7), watchers);
        assert_eq!(subscribers.take_watchers(VM, 7), []);
    }

    #[test]
    fn a_sweep_leaves_what_is_not_over() {
        let mut subscribers = Subscribers::default();
        for number in 0..100 {
            subscribers.receive(wait(number));
            subscribers.listen(wait(number), (*b"once").into());
            subscribers.watch(VM, 1, Watcher::Join(wait(number)));
            subscribers.watch(VM, 2, Watcher::Monitor(process(number as u32)));
        }
        subscribers.sweep(|wait| wait.number < 10, |process| process.index.0 < 5);
        assert_eq!(subscribers.entries(), 10 + 10 + 10 + 5);
        assert_eq!((subscribers.entries, subscribers.take_watchers(VM, 2).len()), (35, 5));
    }
}
