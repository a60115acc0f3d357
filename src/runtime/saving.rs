//! What saving and loading VMs needs of the runtime.

use std::sync::Arc;

use bevy::prelude::*;

use super::LuauRuntime;
use super::handles::VmHandle;
use crate::isolate::{Isolate, WaitId};
use crate::luau::request::KernelRequest;
use crate::script::Script;
use crate::types::{Limits, VmId};

impl LuauRuntime {
    /// The script with this content that came first.
    pub(crate) fn intern(&mut self, script: &Script) -> Script {
        self.scripts.intern(script)
    }

    /// Gives a VM without processes an isolate, and a name: the one that is wanted, if nobody has it.
    pub(crate) fn settle_vm(
        &mut self,
        vm: Entity,
        wanted: Option<VmId>,
        limits: Arc<Limits>,
    ) -> (VmHandle, VmId) {
        let id = self.names.name(vm, wanted);
        (self.place_vm(vm, id, limits, self.now), id)
    }

    /// An isolate, and what its processes have asked the kernel for and is here.
    pub(crate) fn isolate_and_requests(
        &mut self,
        isolate: u32,
    ) -> (&mut Isolate, Vec<(WaitId, &KernelRequest)>) {
        let requests = self.requests.of_isolate(isolate).collect();
        (self.isolates.get_mut(isolate), requests)
    }

    /// All isolates with their numbers, and what the kernel is asked for.
    pub(crate) fn isolates_and_requests(
        &mut self,
    ) -> (impl Iterator<Item = (u32, &mut Isolate)>, impl Iterator<Item = (u32, WaitId, &KernelRequest)>)
    {
        ((0..).zip(self.isolates.all_mut()), self.requests.kernel())
    }
}
