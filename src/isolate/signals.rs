//! Signals of the game reach the processes of an isolate.

use std::sync::Arc;

use smallvec::smallvec;

use super::Isolate;
use super::keys::ProcessKey;
use crate::luau::Handler;
use crate::luau::signals::{Signal, Signals};
use crate::types::ProcessState;

impl Isolate {
    /// Hands a signal to a process: to the tasks that wait for it and the functions that are connected to it. Otherwise
    /// it is kept, if the process has asked for its name before, or is busy and may do so. Returns how many signals
    /// there was no room for.
    pub(crate) fn signal(&mut self, process: ProcessKey, signal: &Arc<Signal>) -> u64 {
        let may_ask = self.processes.get(process).is_some_and(|record| record.state != ProcessState::Waiting);
        self.signal_to(process, signal, may_ask)
    }

    /// Hands a signal to all processes. It is kept only for those that have asked for its name before: one that is busy
    /// for ever must not hold what everybody is told.
    pub(crate) fn broadcast(&mut self, signal: &Arc<Signal>) -> u64 {
        let live: Vec<ProcessKey> = self.processes.live_processes().collect();
        live.into_iter().map(|process| self.signal_to(process, signal, false)).sum()
    }

    fn signal_to(&mut self, process: ProcessKey, signal: &Arc<Signal>, may_ask: bool) -> u64 {
        let Some(record) = self.processes.get(process) else { return 0 };
        let vm = record.vm;
        let mut has_come = false;
        for wait in self.waits.subscribers.take_listeners(process.index, &signal.name) {
            has_come |= self.is_pending(wait);
            self.reply(wait, Ok(smallvec![signal.payload.clone(), true.into()]));
        }
        let is_connected =
            self.signals().of(process.index).is_some_and(|signals| signals.is_connected(&signal.name));
        if has_come && !is_connected || !may_ask && self.signals().of(process.index).is_none() {
            return 0;
        }
        let limits = self.vms.account(vm).limits.clone();
        let dropped = self.signals_mut().entry(process.index).keep(signal, &limits, may_ask);
        if is_connected {
            self.catch_up(process);
        }
        dropped
    }

    /// What was sent to a process before it was admitted.
    pub(crate) fn signals_mut(&mut self) -> &mut Signals {
        match &mut self.state {
            Some(state) => &mut state.luau.context().signals,
            None => &mut self.early_signals,
        }
    }

    fn signals(&self) -> &Signals {
        self.state.as_ref().map_or(&self.early_signals, |state| state.luau.signals())
    }

    /// How many signals are kept for a process, and how many there was no room for.
    pub(crate) fn signal_counts(&self, process: ProcessKey) -> (usize, u64) {
        let signals = self.signals().of(process.index).filter(|_| self.processes.is_live(process));
        signals.map_or((0, 0), |signals| (signals.len(), signals.dropped()))
    }

    /// Calls the connected functions of a process for the signals that are kept for them, as long as it has room for
    /// that.
    pub(super) fn catch_up(&mut self, process: ProcessKey) {
        let mut from = 0;
        while let Some(vm) = self.vm_of(process)
            && let Some(call) = self.signals().of(process.index).and_then(|signals| signals.next_call(from))
        {
            let arguments = std::slice::from_ref(&call.signal.payload);
            let handler = Handler { anchor: call.connection, arguments, purpose: None };
            if !self.start_handler(vm, process, handler) {
                self.waits.is_behind(process);
                return;
            }
            let Some(signals) = self.signals_mut().of_mut(process.index) else { return };
            from = signals.called(&call);
        }
    }
}
