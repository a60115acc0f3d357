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

    /// Returns where the answers go.
    ///
    /// # Panics
    ///
    /// As [`HostRegistry::add_function`].
    #[track_caller]
    pub(crate) fn add_syscall(&mut self, path: &str, parser: Parser) -> Inbox {
        let entry = Entry::Syscall {
            number: self.syscalls,
            parser,
            #[cfg(feature = "save")]
            repeats: false,
        };
        self.functions.add(path, entry);
        self.syscalls += 1;
        self.inbox.clone()
    }

    /// # Panics
    ///
    /// When there is no such syscall, and when an isolate is open.
    #[cfg(feature = "save")]
    #[track_caller]
    pub(crate) fn repeat_syscall(&mut self, path: &str) {
        assert!(
            self.functions.repeat_syscall(path),
            "repeat_syscall({path:?}): add such a syscall before, and call this before the first process starts"
        );
    }
}
