//! What the runtime knows of a VM.

use std::time::Duration;

use super::Vm;
use crate::runtime::LuauRuntime;
use crate::types::CpuUsage;

/// What [`LuauRuntime::vm_info`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VmInfo {
    /// What its processes have cost so far, those that have ended included.
    pub cpu: CpuUsage,
    /// Time that it owes: it does not run until as many ticks have passed as pay for it, with
    /// [`Limits::time_per_tick`](crate::Limits::time_per_tick) each.
    pub debt: Duration,
    /// Bytes that its objects take, garbage included. `None` when
    /// [`vms_per_isolate`](crate::LuauOsPlugin::vms_per_isolate) is more than 255: Luau cannot tell more VMs of one state
    /// apart.
    pub bytes: Option<usize>,
    /// Processes that have not ended.
    pub processes: u32,
}

impl LuauRuntime {
    /// What a VM costs and holds. `None` before it has its first process. Takes time in proportion to the processes of the
    /// VM's isolate.
    pub fn vm_info(&self, vm: &Vm) -> Option<VmInfo> {
        let handle = vm.handle?;
        let (cpu, debt, processes) = self.isolates[handle.isolate].vm_usage(handle.key)?;
        Some(VmInfo { cpu, debt, bytes: self.vm_bytes(vm), processes })
    }

    /// Bytes that the objects of a VM take, garbage included. `None` before it has its first process, and when
    /// [`vms_per_isolate`](crate::LuauOsPlugin::vms_per_isolate) is more than 255: Luau cannot tell more VMs of one
    /// state apart.
    pub fn vm_bytes(&self, vm: &Vm) -> Option<usize> {
        let handle = vm.handle?;
        self.isolates[handle.isolate].vm_bytes(handle.key)
    }
}
