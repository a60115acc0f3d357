//! What the runtime knows of a process.

use super::Process;
use crate::runtime::LuauRuntime;
use crate::types::{CpuUsage, ProcessState};

/// What [`LuauRuntime::process_info`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Where the process is in its life.
    pub state: ProcessState,
    /// What it has cost so far.
    pub cpu: CpuUsage,
}

impl LuauRuntime {
    /// State and cost of a process; `None` once its end has been reported.
    pub fn process_info(&self, process: &Process) -> Option<ProcessInfo> {
        if process.is_new() {
            return Some(ProcessInfo { state: ProcessState::New, cpu: CpuUsage::default() });
        }
        let handle = process.handle?;
        let (state, cpu) = self.isolates[handle.isolate].process_info(handle.key)?;
        Some(ProcessInfo { state, cpu })
    }
}
