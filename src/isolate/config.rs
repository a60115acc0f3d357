//! What isolates need to know to run.

use std::time::Duration;

use crate::luau::world::WorldRef;
use crate::types::{Deadline, Share};

/// A slice of one safepoint gets nowhere: the one at which a thread broke is passed again.
pub(crate) const MIN_QUANTUM: u32 = 2;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(crate) struct IsolateConfig {
    pub(crate) quantum: u32,
    pub(crate) share: Share,
    pub(crate) syscall_timeout: Duration,
    pub(crate) seed: u64,
    /// What the game's calendar shows at the start of virtual time, since 1970.
    pub(crate) epoch: Duration,
    /// Whether two runs must give the same results.
    pub(crate) repeatable: bool,
    /// Whether each VM has a memory category of its own.
    pub(crate) exact_memory: bool,
    /// Whether VMs are held to their limits.
    pub(crate) limits: bool,
    /// Whether the error of a task ends its process.
    pub(crate) ends_on_task_error: bool,
}

/// What isolates need to know of the tick under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickTime<'w> {
    pub(crate) number: u32,
    /// Virtual time.
    pub(crate) now: Duration,
    /// When the phase under way has to stop.
    pub(crate) deadline: Deadline,
    /// Passes over an isolate that follow each other, at most.
    pub(crate) passes: u32,
    /// What scripts may look at meanwhile.
    pub(crate) world: WorldRef<'w>,
}
