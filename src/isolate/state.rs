//! The Luau state of an isolate, with what belongs to it.

use super::categories::Categories;
use super::loaded::LoadedScripts;
use crate::luau::{HostFunctions, LuauState};
use crate::types::ScriptError;

/// An open Luau state. It has an isolate, or waits for one.
///
/// To open one takes the time of some hundred short processes, and 160 KiB that are written to. So an isolate whose
/// processes have all ended while they started gives its state back, for the next isolate that starts some. Hundreds of
/// thousands of processes that come and go run in a few states, which stay in the processor's caches.
pub(crate) struct OpenState {
    pub(super) luau: LuauState,
    pub(super) scripts: LoadedScripts,
    pub(super) categories: Categories,
    /// Bytes of objects when it was opened.
    pub(super) empty_bytes: usize,
}

impl OpenState {
    /// # Errors
    ///
    /// When there is not enough memory.
    pub(super) fn open(host: HostFunctions, seed: Option<u64>) -> Result<Self, ScriptError> {
        let luau = LuauState::open(host, seed)?;
        Ok(Self {
            empty_bytes: luau.object_bytes(),
            luau,
            scripts: LoadedScripts::default(),
            categories: Categories::default(),
        })
    }

    /// Bytes in use, garbage included.
    pub(crate) fn bytes(&self) -> usize {
        self.luau.bytes()
    }
}
