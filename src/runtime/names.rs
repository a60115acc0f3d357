//! Which VM has which lasting name.

use bevy::platform::collections::HashMap;
use bevy::platform::collections::hash_map::Entry;
use bevy::prelude::*;

use crate::random;
use crate::types::VmId;

/// The lasting names of the VMs that have an isolate.
#[derive(Debug, Default)]
pub(super) struct VmNames {
    seed: u64,
    drawn: u64,
    vms: HashMap<VmId, Entity>,
}

impl VmNames {
    /// Names are drawn from a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Names a VM: as the game wants it, or with a name that nobody guesses who does not know the seed.
    pub(super) fn name(&mut self, vm: Entity, wanted: Option<VmId>) -> VmId {
        if let Some(id) = wanted {
            match self.vms.get(&id) {
                Some(&other) if other != vm => warn!("VM {vm} cannot be named {id}: that is VM {other}"),
                _ => {
                    self.vms.insert(id, vm);
                    return id;
                }
            }
        }
        loop {
            self.drawn += 1;
            let id = VmId(random::derive(self.seed, ("vm", self.drawn)));
            if let Entry::Vacant(free) = self.vms.entry(id) {
                free.insert(vm);
                return id;
            }
        }
    }

    /// A VM goes.
    pub(super) fn forget(&mut self, id: VmId, vm: Entity) {
        // One search, not two: among hundreds of thousands each waits for memory.
        if let Entry::Occupied(named) = self.vms.entry(id)
            && *named.get() == vm
        {
            named.remove();
        }
    }

    /// The VM with a name.
    pub(super) fn find(&self, id: VmId) -> Option<Entity> {
        self.vms.get(&id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(index: u32) -> Entity {
        Entity::from_raw_u32(index).expect("small")
    }

    #[test]
    fn names_are_the_games_or_drawn_from_the_seed_and_nobody_elses() {
        let (mut names, mut again, mut other) = (VmNames::new(1), VmNames::new(1), VmNames::new(2));
        let drawn = [1, 2, 3].map(|index| names.name(vm(index), None));
        assert_eq!(drawn, [7, 8, 9].map(|index| again.name(vm(index), None)), "not from the entity");
        assert!(drawn[0] != drawn[1] && drawn[0] != other.name(vm(1), None));
        assert_eq!(names.name(vm(4), Some(VmId(7))), VmId(7));
        assert_eq!(names.name(vm(4), Some(VmId(7))), VmId(7), "it is placed again");
        assert_ne!(names.name(vm(5), Some(VmId(7))), VmId(7), "it is taken");
        names.forget(VmId(7), vm(5));
        assert_eq!(names.find(VmId(7)), Some(vm(4)));
        names.forget(VmId(7), vm(4));
        assert_eq!((names.find(VmId(7)), names.name(vm(5), Some(VmId(7)))), (None, VmId(7)));
    }
}
