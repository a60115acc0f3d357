//! The VMs of an isolate.
//!
//! Every slice needs the account of its VM, and little else of it: accounts are close together.

use std::sync::Arc;

use bevy::prelude::*;

use super::account::VmAccount;
use super::exit::{VmStatus, VmSummary};
use super::keys::VmKey;
use super::share::VmShares;
use super::watch::Watch;
use crate::console::ConsoleBuffer;
use crate::luau::LibrarySet;
use crate::types::{CpuUsage, Limits, Published, VirtualTime, VmId, VmIndex};

/// What is known of a VM.
#[derive(Debug)]
pub(super) struct VmRecord {
    pub(super) vm: Entity,
    /// What scripts call it.
    pub(super) id: VmId,
    /// What its scripts have of the game, those that start.
    pub(super) libraries: LibrarySet,
    /// What its scripts can read.
    pub(super) published: Published,
    spawned_at: VirtualTime,
    /// What ended processes used.
    cpu: CpuUsage,
    /// Processes ended so far.
    ended: u32,
    /// Admitted processes that have not ended.
    pub(super) live: u32,
    /// Ended processes that the ECS has not been told of.
    unsettled: u32,
    generation: u32,
    pub(super) is_removed: bool,
    /// What the VM's threads are charged to, or 0 while it has none.
    pub(super) category: u8,
    pub(super) console: Option<Box<ConsoleBuffer>>,
    /// By how many nanoseconds its clock is ahead of that of the app.
    #[cfg(feature = "save")]
    pub(super) clock: i64,
}

impl VmRecord {
    fn new(vm: Entity, spawned_at: VirtualTime, generation: u32) -> Self {
        Self {
            vm,
            id: VmId::default(),
            libraries: LibrarySet::default(),
            published: Published::default(),
            spawned_at,
            cpu: CpuUsage::default(),
            ended: 0,
            live: 0,
            unsettled: 0,
            generation,
            is_removed: false,
            category: 0,
            console: None,
            #[cfg(feature = "save")]
            clock: 0,
        }
    }

    /// What processes used that have ended, and how many there were.
    #[cfg(feature = "save")]
    pub(super) fn set_ended(&mut self, cpu: CpuUsage, ended: u32) {
        (self.cpu, self.ended) = (cpu, ended);
    }

    /// A process has ended. Its exit is still to be settled.
    pub(super) fn process_ended(&mut self, cpu: CpuUsage) {
        self.live -= 1;
        self.unsettled += 1;
        self.ended = self.ended.saturating_add(1);
        self.cpu += cpu;
    }

    /// A process was removed before it ended: there will be no exit.
    pub(super) fn process_removed(&mut self) {
        self.live -= 1;
    }

    /// An exit was settled. What it leaves to do.
    pub(super) fn exit_settled(&mut self) -> VmStatus {
        self.unsettled -= 1;
        match *self {
            Self { is_removed: true, .. } | Self { live: 1.., .. } => VmStatus::ProcessIsDone,
            Self { unsettled: 1.., .. } => VmStatus::VmEndsLater,
            _ => VmStatus::VmIsDone(self.summary()),
        }
    }

    /// Whether no process is left, live or to be settled.
    pub(super) fn has_no_processes(&self) -> bool {
        self.live == 0 && self.unsettled == 0
    }

    #[cfg(feature = "save")]
    pub(super) fn set_spawned_at(&mut self, spawned_at: VirtualTime) {
        self.spawned_at = spawned_at;
    }

    #[cfg(feature = "save")]
    pub(super) fn spawned_at(&self) -> VirtualTime {
        self.spawned_at
    }

    pub(super) fn summary(&self) -> VmSummary {
        VmSummary { processes: self.ended, spawned_at: self.spawned_at, cpu: self.cpu }
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct VmTable {
    pub(super) records: Vec<VmRecord>,
    pub(super) accounts: Vec<VmAccount>,
    pub(super) shares: VmShares,
    /// Of each VM.
    pub(super) watches: Vec<Watch>,
    /// The index that became free last is taken first.
    free: Vec<VmIndex>,
    first_generation: u32,
}

impl VmTable {
    /// Without VMs. The first at each index has this generation.
    pub(super) fn new(first_generation: u32) -> Self {
        Self { first_generation, ..Self::default() }
    }

    /// How many there are. One that was removed counts until its last process has gone.
    pub(super) fn len(&self) -> usize {
        self.records.len() - self.free.len()
    }

    pub(super) fn add(&mut self, vm: Entity, limits: Arc<Limits>, spawned_at: VirtualTime) -> VmKey {
        if let Some(index) = self.free.pop() {
            let generation = self.records[index.at()].generation;
            self.records[index.at()] = VmRecord::new(vm, spawned_at, generation);
            self.accounts[index.at()] = VmAccount::new(limits);
            self.watches[index.at()] = Watch::default();
            return VmKey { index, generation };
        }
        self.records.push(VmRecord::new(vm, spawned_at, self.first_generation));
        self.accounts.push(VmAccount::new(limits));
        self.watches.push(Watch::default());
        VmKey { index: VmIndex(self.records.len() as u32 - 1), generation: self.first_generation }
    }

    /// Whether a VM has not been removed.
    pub(super) fn is_current(&self, key: VmKey) -> bool {
        self.records.get(key.index.at()).is_some_and(|record| record.generation == key.generation)
    }

    /// Removes a VM. Its index is to be [freed](Self::free_if_unused) when its last process has gone.
    pub(super) fn remove(&mut self, key: VmKey) {
        let record = &mut self.records[key.index.at()];
        record.generation = record.generation.wrapping_add(1);
        record.console = None;
        record.is_removed = true;
    }

    /// Makes the index of a VM that was removed free for another, if no process is left. Whether it did.
    pub(super) fn free_if_unused(&mut self, index: VmIndex) -> bool {
        let record = self.record(index);
        let is_unused = record.is_removed && record.has_no_processes();
        if is_unused {
            self.free.push(index);
        }
        is_unused
    }

    /// A collection is over. `bytes` tells what each memory category has.
    pub(super) fn collected(&mut self, bytes: impl Fn(u8) -> usize) {
        for (record, account) in self.records.iter().zip(&mut self.accounts) {
            if record.category > 0 {
                account.collected(bytes(record.category));
            }
        }
    }

    /// Those that have a memory category.
    pub(super) fn with_categories(&self) -> impl Iterator<Item = VmIndex> {
        let with_category = |(_, record): &(u32, &VmRecord)| record.category > 0;
        (0..).zip(&self.records).filter(with_category).map(|(index, _)| VmIndex(index))
    }

    pub(super) fn record(&self, index: VmIndex) -> &VmRecord {
        &self.records[index.at()]
    }

    pub(super) fn record_mut(&mut self, index: VmIndex) -> &mut VmRecord {
        &mut self.records[index.at()]
    }

    pub(super) fn account(&self, index: VmIndex) -> &VmAccount {
        &self.accounts[index.at()]
    }

    pub(super) fn account_mut(&mut self, index: VmIndex) -> &mut VmAccount {
        &mut self.accounts[index.at()]
    }

    pub(super) fn limits(&self, index: VmIndex) -> &Limits {
        &self.accounts[index.at()].limits
    }

    /// A generation that no key has.
    pub(super) fn next_generation(&self) -> u32 {
        self.records
            .iter()
            .map(|record| record.generation.wrapping_add(1))
            .max()
            .unwrap_or(self.first_generation)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn add(vms: &mut VmTable) -> VmKey {
        vms.add(Entity::PLACEHOLDER, Arc::default(), VirtualTime::MAX)
    }

    fn cpu(safepoints: u64, slices: u64) -> CpuUsage {
        CpuUsage { safepoints, slices, time: Duration::from_nanos(slices * 10) }
    }

    #[test]
    fn an_index_is_given_away_again_when_the_last_process_has_gone() {
        let mut vms = VmTable::new(3);
        let [a, b] = [add(&mut vms), add(&mut vms)];
        assert_eq!((a.generation, b.index.0, vms.len()), (3, 1, 2));
        vms.record_mut(a.index).live = 1;
        vms.remove(a);
        assert!(!vms.is_current(a) && vms.is_current(b));
        assert!(!vms.free_if_unused(a.index) && !vms.free_if_unused(b.index));
        vms.record_mut(a.index).process_ended(CpuUsage::default());
        assert!(!vms.free_if_unused(a.index), "its exit is not settled");
        assert!(matches!(vms.record_mut(a.index).exit_settled(), VmStatus::ProcessIsDone));
        assert!(vms.free_if_unused(a.index));
        assert_eq!((vms.len(), add(&mut vms).generation, vms.len()), (1, 4, 2));
        assert_eq!(vms.next_generation(), 5);
    }

    #[test]
    fn after_the_last_generation_they_begin_again() {
        let mut vms = VmTable::new(u32::MAX);
        let last = add(&mut vms);
        vms.remove(last);
        assert!(vms.free_if_unused(last.index));
        let first = add(&mut vms);
        assert_eq!((first.index, first.generation), (last.index, 0));
        assert!(vms.is_current(first) && !vms.is_current(last));
    }

    #[test]
    fn the_last_exit_settles_the_vm() {
        let mut vms = VmTable::new(0);
        let vm = add(&mut vms);
        let record = vms.record_mut(vm.index);
        record.live = 4;
        record.process_removed();
        record.process_ended(cpu(5, 1));
        assert!(matches!(record.exit_settled(), VmStatus::ProcessIsDone), "two live");
        record.process_ended(cpu(6, 2));
        record.process_ended(cpu(7, 3));
        assert!(matches!(record.exit_settled(), VmStatus::VmEndsLater));
        let VmStatus::VmIsDone(summary) = record.exit_settled() else { panic!("nobody is left") };
        assert_eq!((summary.processes, summary.cpu), (3, cpu(18, 6)));
        assert!(record.has_no_processes());
    }
}
