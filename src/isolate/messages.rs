//! What reaches the tasks of an isolate from others: messages, the ends of processes.

use smallvec::smallvec;

use super::Isolate;
use super::keys::{ProcessKey, VmKey, WaitId};
use super::waits::subscribers::Watcher;
use crate::luau::LuauState;
use crate::luau::mailbox::Mailbox;
use crate::types::{Outcome, ProcessIndex, VmIndex};
use crate::value::{Value, Values};

const NOT_STARTED: &str = "it has not started";

impl Isolate {
    pub(super) fn luau_mut(&mut self) -> Option<&mut LuauState> {
        self.state.as_mut().map(|state| &mut state.luau)
    }

    /// The mailbox of a process; a new one if it has none.
    fn mailbox(&mut self, process: ProcessIndex) -> Result<&mut Mailbox, &'static str> {
        let luau = self.luau_mut().ok_or(NOT_STARTED)?;
        Ok(luau.context().mail.entry(process).or_default())
    }

    /// Hands a message to a process: to a task that waits for one, or its mailbox. What is not `is_local` comes from
    /// another VM.
    pub(crate) fn post(
        &mut self,
        process: ProcessKey,
        value: Value,
        sender: Value,
        is_local: bool,
    ) -> Result<(), &'static str> {
        let vm = self.vm_of(process).ok_or("no such process")?;
        if let Some(wait) = self.waits.next_receiver(process.index) {
            self.reply(wait, Ok(smallvec![value, sender]));
            return Ok(());
        }
        let limits = self.vms.limits(vm);
        let limits = [limits.mailbox_messages, limits.mailbox_bytes];
        // A quarter is kept for its own VM.
        let [messages, bytes] = if is_local { limits } else { limits.map(|limit| limit - limit / 4) };
        self.mailbox(process.index)?.push((value, sender), messages, bytes)
    }

    /// Messages that a process has not received.
    pub(crate) fn mailbox_len(&mut self, process: ProcessKey) -> usize {
        self.luau_mut().and_then(|luau| luau.context().mail.get(&process.index)).map_or(0, Mailbox::len)
    }

    /// A task waits for the end of a process, which has not ended.
    pub(crate) fn join(&mut self, vm: VmIndex, pid: u32, wait: WaitId) {
        self.waits.subscribers.watch(vm, pid, Watcher::Join(wait));
    }

    /// How a process that a script started ended, if it has and that is still known.
    pub(crate) fn retained_exit(&self, vm: VmIndex, pid: u32) -> Option<Values> {
        self.waits.retained_exits.get(vm, pid)
    }

    /// A process was started by a script: its exit is kept for a while.
    pub(crate) fn retain_exit(&mut self, vm: VmKey, pid: u32) {
        self.waits.retained_exits.expect(vm.index, pid);
    }

    /// A process wants to be told of the end of another. Once is enough. Room for that is reserved in its mailbox.
    pub(crate) fn monitor(&mut self, vm: VmIndex, pid: u32, process: ProcessKey) -> Result<(), &'static str> {
        let watcher = Watcher::Monitor(process);
        if self.waits.subscribers.is_watching(vm, pid, watcher) {
            return Ok(());
        }
        let limit = self.vms.limits(vm).mailbox_messages;
        self.mailbox(process.index)?.reserve(limit)?;
        self.waits.subscribers.watch(vm, pid, watcher);
        Ok(())
    }

    /// Tells everybody who asked how a process ended.
    pub(super) fn announce_end(&mut self, vm: VmIndex, pid: u32, outcome: &Outcome) {
        let watchers = self.waits.subscribers.take_watchers(vm, pid);
        let is_expected = self.waits.retained_exits.take_expected(vm, pid);
        if watchers.is_empty() && !is_expected {
            return;
        }
        let end = describe(outcome);
        if is_expected && !self.vms.record(vm).is_removed {
            self.waits.retained_exits.insert(vm, pid, end.clone());
        }
        for watcher in watchers {
            match watcher {
                Watcher::Join(wait) => self.reply(wait, Ok(end.clone())),
                Watcher::Monitor(process) => self.post_end(process, pid, &end),
            }
        }
    }

    /// Tells a process that monitors another how that ended.
    fn post_end(&mut self, process: ProcessKey, pid: u32, end: &Values) {
        let Some(vm) = self.vm_of(process) else { return };
        let limit = self.vms.limits(vm).mailbox_bytes;
        let wait = self.waits.next_receiver(process.index);
        let Ok(mailbox) = self.mailbox(process.index) else { return };
        let message = end_message(pid, end, true);
        match wait {
            None => mailbox.push_reserved(message, || end_message(pid, end, false), limit),
            Some(wait) => {
                mailbox.release();
                let (value, sender) = message;
                self.reply(wait, Ok(smallvec![value, sender]));
            }
        }
    }
}

/// How a process ended, for scripts: "finished" and its results; "failed", the message, the traceback, and the error if
/// that is no string; or "killed" and the reason.
fn describe(outcome: &Outcome) -> Values {
    match outcome {
        Outcome::Finished(results) => {
            std::iter::once("finished".into()).chain(results.iter().cloned()).collect()
        }
        Outcome::Failed(error) => {
            let said: Values =
                smallvec!["failed".into(), (&*error.message).into(), (&*error.traceback).into()];
            said.into_iter().chain(error.value.clone()).collect()
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

#[cfg(test)]
mod tests {
    use bevy::prelude::*;

    use super::*;
    use crate::isolate::bench::{Bench, ENDLESS};
    use crate::types::{Deadline, KillReason, Limits};

    const RECEIVE: &str = "local value, sender = mailbox.receive() return value, sender";

    fn finished(values: impl IntoIterator<Item = Value>) -> Outcome {
        Outcome::Finished(values.into_iter().collect())
    }

    /// A message is posted, and the tick after it is run.
    fn post(bench: &mut Bench, process: ProcessKey, is_local: bool) -> Result<(), &'static str> {
        bench.isolate.post(process, "hello".into(), 7.0.into(), is_local)
    }

    #[test]
    fn a_message_goes_to_a_task_that_waits_or_into_the_mailbox() {
        let mut bench = Bench::new();
        let waits = bench.spawn(RECEIVE);
        let busy = bench.spawn("for i = 1, 12 do end return mailbox.receive()");
        assert_eq!(post(&mut bench, waits, true), Err(NOT_STARTED));
        bench.tick(Deadline::NEVER);
        assert_eq!([waits, busy].map(|process| bench.isolate.mailbox_len(process)), [0, 0]);
        for process in [waits, busy] {
            post(&mut bench, process, true).expect("there is room");
        }
        assert_eq!([waits, busy].map(|process| bench.isolate.mailbox_len(process)), [0, 1]);
        bench.tick(Deadline::NEVER);
        bench.tick(Deadline::NEVER);
        let message = || finished(["hello".into(), 7.0.into()]);
        assert_eq!(bench.outcomes(), [message(), message()]);
        assert_eq!(post(&mut bench, waits, true), Err("no such process"));
    }

    #[test]
    fn a_quarter_of_a_mailbox_is_for_the_vms_own_messages() {
        let mut bench = Bench::new();
        bench.isolate.set_limits(bench.vm, Limits { mailbox_messages: 8, ..default() }.into());
        let process = bench.spawn(ENDLESS);
        bench.tick(Deadline::NEVER);
        let count = |bench: &mut Bench, is_local| {
            (0..).take_while(|_| post(bench, process, is_local).is_ok()).count()
        };
        assert_eq!([false, true, false].map(|is_local| count(&mut bench, is_local)), [6, 2, 0]);
        assert_eq!(bench.isolate.mailbox_len(process), 8);
    }

    #[test]
    fn the_end_of_a_process_is_told_to_each_who_asked_once() {
        let mut bench = Bench::new();
        let watcher = bench.spawn(RECEIVE);
        let watched = bench.spawn(ENDLESS);
        let vm = bench.vm.index;
        bench.tick(Deadline::NEVER);
        for _ in 0..3 {
            bench.isolate.monitor(vm, 2, watcher).expect("there is room");
        }
        bench.isolate.retain_exit(bench.vm, 2);
        assert!(bench.isolate.retained_exit(vm, 2).is_none());
        bench.isolate.kill(watched, KillReason::Requested);
        assert_eq!(bench.outcomes(), [Outcome::Killed(KillReason::Requested)]);
        let kept = bench.isolate.retained_exit(vm, 2).expect("it is kept");
        assert_eq!(kept[0], "killed".into());
        assert_eq!(bench.isolate.mailbox_len(watcher), 0, "it waits for a message, so none is left");
        bench.tick(Deadline::NEVER);
        let exits = bench.outcomes();
        let [Outcome::Finished(message)] = &exits[..] else { panic!("{exits:?}") };
        let [Value::Table(message), Value::Number(2.0)] = &message[..] else { panic!("{message:?}") };
        assert!(message.contains(&("pid".into(), 2.0.into())));
        assert!(message.contains(&("outcome".into(), "killed".into())));
    }

    #[test]
    fn room_for_the_message_of_an_end_is_reserved_when_it_is_asked_for() {
        let mut bench = Bench::new();
        bench.isolate.set_limits(bench.vm, Limits { mailbox_messages: 2, ..default() }.into());
        let watcher = bench.spawn(ENDLESS);
        let [a, b] = [ENDLESS; 2].map(|source| bench.spawn(source));
        let vm = bench.vm.index;
        bench.tick(Deadline::NEVER);
        for pid in [2, 3] {
            bench.isolate.monitor(vm, pid, watcher).expect("there is room");
        }
        assert!(bench.isolate.monitor(vm, 4, watcher).is_err() && post(&mut bench, watcher, true).is_err());
        for process in [a, b] {
            bench.isolate.kill(process, KillReason::Requested);
        }
        assert_eq!(bench.outcomes().len(), 2);
        assert_eq!(bench.isolate.mailbox_len(watcher), 2);
    }
}
