//! What the game has registered for its scripts to call.

use bevy::prelude::*;

use super::requests::Inbox;
use crate::luau::{BoxedFunction, Entry, HostFunctions, Parser};

/// The host functions and syscalls of an app. A resource until the runtime is there, which takes it over.
#[derive(Resource, Default)]
pub(crate) struct HostRegistry {
    pub(super) functions: HostFunctions,
    /// How many syscalls there are.
    pub(super) syscalls: usize,
    /// Answers to them.
    pub(super) inbox: Inbox,
}

impl HostRegistry {
    /// # Panics
    ///
    /// When `path` is not a name or taken, and when an isolate is open.
    #[track_caller]
    pub(crate) fn add_function(&mut self, path: &str, function: BoxedFunction) {
        self.functions.add(path, Entry::Function(function));
    }

    /// A function that looks at the world, by its number among those.
    ///
    /// # Panics
    ///
    /// As [`HostRegistry::add_function`].
    #[cfg(feature = "ecs")]
    pub(crate) fn add_world_function(&mut self, path: &str, number: usize) {
        self.functions.add(path, Entry::World(number));
    }

    /// Returns where the answers go.
    ///
    /// # Panics
    ///
    /// As [`HostRegistry::add_function`].
    #[track_caller]
    pub(crate) fn add_syscall(&mut self, path: &str, parser: Parser) -> Inbox {
        self.functions.add(path, Entry::Syscall(self.syscalls, parser));
        self.syscalls += 1;
        self.inbox.clone()
    }
}
