//! Where processes and VMs are kept inside an isolate. Its tables and those of its Luau state have the same indices.

/// Where an isolate and its Luau state keep a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProcessIndex(pub(crate) u32);

/// Where an isolate and its Luau state keep a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct VmIndex(pub(crate) u32);

impl ProcessIndex {
    /// Its position in tables by process.
    #[inline]
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

impl VmIndex {
    /// Its position in tables by VM.
    #[inline]
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}
