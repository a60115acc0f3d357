//! What is in the container of a save: scripts, limits, and VMs.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::save::{LoadError, SaveKey, decode, encode, open, seal};
use crate::script::Script;
use crate::script::saved::{SavedScript, scripts};
use crate::types::{Limits, VmId};

/// What is written. VMs name scripts and limits by their numbers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Content<'a> {
    pub(super) scripts: Vec<SavedScript>,
    pub(super) limits: Vec<Limits>,
    #[serde(borrow)]
    pub(super) vms: Vec<SavedVm<'a>>,
}

/// What the ECS knows of a VM.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedVm<'a> {
    pub(super) id: u64,
    /// The last PID, and whether they have begun again.
    pub(super) pids: (u32, bool),
    pub(super) is_persistent: bool,
    pub(super) is_suspended: bool,
    pub(super) limits: u32,
    /// The names of its libraries.
    pub(super) libraries: Vec<Box<str>>,
    /// What it has printed and nobody has taken, and how much was dropped.
    pub(super) console: Option<(Box<str>, u64)>,
    /// The names of processes that have one of their own, by their PIDs.
    pub(super) names: Vec<(u32, Box<str>)>,
    /// What its isolate has written.
    #[serde(borrow)]
    pub(super) isolate: &'a [u8],
}

/// A container that was opened.
#[derive(Debug)]
pub(crate) struct Archive {
    bytes: Arc<[u8]>,
    pub(super) scripts: Vec<Script>,
    pub(super) limits: Vec<Arc<Limits>>,
    pub(super) vms: Vec<Entry>,
}

/// A VM in a container.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: VmId,
    pub(super) pids: (u32, bool),
    pub(super) is_persistent: bool,
    pub(super) is_suspended: bool,
    pub(super) limits: usize,
    pub(super) libraries: Vec<Box<str>>,
    pub(super) console: Option<(Box<str>, u64)>,
    pub(super) names: Vec<(u32, Box<str>)>,
    isolate: Range<usize>,
}

/// A container with some content.
pub(super) fn write(content: &Content<'_>, key: Option<&SaveKey>) -> Arc<[u8]> {
    seal(&encode(content), key).into()
}

impl Archive {
    /// Reads all of a container but what isolates have written.
    pub(super) fn read(bytes: &Arc<[u8]>) -> Result<Self, LoadError> {
        let at = open(bytes, None)?;
        let content: Content<'_> = decode(&bytes[at..], at)?;
        let scripts = scripts(content.scripts)
            .map_err(|(number, reason)| LoadError::new(at, format!("script {number}: {reason}")))?;
        let limits: Vec<Arc<Limits>> = content.limits.into_iter().map(Arc::new).collect();
        let start = bytes.as_ptr().addr();
        let entry = |vm: SavedVm<'_>| {
            let isolate = vm.isolate.as_ptr().addr() - start;
            if vm.limits as usize >= limits.len() {
                return Err(LoadError::new(isolate, "there are no such limits"));
            }
            Ok(Entry {
                id: VmId(vm.id),
                pids: vm.pids,
                is_persistent: vm.is_persistent,
                is_suspended: vm.is_suspended,
                limits: vm.limits as usize,
                libraries: vm.libraries,
                console: vm.console,
                names: vm.names,
                isolate: isolate..isolate + vm.isolate.len(),
            })
        };
        let vms = content.vms.into_iter().map(entry).collect::<Result<_, _>>()?;
        Ok(Self { bytes: bytes.clone(), scripts, limits, vms })
    }

    /// What the isolate of a VM has written, and where that begins.
    pub(super) fn of_isolate(&self, vm: usize) -> (&[u8], usize) {
        let range = self.vms[vm].isolate.clone();
        (&self.bytes[range.clone()], range.start)
    }
}
