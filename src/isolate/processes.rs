//! The processes of an isolate, and whose turn it is.
//!
//! What every slice reads and writes is apart from what only a start or an end needs: with hundreds of thousands of
//! processes, a slice waits for each cache line that it touches.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use bevy::prelude::*;

use super::keys::ProcessKey;
use super::run_queue::RunQueue;
use super::start::Starting;
use crate::luau::NORMAL_PRIORITY;
use crate::types::{CpuUsage, Pid, ProcessIndex, ProcessState, VirtualTime, VmIndex};

/// A process, as its slices see it.
#[derive(Debug)]
pub(super) struct ProcessRecord {
    pub(super) safepoints: u64,
    /// Nanoseconds.
    pub(super) time: u64,
    pub(super) slices: u32,
    pub(super) vm: VmIndex,
    pub(super) generation: u32,
    pub(super) state: ProcessState,
    /// The memory category that its thread is charged to.
    pub(super) category: u8,
    pub(super) pause: Pause,
    /// Factor on the quantum, in sixteenths.
    pub(super) priority: u8,
}

/// Why a process that is queued has no turn. One byte: two records fit into a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause(u8);

impl Pause {
    pub(super) const NONE: Self = Self(0);
    /// All causes of a suspension.
    const SUSPENDED: u8 = Suspension::Process as u8 | Suspension::Vm as u8;

    /// It has yielded, and goes on in the next tick.
    pub(super) fn in_tick(number: u32) -> Self {
        Self((number % 252) as u8 + Self::SUSPENDED + 1)
    }

    /// Of a process that is suspended for these reasons, or not at all.
    #[cfg(feature = "save")]
    pub(super) fn of_causes(causes: u8) -> Self {
        Self(causes & Self::SUSPENDED)
    }

    /// Why it is suspended, if it is.
    pub(super) fn causes(self) -> u8 {
        if self.0 <= Self::SUSPENDED { self.0 } else { 0 }
    }
}

/// Why a process gets no turns. It may be for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspension {
    /// The game has suspended it.
    Process = 1,
    /// The game has suspended its VM.
    Vm = 2,
}

impl ProcessRecord {
    fn new(vm: VmIndex, generation: u32) -> Self {
        Self {
            safepoints: 0,
            time: 0,
            slices: 0,
            vm,
            generation,
            state: ProcessState::Runnable,
            category: 0,
            pause: Pause::NONE,
            priority: NORMAL_PRIORITY,
        }
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.pause.causes() != 0
    }

    pub(super) fn cpu(&self) -> CpuUsage {
        CpuUsage {
            safepoints: self.safepoints,
            slices: self.slices.into(),
            time: Duration::from_nanos(self.time),
        }
    }
}

/// Who a process is outside the isolate, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessOrigin {
    pub(super) process: Entity,
    pub(super) spawned_at: VirtualTime,
    pub(super) pid: Pid,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct ProcessTable {
    pub(super) records: Vec<ProcessRecord>,
    pub(super) origins: Vec<ProcessOrigin>,
    /// The index that became free last is taken first.
    free: Vec<ProcessIndex>,
    first_generation: u32,
    /// Processes that have not ended.
    live: usize,
    /// Processes that may run.
    pub(super) queue: RunQueue<ProcessKey>,
    /// Processes that had their first slice in this tick. They are queued once its pass has begun, so that it leaves
    /// them out.
    started_this_tick: Vec<ProcessKey>,
    /// Processes without a thread, in the order of their admission.
    pub(super) starting: VecDeque<Starting>,
}

impl ProcessTable {
    /// Without processes. The first at each index has this generation.
    pub(super) fn new(first_generation: u32) -> Self {
        Self { first_generation, ..Self::default() }
    }

    pub(super) fn insert(&mut self, vm: VmIndex, origin: ProcessOrigin) -> ProcessKey {
        self.live += 1;
        let Some(index) = self.free.pop() else {
            self.records.push(ProcessRecord::new(vm, self.first_generation));
            self.origins.push(origin);
            let index = ProcessIndex(self.records.len() as u32 - 1);
            return ProcessKey { index, generation: self.first_generation };
        };
        let generation = self[index].generation;
        self[index] = ProcessRecord::new(vm, generation);
        self.origins[index.at()] = origin;
        ProcessKey { index, generation }
    }

    /// A process has ended: its key goes stale. Its index is taken until it is [freed](Self::free).
    pub(super) fn end(&mut self, index: ProcessIndex) {
        self[index].state = ProcessState::Killed;
        // Who remembers what was here 2^32 processes ago has not looked for long.
        self[index].generation = self[index].generation.wrapping_add(1);
        self.live -= 1;
    }

    /// The key that a process had which has ended, while its index is taken.
    pub(super) fn ended_key(&self, index: ProcessIndex) -> ProcessKey {
        ProcessKey { index, generation: self[index].generation.wrapping_sub(1) }
    }

    /// Makes the index of a process that has ended free for another.
    pub(super) fn free(&mut self, index: ProcessIndex) {
        self.free.push(index);
    }

    /// A process starts again: what queues and waits remember of it goes stale. `None` if it has ended.
    pub(super) fn renew(&mut self, key: ProcessKey) -> Option<ProcessKey> {
        let record = self.get_mut(key)?;
        record.generation = record.generation.wrapping_add(1);
        record.state = ProcessState::Runnable;
        Some(ProcessKey { generation: record.generation, ..key })
    }

    /// A process, unless it has ended.
    pub(super) fn get(&self, key: ProcessKey) -> Option<&ProcessRecord> {
        self.records.get(key.index.at()).filter(|record| record.generation == key.generation)
    }

    /// See [`Self::get`].
    fn get_mut(&mut self, key: ProcessKey) -> Option<&mut ProcessRecord> {
        self.records.get_mut(key.index.at()).filter(|record| record.generation == key.generation)
    }

    /// Whether a process has not ended.
    pub(super) fn is_live(&self, key: ProcessKey) -> bool {
        self.get(key).is_some()
    }

    /// Who has, or had last, an index.
    pub(super) fn origin(&self, index: ProcessIndex) -> ProcessOrigin {
        self.origins[index.at()]
    }

    /// The live processes of a VM. Walks all processes of the isolate.
    pub(super) fn live_on(&self, vm: VmIndex) -> impl Iterator<Item = ProcessKey> {
        let records = (0..).zip(&self.records);
        let live = records.filter(move |(_, record)| record.vm == vm && !record.state.has_ended());
        live.map(|(index, record)| ProcessKey { index: ProcessIndex(index), generation: record.generation })
    }

    /// All that have not ended.
    pub(super) fn live_processes(&self) -> impl Iterator<Item = ProcessKey> {
        let live = (0..).zip(&self.records).filter(|(_, record)| !record.state.has_ended());
        live.map(|(index, record)| ProcessKey { index: ProcessIndex(index), generation: record.generation })
    }

    /// How many have not ended.
    pub(super) fn live_count(&self) -> usize {
        self.live
    }

    /// Whether there never was one.
    pub(super) fn is_unused(&self) -> bool {
        self.records.is_empty()
    }

    /// A generation that no key has.
    pub(super) fn next_generation(&self) -> u32 {
        self.records
            .iter()
            .map(|record| record.generation.wrapping_add(1))
            .max()
            .unwrap_or(self.first_generation)
    }

    /// How many wait for their turn.
    pub(super) fn runnable(&self) -> usize {
        self.queue.len() + self.started_this_tick.len()
    }

    /// A process had its first slice when it started.
    pub(super) fn started(&mut self, key: ProcessKey) {
        self.started_this_tick.push(key);
    }

    /// Those that wait for their turn, in the order in which they have it.
    #[cfg(feature = "save")]
    pub(super) fn queued(&self) -> impl Iterator<Item = ProcessKey> {
        self.queue.iter().chain(self.started_this_tick.iter().copied()).filter(|&key| self.is_live(key))
    }

    /// Queues the processes that started in this tick, for the passes of later ticks. To be called when the pass of
    /// this tick has begun.
    pub(super) fn enqueue_started(&mut self) {
        // It may have been long, and few start at other times.
        std::mem::take(&mut self.started_this_tick).into_iter().for_each(|key| self.queue.push(key));
    }

    /// A process that waits, if it does, has something to do.
    pub(super) fn make_runnable(&mut self, key: ProcessKey) {
        let Some(record) = self.get_mut(key) else { return };
        if record.state == ProcessState::Waiting {
            if record.is_suspended() {
                record.state = ProcessState::Suspended;
            } else {
                record.state = ProcessState::Runnable;
                self.queue.push(key);
            }
        }
    }

    /// Takes a process's turns away until [`Self::resume`]. `false` if it has ended.
    pub(super) fn suspend(&mut self, key: ProcessKey, why: Suspension) -> bool {
        let Some(record) = self.get_mut(key) else { return false };
        record.pause = Pause(record.pause.causes() | why as u8);
        true
    }

    /// Ends a suspension. `true` if the process has turns again because of that.
    pub(super) fn resume(&mut self, key: ProcessKey, why: Suspension) -> bool {
        let Some(record) = self.get_mut(key) else { return false };
        let causes = record.pause.causes();
        if causes == 0 {
            return false;
        }
        record.pause = Pause(causes & !(why as u8));
        let is_over = record.pause == Pause::NONE;
        if is_over && record.state == ProcessState::Suspended {
            record.state = ProcessState::Runnable;
            self.queue.push(key);
        }
        is_over
    }

    /// Sets the factor on a process's quantum, in sixteenths.
    pub(super) fn set_priority(&mut self, key: ProcessKey, sixteenths: u8) {
        if let Some(record) = self.get_mut(key) {
            record.priority = sixteenths;
        }
    }
}

impl Index<ProcessIndex> for ProcessTable {
    type Output = ProcessRecord;

    fn index(&self, index: ProcessIndex) -> &ProcessRecord {
        &self.records[index.at()]
    }
}

impl IndexMut<ProcessIndex> for ProcessTable {
    fn index_mut(&mut self, index: ProcessIndex) -> &mut ProcessRecord {
        &mut self.records[index.at()]
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn insert(processes: &mut ProcessTable, pid: u32) -> ProcessKey {
        let pid = Pid(NonZeroU32::new(pid).expect("not 0"));
        let origin = ProcessOrigin { process: Entity::PLACEHOLDER, spawned_at: VirtualTime::MAX, pid };
        processes.insert(VmIndex(4), origin)
    }

    fn queued(processes: &mut ProcessTable) -> Vec<ProcessKey> {
        std::mem::take(&mut processes.queue).into_entries().collect()
    }

    #[test]
    fn an_index_is_given_away_again_and_old_keys_go_stale() {
        let mut processes = ProcessTable::new(7);
        let [a, b] = [1, 2].map(|pid| insert(&mut processes, pid));
        assert_eq!((a.index.0, b.index.0, a.generation), (0, 1, 7));
        for key in [a, b] {
            processes.end(key.index);
            assert_eq!(processes.ended_key(key.index), key);
            processes.free(key.index);
        }
        assert!(processes.get(a).is_none() && processes.get_mut(b).is_none());
        let [c, d, e] = [3, 4, 5].map(|pid| insert(&mut processes, pid));
        assert_eq!((c.index.0, d.index.0, e.index.0), (1, 0, 2), "the last one first, then a new one");
        assert_eq!((c.generation, e.generation), (8, 7));
        assert_eq!((processes.origin(d.index).pid.get(), processes.live_count()), (4, 3));
        assert_eq!(processes.next_generation(), 9);
    }

    #[test]
    fn after_the_last_generation_they_begin_again() {
        let mut processes = ProcessTable::new(u32::MAX);
        let last = insert(&mut processes, 1);
        processes.end(last.index);
        assert_eq!(processes.ended_key(last.index), last);
        processes.free(last.index);
        let first = insert(&mut processes, 2);
        assert_eq!((first.index, first.generation), (last.index, 0));
        assert!(processes.is_live(first) && !processes.is_live(last));
        assert_eq!(processes.next_generation(), 1);
    }

    #[test]
    fn a_process_that_has_ended_keeps_its_index_until_that_is_freed() {
        let mut processes = ProcessTable::new(0);
        let key = insert(&mut processes, 1);
        assert!(processes.is_live(key));
        processes.end(key.index);
        assert!(!processes.is_live(key) && processes.renew(key).is_none());
        assert_eq!((processes.live_count(), processes.origin(key.index).pid.get()), (0, 1));
        assert_eq!(insert(&mut processes, 2).index.0, 1);
    }

    #[test]
    fn the_processes_of_a_vm_that_have_not_ended_are_found() {
        let mut processes = ProcessTable::new(0);
        let keys = [1, 2, 3].map(|pid| insert(&mut processes, pid));
        processes.end(keys[0].index);
        processes.end(keys[2].index);
        processes.free(keys[2].index);
        assert_eq!(processes.live_on(VmIndex(4)).collect::<Vec<_>>(), [keys[1]]);
        assert_eq!(processes.live_on(VmIndex(3)).count(), 0);
    }

    #[test]
    fn a_process_that_starts_again_has_another_key() {
        let mut processes = ProcessTable::new(0);
        let old = insert(&mut processes, 1);
        processes[old.index].state = ProcessState::Waiting;
        let new = processes.renew(old).expect("it lives");
        assert!(processes.get(old).is_none());
        assert_eq!(processes.get(new).map(|record| record.state), Some(ProcessState::Runnable));
        processes[new.index].state = ProcessState::Waiting;
        processes.make_runnable(old);
        assert!(queued(&mut processes).is_empty(), "who woke it meant the old one");
    }

    #[test]
    fn a_suspended_process_is_queued_when_it_is_resumed_and_only_if_it_has_something_to_do() {
        let mut processes = ProcessTable::new(0);
        let key = insert(&mut processes, 1);
        processes[key.index].state = ProcessState::Waiting;
        processes.suspend(key, Suspension::Process);
        processes.resume(key, Suspension::Process);
        assert!(queued(&mut processes).is_empty());
        processes.suspend(key, Suspension::Process);
        processes.make_runnable(key);
        assert_eq!((processes[key.index].state, processes.runnable()), (ProcessState::Suspended, 0));
        processes.resume(key, Suspension::Process);
        processes.make_runnable(key);
        assert_eq!(queued(&mut processes), [key]);
    }

    #[test]
    fn a_process_that_is_suspended_for_two_reasons_is_resumed_when_both_are_over() {
        let mut processes = ProcessTable::new(0);
        let key = insert(&mut processes, 1);
        for why in [Suspension::Process, Suspension::Vm, Suspension::Vm] {
            assert!(processes.suspend(key, why) && processes[key.index].is_suspended());
        }
        assert!(!processes.resume(key, Suspension::Process) && processes.resume(key, Suspension::Vm));
        processes[key.index].pause = Pause::in_tick(7);
        assert!(!processes.resume(key, Suspension::Vm) && !processes[key.index].is_suspended());
        assert_eq!(processes[key.index].pause, Pause::in_tick(7));
    }

    #[test]
    fn those_that_started_in_this_tick_are_left_out_of_its_pass() {
        let mut processes = ProcessTable::new(0);
        let [old, new] = [1, 2].map(|pid| insert(&mut processes, pid));
        processes.queue.push(old);
        processes.started(new);
        assert_eq!(processes.runnable(), 2);
        processes.queue.begin_pass();
        processes.enqueue_started();
        assert_eq!(processes.queue.upcoming(), [old]);
        assert_eq!(queued(&mut processes), [old, new]);
    }

    #[test]
    fn what_a_slice_needs_is_small_and_so_is_the_rest() {
        assert!(size_of::<ProcessRecord>() <= 32, "{}", size_of::<ProcessRecord>());
        assert!(size_of::<ProcessOrigin>() <= 24, "{}", size_of::<ProcessOrigin>());
    }
}
