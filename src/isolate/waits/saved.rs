//! What the tasks of one VM wait for, as it is saved.
//!
//! A wait is named by its number among those of its VM, in the order in which they began, and a process by its number
//! among those of its VM.

use std::time::Duration;

use bevy::platform::collections::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use super::subscribers::Watcher;
use super::timers::Timer;
use super::{ProcessKey, TaskId, WaitId, Waits};
use crate::luau::request::{Again, ExternalRequest};
use crate::save::{Bytes, SavedValues};
use crate::types::{ProcessIndex, VirtualTime, VmIndex};
use crate::value::Arguments;

/// See the [module](self). Times are those of the VM's clock, in nanoseconds.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::isolate) struct SavedWaits {
    /// Processes and tasks.
    waits: Vec<(u32, TaskId)>,
    /// When tasks are woken, and whether something else may end the wait before.
    timers: Vec<(u32, i64, bool)>,
    /// Waits that something else can end.
    pending: Vec<u32>,
    deadlines: Vec<(u32, i64)>,
    /// Those that stand still, with the time that is left.
    held_deadlines: Vec<(u32, Duration)>,
    /// Processes.
    behind: Vec<u32>,
    receivers: Vec<u32>,
    listeners: Vec<(u32, Bytes)>,
    /// Who waits for the end of a process with a PID.
    joins: Vec<(u32, u32)>,
    /// Processes that monitor one with a PID.
    monitors: Vec<(u32, u32)>,
    /// PIDs.
    children: Vec<u32>,
    /// PIDs of processes, and how they ended; the latest first.
    exits: Vec<(u32, SavedValues)>,
}

/// The waits of VMs that are to be saved, found in one walk through those of the isolate.
#[derive(Default)]
pub(in crate::isolate) struct WaitsOfVms {
    vms: HashMap<VmIndex, WaitsOfVm>,
}

/// What there is of one VM.
#[derive(Default)]
pub(in crate::isolate) struct WaitsOfVm {
    timers: Vec<Timer>,
    pending: Vec<WaitId>,
    deadlines: Vec<(VirtualTime, WaitId)>,
    held_deadlines: Vec<(Duration, WaitId)>,
    behind: Vec<ProcessKey>,
    receivers: Vec<WaitId>,
    listeners: Vec<(WaitId, Box<[u8]>)>,
    joins: Vec<(u32, WaitId)>,
    monitors: Vec<(u32, ProcessKey)>,
}

impl WaitsOfVms {
    pub(in crate::isolate) fn take(&mut self, vm: VmIndex) -> WaitsOfVm {
        self.vms.remove(&vm).unwrap_or_default()
    }
}

impl Waits {
    /// What is not void. `live` tells which live process that is to be saved has an index, and where it is, and
    /// `is_waiting` whether a task waits.
    pub(in crate::isolate) fn of_vms(
        &self,
        live: impl Fn(ProcessIndex) -> Option<(ProcessKey, VmIndex)>,
        is_waiting: impl Fn(WaitId) -> bool,
    ) -> WaitsOfVms {
        let vm = |process: ProcessKey| Some(live(process.index).filter(|it| it.0 == process)?.1);
        let mut found = WaitsOfVms::default();
        let vms = &mut found.vms;
        let pending = |wait: WaitId| Some(vm(wait.process)?).filter(|_| self.is_pending(wait));
        for timer in self.timers.iter() {
            let wait = timer.wait();
            let is_void = if timer.is_timeout { !self.is_pending(wait) } else { !is_waiting(wait) };
            if let Some(vm) = vm(wait.process).filter(|_| !is_void) {
                vms.entry(vm).or_default().timers.push(*timer);
            }
        }
        for (index, task, number) in self.pending.iter() {
            if let Some((process, vm)) = live(index) {
                vms.entry(vm).or_default().pending.push(WaitId { number, process, task });
            }
        }
        for &(due, wait) in &self.deadlines {
            if let Some(vm) = pending(wait) {
                vms.entry(vm).or_default().deadlines.push((due, wait));
            }
        }
        for &(left, wait) in self.held_deadlines.values().flatten() {
            if let Some(vm) = pending(wait) {
                vms.entry(vm).or_default().held_deadlines.push((left, wait));
            }
        }
        for &process in &self.behind {
            if let Some(vm) = vm(process) {
                vms.entry(vm).or_default().behind.push(process);
            }
        }
        for wait in self.subscribers.receivers() {
            if let Some(vm) = pending(wait) {
                vms.entry(vm).or_default().receivers.push(wait);
            }
        }
        for (wait, name) in self.subscribers.listeners() {
            if let Some(vm) = pending(wait) {
                vms.entry(vm).or_default().listeners.push((wait, name.into()));
            }
        }
        for (pid, watcher) in self.subscribers.watchers() {
            match watcher {
                Watcher::Join(wait) => {
                    if let Some(vm) = pending(wait) {
                        vms.entry(vm).or_default().joins.push((pid, wait));
                    }
                }
                Watcher::Monitor(process) => {
                    if let Some(vm) = vm(process) {
                        vms.entry(vm).or_default().monitors.push((pid, process));
                    }
                }
            }
        }
        found
    }

    /// How processes of a VM have ended or are to be remembered.
    fn saved_exits(&self, vm: VmIndex) -> (Vec<u32>, Vec<(u32, SavedValues)>) {
        let (children, exits) = self.retained_exits.of(vm);
        (children, exits.into_iter().flatten().map(|(pid, end)| (*pid, end.iter().collect())).collect())
    }
}

impl WaitsOfVm {
    /// Whether a wait is among those that something can end.
    pub(in crate::isolate) fn is_pending(&self, wait: WaitId) -> bool {
        self.pending.contains(&wait)
    }

    /// To be saved, with the numbers of processes, on a clock that is so much ahead. Returns the numbers of the waits.
    pub(in crate::isolate) fn save(
        self,
        waits: &Waits,
        vm: VmIndex,
        number: impl Fn(ProcessKey) -> Option<u32>,
        ahead: i64,
    ) -> (SavedWaits, HashMap<u64, u32>) {
        let mut all: Vec<WaitId> =
            self.timers.iter().map(|timer| timer.wait()).chain(self.pending.clone()).collect();
        all.retain(|wait| number(wait.process).is_some());
        all.sort_unstable_by_key(|wait| wait.number);
        all.dedup_by_key(|wait| wait.number);
        let numbers: HashMap<u64, u32> = all.iter().map(|wait| wait.number).zip(0..).collect();
        let of = |wait: WaitId| numbers.get(&wait.number).copied();
        let (children, exits) = waits.saved_exits(vm);
        // What is kept in hash tables has no order that lasts.
        let mut receivers = self.receivers;
        receivers.sort_unstable_by_key(|wait| wait.number);
        let mut timers = self.timers;
        timers.sort_unstable();
        let mut listeners = self.listeners;
        listeners.sort_unstable_by_key(|(wait, _)| wait.number);
        let (mut joins, mut monitors, mut held_deadlines) = (self.joins, self.monitors, self.held_deadlines);
        joins.sort_by_key(|join| join.0);
        monitors.sort_by_key(|monitor| monitor.0);
        held_deadlines.sort_unstable_by_key(|(_, wait)| wait.number);
        let saved = SavedWaits {
            waits: all.iter().filter_map(|wait| Some((number(wait.process)?, wait.task))).collect(),
            timers: timers
                .iter()
                .filter_map(|it| Some((of(it.wait())?, it.due.shifted(ahead).nanoseconds(), it.is_timeout)))
                .collect(),
            pending: self.pending.iter().filter_map(|&wait| of(wait)).collect(),
            deadlines: self
                .deadlines
                .iter()
                .filter_map(|&(due, wait)| Some((of(wait)?, due.shifted(ahead).nanoseconds())))
                .collect(),
            held_deadlines: held_deadlines
                .iter()
                .filter_map(|&(left, wait)| Some((of(wait)?, left)))
                .collect(),
            behind: self.behind.iter().filter_map(|&process| number(process)).collect(),
            receivers: receivers.iter().filter_map(|&wait| of(wait)).collect(),
            listeners: listeners
                .into_iter()
                .filter_map(|(wait, name)| Some((of(wait)?, Bytes(name))))
                .collect(),
            joins: joins.iter().filter_map(|&(pid, wait)| Some((pid, of(wait)?))).collect(),
            monitors: monitors.iter().filter_map(|&(pid, process)| Some((pid, number(process)?))).collect(),
            children,
            exits,
        };
        (saved, numbers)
    }
}

impl SavedWaits {
    /// Whether all numbers are those of something that is there.
    pub(in crate::isolate) fn check(&self, processes: usize) -> Result<(), &'static str> {
        let are_processes = |mut numbers: Box<dyn Iterator<Item = u32> + '_>| {
            numbers.all(|number| (number as usize) < processes)
        };
        let process_numbers = self.waits.iter().map(|wait| wait.0).chain(self.behind.iter().copied());
        let process_numbers = process_numbers.chain(self.monitors.iter().map(|it| it.1));
        if !are_processes(Box::new(process_numbers)) {
            return Err("a wait is of no process");
        }
        let waits = self.waits.len();
        let numbers = self.timers.iter().map(|it| it.0).chain(self.pending.iter().copied());
        let numbers = numbers.chain(self.deadlines.iter().map(|it| it.0));
        let numbers = numbers.chain(self.held_deadlines.iter().map(|it| it.0));
        let numbers = numbers.chain(self.receivers.iter().copied());
        let numbers =
            numbers.chain(self.listeners.iter().map(|it| it.0)).chain(self.joins.iter().map(|it| it.1));
        if !{ numbers }.all(|number| (number as usize) < waits) {
            return Err("there is no such wait");
        }
        Ok(())
    }

    /// The waits for answers of the game.
    pub(in crate::isolate) fn syscalls(&self) -> Vec<u32> {
        let (due, held) = (self.deadlines.iter().map(|it| it.0), self.held_deadlines.iter().map(|it| it.0));
        due.chain(held).collect()
    }

    /// How many waits there are.
    pub(in crate::isolate) fn len(&self) -> usize {
        self.waits.len()
    }

    /// Begins the waits again, of processes that have these keys now, on a clock that is so much ahead of that of the
    /// isolate. They must have been [checked](Self::check). Returns them.
    pub(in crate::isolate) fn load(
        self,
        into: &mut Waits,
        vm: VmIndex,
        processes: &[ProcessKey],
        ahead: i64,
    ) -> Result<Vec<WaitId>, &'static str> {
        let mut waits = Vec::with_capacity(self.waits.len());
        for (process, task) in self.waits {
            into.count += 1;
            waits.push(WaitId { number: into.count, process: processes[process as usize], task });
        }
        let of = |wait: u32| waits[wait as usize];
        let time = |time: i64| VirtualTime::from_nanoseconds(time).shifted(ahead.saturating_neg());
        for (wait, due, is_timeout) in self.timers {
            into.timers.push(Timer::new(time(due), of(wait), is_timeout));
        }
        for wait in self.pending {
            if !into.is_pending(of(wait)) {
                into.pending.insert(of(wait));
            }
        }
        for (wait, due) in self.deadlines {
            into.set_deadline(of(wait), time(due));
        }
        for (wait, left) in self.held_deadlines {
            let wait = of(wait);
            into.held_deadlines.entry(wait.process.index).or_default().push((left, wait));
        }
        into.behind.extend(self.behind.into_iter().map(|process| processes[process as usize]));
        self.receivers.into_iter().for_each(|wait| into.subscribers.receive(of(wait)));
        self.listeners.into_iter().for_each(|(wait, name)| into.subscribers.listen(of(wait), name.0));
        self.joins
            .into_iter()
            .for_each(|(pid, wait)| into.subscribers.watch(vm, pid, Watcher::Join(of(wait))));
        for (pid, process) in self.monitors {
            into.subscribers.watch(vm, pid, Watcher::Monitor(processes[process as usize]));
        }
        self.children.into_iter().for_each(|pid| into.retained_exits.expect(vm, pid));
        for (pid, end) in self.exits.into_iter().rev() {
            into.retained_exits.insert(vm, pid, end.values()?);
        }
        Ok(waits)
    }
}

/// What it takes to make syscalls again that have no answer, by the numbers of their waits.
#[derive(Debug, Default)]
pub(in crate::isolate) struct Repeats(HashMap<u64, (usize, Box<Again>)>);

impl Repeats {
    /// A request has been made.
    pub(in crate::isolate) fn keep(&mut self, wait: WaitId, request: &mut ExternalRequest) {
        if let ExternalRequest::Syscall { number, again, .. } = request
            && let Some(again) = again.take()
        {
            self.0.insert(wait.number, (*number, again));
        }
    }

    /// The game has got the request of a wait.
    pub(in crate::isolate) fn posted(&mut self, wait: WaitId) {
        if self.0.get(&wait.number).is_some_and(|(_, again)| !again.repeats) {
            self.0.remove(&wait.number);
        }
    }

    /// A wait is over.
    pub(super) fn forget(&mut self, wait: WaitId) {
        if !self.0.is_empty() {
            self.0.remove(&wait.number);
        }
    }

    /// Others have been forgotten.
    pub(super) fn retain(&mut self, pending: impl Iterator<Item = u64>) {
        if !self.0.is_empty() {
            let pending: HashSet<u64> = pending.collect();
            self.0.retain(|number, _| pending.contains(number));
        }
    }

    /// The number of the syscall that a wait is for, and its arguments.
    pub(in crate::isolate) fn of(&self, wait: u64) -> Option<(usize, &Arguments)> {
        self.0.get(&wait).map(|(number, again)| (*number, &again.arguments))
    }
}
