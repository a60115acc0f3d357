//! Where processes and VMs live.

use crate::isolate::{ProcessKey, VmKey};

/// Where a process lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessHandle {
    pub(crate) isolate: u32,
    pub(crate) key: ProcessKey,
}

/// Where a VM lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmHandle {
    pub(crate) isolate: u32,
    pub(crate) key: VmKey,
}
