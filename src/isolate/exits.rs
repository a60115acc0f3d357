//! What an isolate has to tell the ECS: processes that have ended, lines that were printed.

use std::collections::VecDeque;
use std::time::Duration;

use bevy::prelude::*;

use super::slots::Identity;
use super::{Isolate, Place, SlotId};
use crate::console::ConsoleBuffer;
use crate::types::Pid;
use crate::types::{CpuUsage, Outcome};

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) process: Entity,
    /// Which process of that entity: it may have been given another one since.
    pub(crate) slot: SlotId,
    pub(crate) vm: Entity,
    pub(crate) pid: Pid,
    pub(crate) spawned_at: Duration,
    pub(crate) cpu: CpuUsage,
    pub(crate) outcome: Outcome,
    pub(crate) vm_status: VmStatus,
}

/// What an exit leaves to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum VmStatus {
    /// Other processes of the VM run on: the process is despawned.
    ProcessIsDone,
    /// The VM's other processes have ended, too, and a later exit will deal with all of them.
    VmEndsLater,
    /// The VM has no process left, running or to be reported.
    VmIsDone(VmSummary),
}

/// What is known of a VM whose processes have all ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmSummary {
    pub(crate) processes: u32,
    pub(crate) spawned_at: Duration,
    pub(crate) cpu: CpuUsage,
}

const USUAL_OUTCOME: Outcome = Outcome::Finished(Vec::new());

impl Isolate {
    /// Ends a process. Its slot is taken until [`Isolate::take_exit`]; its thread is still to be dropped.
    pub(super) fn end(&mut self, slot_index: u32, outcome: Outcome) {
        let slot = &mut self.slots[slot_index];
        slot.state = outcome.state();
        let place = &mut self.places[slot.place as usize];
        place.live -= 1;
        self.live -= 1;
        place.unsettled += 1;
        place.ended += 1;
        place.cpu += slot.cpu();
        self.exits.push_back(slot_index);
        if outcome != USUAL_OUTCOME {
            self.outcomes.insert(slot_index, outcome);
        }
    }

    /// Whether exits wait to be taken.
    pub(crate) fn has_exits(&self) -> bool {
        !self.exits.is_empty()
    }

    /// Takes the exit that has waited longest.
    pub(crate) fn take_exit(&mut self) -> Option<Exit> {
        let slot_index = self.exits.pop_front()?;
        if self.exits.is_empty() {
            self.exits = VecDeque::new(); // it may have been long
        }
        let slot = &self.slots[slot_index];
        let Identity { process, spawned_at, pid } = self.slots.identity(slot_index);
        let place = &mut self.places[slot.place as usize];
        place.unsettled -= 1;
        let vm_status = match *place {
            Place { vm_is_gone: true, .. } | Place { live: 1.., .. } => VmStatus::ProcessIsDone,
            Place { unsettled: 1.., .. } => VmStatus::VmEndsLater,
            Place { ended: processes, spawned_at, cpu, .. } => {
                VmStatus::VmIsDone(VmSummary { processes, spawned_at: spawned_at.into(), cpu })
            }
        };
        let exit = Exit {
            process,
            slot: SlotId { slot: slot_index, generation: slot.generation },
            vm: place.vm,
            pid: Pid(pid.try_into().expect("PIDs start at 1")),
            spawned_at: spawned_at.into(),
            cpu: slot.cpu(),
            outcome: self.outcomes.remove(&slot_index).unwrap_or(USUAL_OUTCOME),
            vm_status,
        };
        let place = slot.place;
        self.announce_end(place, exit.pid.get(), &exit.outcome);
        self.free_slot(slot_index);
        Some(exit)
    }

    /// Takes a VM whose last process was removed.
    pub(crate) fn take_vms_without_processes(&mut self) -> Option<(Entity, VmSummary)> {
        loop {
            let place = &self.places[self.vms_without_processes.pop()? as usize];
            let Place { vm, live, unsettled, vm_is_gone, ended: processes, cpu, .. } = *place;
            if live == 0 && unsettled == 0 && !vm_is_gone {
                let spawned_at = place.spawned_at.into();
                return Some((vm, VmSummary { processes, spawned_at, cpu }));
            }
        }
    }

    /// Whether some VM may have printed something.
    pub(crate) fn has_printed(&self) -> bool {
        !self.printed.is_empty()
    }

    /// Takes what the processes of one VM have printed.
    pub(crate) fn take_printed(&mut self) -> Option<(Entity, ConsoleBuffer)> {
        loop {
            let place = &mut self.places[self.printed.pop()? as usize];
            if let Some(console) = place.console.take() {
                return Some((place.vm, *console));
            }
        }
    }
}
