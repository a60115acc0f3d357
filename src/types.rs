//! Plain data that every floor above may use: no Luau, no systems.

mod call;
mod cpu_usage;
mod deadline;
mod host_caller;
mod indices;
mod kill_reason;
mod limits;
mod metrics;
mod outcome;
mod pid;
mod process_state;
mod published;
mod share;
mod statistics;
mod tick_budget;
mod virtual_time;
mod vm_id;

pub use call::{CallError, CallId};
pub use cpu_usage::CpuUsage;
pub use host_caller::HostCaller;
pub use kill_reason::KillReason;
pub use limits::Limits;
pub use metrics::Metrics;
pub use outcome::{Outcome, ScriptError, ScriptPlace};
pub use pid::Pid;
pub use process_state::ProcessState;
pub use share::Share;
pub use tick_budget::TickBudget;
pub use vm_id::VmId;

pub(crate) use deadline::{Deadline, Steps};
pub(crate) use indices::{ProcessIndex, VmIndex};
pub(crate) use pid::PidCounter;
pub(crate) use published::Published;
pub(crate) use statistics::IsolateStats;
pub(crate) use virtual_time::VirtualTime;
