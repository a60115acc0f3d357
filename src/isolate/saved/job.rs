//! What an isolate has to write down.

use bevy::platform::collections::HashMap;

use super::super::keys::{ProcessKey, VmKey, WaitId};
use super::super::start::Start;
use crate::luau::request::KernelRequest;
use crate::script::Script;

/// A VM that is to be saved.
pub(crate) struct SaveJob<'a> {
    pub(crate) vm: VmKey,
    /// The scripts of its admitted processes, with their numbers in the save.
    pub(crate) scripts: HashMap<ProcessKey, (u32, Script)>,
    /// Its processes that were not admitted.
    pub(crate) newcomers: Vec<SavedNewcomer<'a>>,
    /// What its processes have asked the kernel for and is not in the isolate any more.
    pub(crate) requests: Vec<(WaitId, &'a KernelRequest)>,
}

/// A process that was not admitted.
pub(crate) struct SavedNewcomer<'a> {
    pub(crate) script: (u32, Script),
    pub(crate) start: Option<&'a Start>,
    pub(crate) is_suspended: bool,
}
