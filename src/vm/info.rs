//! What the runtime knows of a VM.

use super::Vm;
use crate::runtime::LuauRuntime;

impl LuauRuntime {
    /// Bytes that the objects of a VM take, garbage included. `None` before it has its first process, and when
    /// [`vms_per_isolate`](crate::LuauOsPlugin::vms_per_isolate) is more than 255: Luau cannot tell more VMs of one
    /// state apart.
    pub fn vm_bytes(&self, vm: &Vm) -> Option<usize> {
        let handle = vm.handle?;
        self.isolates[handle.isolate].vm_bytes(handle.key)
    }
}
