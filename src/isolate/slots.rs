//! The slots of an isolate: one for each of its processes.
//!
//! What every slice reads and writes is apart from what only a start or an end needs: with hundreds of thousands of
//! processes a slice waits for each line of memory that it touches.

use std::ops::{Index, IndexMut};

use bevy::prelude::*;

use crate::luau::NORMAL_PRIORITY;
use crate::types::CpuUsage;
use crate::types::ProcessIndex;
use crate::types::ProcessState;
use crate::types::VirtualTime;

/// A slot as it was at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl SlotId {
    pub(super) fn thread(self) -> ProcessIndex {
        ProcessIndex(self.slot)
    }
}

/// A process of an isolate, as its slices see it. A slot also is the place of its thread in the Luau state.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) safepoints: u64,
    pub(super) slices: u32,
    /// Its VM's.
    pub(super) place: u32,
    /// Counts the processes that had this slot, so that handles and queue entries can go stale.
    pub(super) generation: u32,
    pub(super) state: ProcessState,
    /// The memory category that its thread is charged to.
    pub(super) category: u8,
    pub(super) is_suspended: bool,
    /// Factor on the quantum, in sixteenths.
    pub(super) priority: u8,
}

impl Slot {
    fn new(place: u32, generation: u32) -> Self {
        Self {
            safepoints: 0,
            slices: 0,
            place,
            generation,
            state: ProcessState::Runnable,
            category: 0,
            is_suspended: false,
            priority: NORMAL_PRIORITY,
        }
    }

    pub(super) fn cpu(&self) -> CpuUsage {
        CpuUsage { safepoints: self.safepoints, slices: self.slices.into() }
    }
}

/// Who has a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) process: Entity,
    pub(super) spawned_at: VirtualTime,
    pub(super) pid: u32,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    /// By slot.
    identities: Vec<Identity>,
    /// The last one that was freed is taken first.
    free: Vec<u32>,
    first_generation: u32,
}

impl Slots {
    /// Without slots. New ones start with a generation.
    pub(super) fn new(first_generation: u32) -> Self {
        Self { slots: Vec::new(), identities: Vec::new(), free: Vec::new(), first_generation }
    }

    /// Gives a process of a VM a slot.
    pub(super) fn insert(&mut self, identity: Identity, place: u32) -> SlotId {
        let Some(slot) = self.free.pop() else {
            self.slots.push(Slot::new(place, self.first_generation));
            self.identities.push(identity);
            return SlotId { slot: self.slots.len() as u32 - 1, generation: self.first_generation };
        };
        let generation = self[slot].generation;
        self[slot] = Slot::new(place, generation);
        self.identities[slot as usize] = identity;
        SlotId { slot, generation }
    }

    /// Makes a slot free for another process.
    pub(super) fn free(&mut self, slot: u32) {
        self[slot].generation += 1;
        self.free.push(slot);
    }

    /// The process that was given this slot then, if it has not been freed.
    pub(super) fn get(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)
    }

    /// See [`Slots::get`].
    pub(super) fn get_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)
    }

    /// As [`Slots::get`], unless the process has ended.
    pub(super) fn live(&self, id: SlotId) -> Option<&Slot> {
        self.get(id).filter(|slot| !slot.state.has_ended())
    }

    /// See [`Slots::live`].
    pub(super) fn live_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.get_mut(id).filter(|slot| !slot.state.has_ended())
    }

    /// Who has, or had last, a slot.
    pub(super) fn identity(&self, slot: u32) -> Identity {
        self.identities[slot as usize]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The generations of all slots.
    pub(super) fn generations(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().map(|slot| slot.generation)
    }

    /// All slots.
    pub(super) fn as_slice(&self) -> &[Slot] {
        &self.slots
    }

    /// All slots.
    pub(super) fn as_mut_slice(&mut self) -> &mut [Slot] {
        &mut self.slots
    }
}

impl Index<u32> for Slots {
    type Output = Slot;

    fn index(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }
}

impl IndexMut<u32> for Slots {
    fn index_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(pid: u32) -> Identity {
        Identity { process: Entity::PLACEHOLDER, spawned_at: VirtualTime::MAX, pid }
    }

    #[test]
    fn a_freed_slot_is_given_away_again_and_old_ids_go_stale() {
        let mut slots = Slots::new(7);
        let [a, b] = [1, 2].map(|pid| slots.insert(identity(pid), 0));
        assert_eq!((a.slot, b.slot, a.generation), (0, 1, 7));
        slots.free(a.slot);
        slots.free(b.slot);
        assert!(slots.get(a).is_none() && slots.get_mut(b).is_none());
        let [c, d, e] = [3, 4, 5].map(|pid| slots.insert(identity(pid), 1));
        assert_eq!((c.slot, d.slot, e.slot), (1, 0, 2), "the last one first, then a new one");
        assert_eq!((c.generation, e.generation), (8, 7));
        assert_eq!((slots.identity(0).pid, slots[1].place), (4, 1));
        assert_eq!(slots.generations().collect::<Vec<_>>(), [8, 8, 7]);
    }

    #[test]
    fn one_that_has_ended_keeps_its_slot_until_that_is_freed() {
        let mut slots = Slots::new(0);
        let id = slots.insert(identity(1), 0);
        assert!(slots.live(id).is_some());
        slots[id.slot].state = ProcessState::Killed;
        assert!(slots.live(id).is_none() && slots.live_mut(id).is_none() && slots.get(id).is_some());
    }

    #[test]
    fn what_a_slice_needs_is_small() {
        assert!(size_of::<Slot>() <= 24, "{}", size_of::<Slot>());
    }

    #[test]
    fn what_a_process_keeps_is_small() {
        assert!(size_of::<Identity>() <= 24, "{}", size_of::<Identity>());
    }
}
