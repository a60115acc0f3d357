//! What a new runtime is made with.

use std::time::Duration;

use crate::types::{Share, TickBudget};

/// See the fields of [`LuauOsPlugin`](crate::LuauOsPlugin).
pub(crate) struct RuntimeSettings {
    pub(crate) quantum: u32,
    pub(crate) syscall_timeout: Duration,
    pub(crate) seed: u64,
    pub(crate) epoch: Duration,
    pub(crate) task_errors_end_process: bool,
    pub(crate) vms_per_isolate: usize,
    pub(crate) workers: usize,
    pub(crate) isolates_at_a_time: usize,
    pub(crate) budget: TickBudget,
    pub(crate) passes_per_tick: u32,
    pub(crate) share: Share,
}
