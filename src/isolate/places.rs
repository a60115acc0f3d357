//! The places of an isolate: one for each of its VMs.

use std::sync::Arc;
use std::time::Duration;

use bevy::prelude::*;

use super::Isolate;
use super::limits::VmAccount;
use crate::console::ConsoleBuffer;
use crate::types::CpuUsage;
use crate::types::Limits;
use crate::types::VirtualTime;

/// Where a VM lives on an isolate.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) vm: Entity,
    pub(super) spawned_at: VirtualTime,
    /// What ended processes used.
    pub(super) cpu: CpuUsage,
    /// Processes ended so far.
    pub(super) ended: u32,
    /// Admitted processes that have not ended.
    pub(super) live: u32,
    /// Ended processes that the ECS has not been told of.
    pub(super) unsettled: u32,
    pub(super) generation: u32,
    pub(super) vm_is_gone: bool,
    /// What the VM's threads are charged to, or 0 while it has none.
    pub(super) category: u8,
    pub(super) console: Option<Box<ConsoleBuffer>>,
}

/// A place as it was at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlaceId {
    pub(super) place: u32,
    pub(super) generation: u32,
}

impl PlaceId {
    pub(crate) fn place(self) -> u32 {
        self.place
    }
}

impl Isolate {
    /// How many VMs live here.
    pub(crate) fn vms(&self) -> usize {
        self.places.len() - self.free_places.len()
    }

    /// Gives a VM its place.
    pub(crate) fn add_vm(&mut self, vm: Entity, limits: Arc<Limits>, spawned_at: Duration) -> PlaceId {
        let new = |generation| Place {
            vm,
            spawned_at: spawned_at.into(),
            cpu: CpuUsage::default(),
            ended: 0,
            live: 0,
            unsettled: 0,
            generation,
            vm_is_gone: false,
            category: 0,
            console: None,
        };
        if let Some(place) = self.free_places.pop() {
            let old = &mut self.places[place as usize];
            *old = new(old.generation);
            self.accounts[place as usize] = VmAccount::new(limits);
            return PlaceId { place, generation: old.generation };
        }
        self.places.push(new(self.first_generation));
        self.accounts.push(VmAccount::new(limits));
        PlaceId { place: self.places.len() as u32 - 1, generation: self.first_generation }
    }

    /// Changes what a VM may use.
    pub(crate) fn set_limits(&mut self, id: PlaceId, limits: Arc<Limits>) {
        if self.place_is_current(id) {
            self.accounts[id.place as usize].set_limits(limits);
        }
    }

    /// Forgets a VM. Its place is free again when the last of its processes has gone.
    pub(crate) fn remove_vm(&mut self, id: PlaceId) {
        if !self.place_is_current(id) {
            return;
        }
        let place = &mut self.places[id.place as usize];
        place.generation += 1;
        place.console = None;
        place.vm_is_gone = true;
        self.free_place_if_unused(id.place);
    }

    pub(super) fn free_place_if_unused(&mut self, place: u32) {
        let Place { vm_is_gone, live, unsettled, .. } = self.places[place as usize];
        if vm_is_gone && live == 0 && unsettled == 0 {
            self.subscribers.forget_place(place);
            self.free_places.push(place);
        }
    }

    /// Whether a VM still lives in the place that it was given.
    pub(crate) fn place_is_current(&self, id: PlaceId) -> bool {
        self.places.get(id.place as usize).is_some_and(|place| place.generation == id.generation)
    }

    /// Bytes that a VM's objects take, garbage included; `None` where VMs are not told apart.
    pub(crate) fn vm_bytes(&self, id: PlaceId) -> Option<usize> {
        if !self.place_is_current(id) || !self.config.exact_memory {
            return None;
        }
        match (self.places[id.place as usize].category, &self.state) {
            (0, _) | (_, None) => Some(0),
            (category, Some(state)) => Some(state.category_bytes(category)),
        }
    }
}
