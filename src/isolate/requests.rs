//! Requests that leave an isolate, with who made them.

use bevy::prelude::*;

use super::Isolate;
use super::keys::RequestId;
use super::processes::ProcessOrigin;
use crate::luau::request::ExternalRequest;
#[cfg(feature = "ecs")]
use crate::luau::world::WorldChange;
use crate::types::Pid;

/// A request and whose it is.
#[derive(Debug)]
pub(crate) struct Posted<R> {
    pub(crate) id: RequestId,
    pub(crate) vm: Entity,
    pub(crate) process: Entity,
    pub(crate) pid: Pid,
    pub(crate) request: R,
}

impl<R> Posted<R> {
    /// The same process asks for something else.
    pub(crate) fn with<S>(self, request: S) -> Posted<S> {
        let Self { id, vm, process, pid, .. } = self;
        Posted { id, vm, process, pid, request }
    }
}

impl Isolate {
    /// Takes what scripts change in the world, in the order in which they asked for it.
    #[cfg(feature = "ecs")]
    pub(crate) fn take_changes(&mut self) -> Vec<WorldChange> {
        self.outbox.changes()
    }

    /// Gives back what they were in.
    #[cfg(feature = "ecs")]
    pub(crate) fn keep_buffer(&mut self, buffer: Vec<WorldChange>) {
        self.outbox.keep_buffer(buffer);
    }

    /// Takes what processes have asked others for, as far as it is wanted. `isolate` is the number of this one.
    pub(crate) fn take_requests(
        &mut self,
        isolate: u32,
        is_wanted: impl Fn(&ExternalRequest) -> bool,
        mut each: impl FnMut(Posted<()>, ExternalRequest),
    ) {
        for (wait, request) in self.outbox.take_requests(is_wanted) {
            if !self.waits.is_pending(wait) {
                continue; // its process has ended, or its task was cancelled
            }
            #[cfg(feature = "save")]
            self.waits.repeats.posted(wait);
            let index = wait.process.index;
            let ProcessOrigin { process, pid, .. } = self.processes.origin(index);
            let vm = self.vms.record(self.processes[index].vm).vm;
            each(Posted { id: RequestId { isolate, wait }, vm, process, pid, request: () }, request);
        }
    }
}
