//! Names of what an isolate keeps that whoever remembers them can check later.
//!
//! An index is used again when what was kept there has gone. A key is an index and a generation: how many others had
//! the index before. [`ProcessTable`](super::processes::ProcessTable) and [`VmTable`](super::vms::VmTable) check it.

use crate::luau::TaskId;
use crate::types::{ProcessIndex, VmIndex};

/// A process. It goes stale when the process is removed or starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProcessKey {
    pub(super) index: ProcessIndex,
    pub(super) generation: u32,
}

impl ProcessKey {
    /// No process: there are fewer.
    pub(super) const NONE: Self = Self { index: ProcessIndex(u32::MAX), generation: 0 };
}

/// A VM. It goes stale when the VM is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VmKey {
    pub(super) index: VmIndex,
    pub(super) generation: u32,
}

/// One wait of one task. Numbers are never used twice, so it goes stale when the wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WaitId {
    /// Waits on the isolate up to this one.
    pub(super) number: u64,
    pub(crate) process: ProcessKey,
    pub(super) task: TaskId,
}

/// A request that waits for its reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestId {
    /// The number of the isolate.
    pub(crate) isolate: u32,
    pub(crate) wait: WaitId,
}
