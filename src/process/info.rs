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
    /// Signals that are kept for it.
    pub signals: usize,
    /// Signals that it missed because there was [no room](crate::Limits::signals) for them.
    pub signals_dropped: u64,
}

impl LuauRuntime {
    /// State and cost of a process; `None` once its end has been reported.
    pub fn process_info(&self, process: &Process) -> Option<ProcessInfo> {
        if process.is_new() {
            let (signals, signals_dropped) = process.signal_counts();
            return Some(ProcessInfo {
                state: ProcessState::New,
                cpu: CpuUsage::default(),
                signals,
                signals_dropped,
            });
        }
        let handle = process.handle?;
        let (state, cpu) = self.isolates[handle.isolate].process_info(handle.key)?;
        let (signals, signals_dropped) = self.isolates[handle.isolate].signal_counts(handle.key);
        Some(ProcessInfo { state, cpu, signals, signals_dropped })
    }
}
