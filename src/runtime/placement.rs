//! Which isolate gets the next VM.

use std::collections::VecDeque;

use super::isolates::Isolates;
use crate::isolate::Isolate;

/// VMs are dealt out to isolates in turns, so that all workers get some.
#[derive(Debug)]
pub(super) struct Placement {
    vms_per_isolate: usize,
    /// Isolates are opened so many at a time.
    at_a_time: usize,
    /// Isolates that may take a VM, in the order in which they get the next one.
    with_capacity: VecDeque<u32>,
    /// Which isolates are in `with_capacity`.
    has_capacity: Vec<bool>,
    /// Isolates that have lost their last VM, longest ago first. They may have others by now.
    emptied: VecDeque<u32>,
}

impl Placement {
    pub(super) fn new(vms_per_isolate: usize, at_a_time: usize) -> Self {
        Self {
            vms_per_isolate,
            at_a_time,
            with_capacity: VecDeque::new(),
            has_capacity: Vec::new(),
            emptied: VecDeque::new(),
        }
    }

    /// The isolate for the next VM. Where all are full, new ones are opened.
    pub(super) fn choose(&mut self, isolates: &mut Isolates, open: impl Fn() -> Isolate) -> u32 {
        loop {
            let Some(isolate) = self.with_capacity.pop_front() else {
                for _ in 0..self.at_a_time {
                    self.with_capacity.push_back(isolates.len() as u32);
                    self.has_capacity.push(true);
                    isolates.push(open());
                }
                continue;
            };
            if isolates[isolate].vms() < self.vms_per_isolate {
                self.with_capacity.push_back(isolate);
                return isolate;
            }
            self.has_capacity[isolate as usize] = false;
        }
    }

    /// An isolate may have lost VMs.
    pub(super) fn update(&mut self, isolate: u32, vms: usize) {
        let has_capacity = &mut self.has_capacity[isolate as usize];
        if !*has_capacity && vms < self.vms_per_isolate {
            *has_capacity = true;
            self.with_capacity.push_back(isolate);
        }
    }

    /// An isolate has lost its last VM. Returns one to be closed: as many empty ones as are opened at a time stay for VMs to
    /// come.
    pub(super) fn emptied(&mut self, isolate: u32) -> Option<u32> {
        self.emptied.push_back(isolate);
        if self.emptied.len() > self.at_a_time { self.emptied.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bevy::prelude::*;

    use super::*;
    use crate::isolate::{IsolateConfig, VmKey};
    use crate::luau::HostFunctions;

    fn open() -> Isolate {
        let config = IsolateConfig {
            quantum: 2,
            share: Default::default(),
            syscall_timeout: Duration::ZERO,
            seed: 0,
            epoch: Duration::ZERO,
            repeatable: false,
            exact_memory: true,
            limits: true,
            ends_on_task_error: false,
        };
        Isolate::new(config, HostFunctions::default())
    }

    fn place(placement: &mut Placement, isolates: &mut Isolates) -> (u32, VmKey) {
        let isolate = placement.choose(isolates, open);
        let vm = isolates.get_mut(isolate).add_vm(Entity::PLACEHOLDER, default(), Duration::ZERO);
        (isolate, vm)
    }

    #[test]
    fn vms_take_turns_and_full_isolates_are_left_out_until_one_leaves() {
        let (mut placement, mut isolates) = (Placement::new(2, 2), Isolates::default());
        let placed: Vec<_> = (0..6).map(|_| place(&mut placement, &mut isolates)).collect();
        assert_eq!(placed.iter().map(|vm| vm.0).collect::<Vec<_>>(), [0, 1, 0, 1, 2, 3]);
        isolates.get_mut(1).remove_vm(placed[1].1);
        for isolate in 0..4 {
            placement.update(isolate, isolates[isolate].vms());
        }
        let next: Vec<_> = (0..4).map(|_| place(&mut placement, &mut isolates).0).collect();
        assert_eq!(next, [2, 3, 1, 4]);
    }

    #[test]
    fn a_few_empty_isolates_stay_open() {
        let mut placement = Placement::new(2, 2);
        assert_eq!([5, 3, 8, 5].map(|isolate| placement.emptied(isolate)), [None, None, Some(5), Some(3)]);
    }
}
