//! What the game has registered for its scripts to call.

use std::time::Duration;

use bevy::prelude::*;

use super::requests::Inbox;
#[cfg(feature = "ecs")]
use crate::luau::FOR_ALL;
use crate::luau::{BoxedFunction, Entry, HostFunctions, Parser, SyscallEntry};
use crate::script::Script;
use crate::value::Value;

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
    pub(crate) fn add_function(&mut self, library: usize, path: &str, function: BoxedFunction) {
        self.functions.add(library, path, Entry::Function(function));
    }

    /// A function that looks at the world, by its number among those.
    ///
    /// # Panics
    ///
    /// As [`HostRegistry::add_function`].
    #[cfg(feature = "ecs")]
    pub(crate) fn add_world_function(&mut self, path: &str, number: usize) {
        self.functions.add(FOR_ALL, path, Entry::World(number));
    }

    /// Returns where the answers go.
    ///
    /// # Panics
    ///
    /// As [`HostRegistry::add_function`].
    #[track_caller]
    pub(crate) fn add_syscall(&mut self, library: usize, path: &str, parser: Parser) -> Inbox {
        let syscall = SyscallEntry {
            number: self.syscalls,
            parser,
            timeout: None,
            #[cfg(feature = "save")]
            repeats: false,
        };
        self.functions.add(library, path, Entry::Syscall(syscall));
        self.syscalls += 1;
        self.inbox.clone()
    }

    /// # Panics
    ///
    /// When there is no such syscall, and when an isolate is open.
    #[track_caller]
    pub(crate) fn set_timeout(&mut self, library: usize, path: &str, timeout: Duration) {
        self.functions.set_timeout(library, path, timeout);
    }

    /// # Panics
    ///
    /// As [`HostRegistry::add_function`], and when scripts could change the value.
    #[track_caller]
    pub(crate) fn add_constant(&mut self, library: usize, path: &str, value: Value) {
        self.functions.add_constant(library, path, value);
    }

    /// # Panics
    ///
    /// When the script does not compile or requires something, and when an isolate is open.
    #[track_caller]
    pub(crate) fn add_prelude(&mut self, library: usize, script: Script) {
        self.functions.add_prelude(library, script);
    }

    /// The number of the library with a name, which is made if there is none.
    ///
    /// # Panics
    ///
    /// When an isolate is open, or there are too many.
    #[track_caller]
    pub(crate) fn library(&mut self, name: &str) -> usize {
        self.functions.library(name)
    }

    /// # Panics
    ///
    /// When there is no such syscall, and when an isolate is open.
    #[cfg(feature = "save")]
    #[track_caller]
    pub(crate) fn repeat_syscall(&mut self, path: &str) {
        self.functions.repeat_syscall(path);
    }
}
