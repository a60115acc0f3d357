//! What stands behind the globals of processes: a base for each set of libraries of the game that some VM has.

use super::host_functions::LibrarySet;
use super::stack::Reference;

/// A base.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    pub(super) table: Reference,
    /// The metatable of the environments before it.
    pub(super) environment: Reference,
}

/// The bases of a state.
#[derive(Debug, Default)]
pub(super) struct Bases(Vec<(LibrarySet, Base)>);

impl Bases {
    /// That with some libraries.
    pub(super) fn find(&self, set: LibrarySet) -> Option<Base> {
        self.0.iter().find(|(other, _)| *other == set).map(|&(_, base)| base)
    }

    /// That before which environments with a metatable are.
    #[cfg(feature = "save")]
    pub(super) fn with_environment(&self, environment: Reference) -> Option<Base> {
        self.0.iter().map(|&(_, base)| base).find(|base| base.environment == environment)
    }

    pub(super) fn insert(&mut self, set: LibrarySet, base: Base) {
        self.0.push((set, base));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The metatable of environments before the first, which has only what all scripts have.
    pub(super) fn first_environment(&self) -> Reference {
        self.0.first().map_or(Reference::NONE, |(_, base)| base.environment)
    }
}
