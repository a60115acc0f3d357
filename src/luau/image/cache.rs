//! What a state remembers from one image to the next, of VMs with the same base.

use bevy::platform::collections::HashMap;

use super::heap::Heap;
use super::names::Names;
use super::programs::{KnownCode, Part, ProgramParts};
use crate::luau::bases::Base;
use crate::luau::stack::{Reference, Stack};

/// See the [module](self).
#[derive(Default)]
pub(in crate::luau) struct ImageCache {
    pub(super) names: Names,
    /// The drivers that have been loaded, with their numbers.
    pub(super) drivers: Vec<(usize, Part)>,
    /// By their main functions.
    pub(super) programs: HashMap<Reference, ProgramParts>,
    pub(super) known: KnownCode,
}

// SAFETY: its addresses are those of objects of the state that has it.
unsafe impl Send for ImageCache {}
// SAFETY: as above. Nothing of it changes behind a shared reference.
unsafe impl Sync for ImageCache {}

impl ImageCache {
    /// Sees to it that it knows what there is, in a protected call.
    pub(super) fn refresh(&mut self, stack: &mut Stack<'_>, heap: &Heap, base: Base) {
        if !self.names.is_complete() {
            self.names = Names::of(stack, heap, base);
            debug_assert!(
                self.names.is_complete(),
                "two of our functions have the same address, or one is missing"
            );
        }
        self.names.refresh(stack, heap);
        self.find_drivers(heap);
    }

    pub(super) fn find_drivers(&mut self, heap: &Heap) {
        for (number, main) in self.names.loaded_drivers() {
            if self.drivers.iter().all(|(known, _)| *known != number) {
                self.drivers.push((number, Part::of(heap, main, 0)));
            }
        }
    }

    /// A program is not loaded any more.
    pub(in crate::luau) fn forget_programs(&mut self) {
        self.programs.clear();
        self.known.clear();
    }
}
