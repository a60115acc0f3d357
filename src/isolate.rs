//! An isolate: one Luau state, the VMs that live on it, and their processes.
//!
//! Isolates share nothing, so each tick runs them in parallel. A VM never moves to another isolate.
//!
//! An [`Isolate`] is made of five parts: its processes and their run queue, its VMs, what tasks wait for, what is
//! known of its garbage, and what leaves it. Each part is a file of its own that knows no other. What needs several
//! of them is an operation of the isolate, in a file by topic.

mod account;
mod admission;
mod audits;
#[cfg(test)]
mod bench;
mod call_queue;
mod calls;
mod categories;
mod collection;
mod collector;
mod config;
mod exit;
mod exits;
mod keys;
mod loaded;
mod members;
mod messages;
mod outbox;
mod pass;
mod pass_clock;
mod prefetch;
mod processes;
mod requests;
mod run_queue;
#[cfg(feature = "save")]
pub(crate) mod saved;
mod share;
mod signals;
mod slices;
mod start;
mod state;
mod sweep;
mod vms;
mod waits;
mod waking;
mod watch;

use crate::luau::HostFunctions;
use crate::luau::signals::Signals;
use crate::types::IsolateStats;

use audits::Audits;
use call_queue::Calls;
use collector::Collector;
use outbox::Outbox;
use processes::ProcessTable;
use vms::VmTable;
use waits::Waits;

pub(crate) use call_queue::{Call, CallOfAll, KeptCalls};
pub(crate) use categories::MAX_EXACT_VMS;
pub(crate) use config::{IsolateConfig, MIN_QUANTUM, TickTime};
pub(crate) use exit::{CallAnswer, Exit, TaskError, VmStatus, VmSummary};
#[cfg(feature = "save")]
pub(crate) use keys::WaitId;
pub(crate) use keys::{ProcessKey, RequestId, VmKey};
pub(crate) use processes::Suspension;
pub(crate) use requests::Posted;
pub(crate) use start::Start;
pub(crate) use state::OpenState;

/// See the [module](self).
pub(crate) struct Isolate {
    config: IsolateConfig,
    host: HostFunctions,
    /// There is one from the first start of a process, until it is [released](Isolate::release_state) or closed.
    state: Option<OpenState>,
    processes: ProcessTable,
    vms: VmTable,
    waits: Waits,
    collector: Collector,
    audits: Audits,
    outbox: Outbox,
    /// For processes that were admitted while there is no state.
    early_signals: Signals,
    calls: Calls,
    stats: IsolateStats,
    /// Nanoseconds that slices took on average when it last ran.
    slice_time: u32,
}

impl Isolate {
    pub(crate) fn new(config: IsolateConfig, host: HostFunctions) -> Self {
        Self {
            config,
            host,
            state: None,
            processes: ProcessTable::default(),
            vms: VmTable::default(),
            waits: Waits::default(),
            collector: Collector::default(),
            audits: Audits::default(),
            outbox: Outbox::default(),
            early_signals: Signals::default(),
            calls: Calls::default(),
            stats: IsolateStats::default(),
            slice_time: 0,
        }
    }

    pub(crate) fn set_quantum(&mut self, quantum: u32) {
        self.config.quantum = quantum;
    }

    /// Takes the numbers gathered since the last call.
    pub(crate) fn take_stats(&mut self) -> IsolateStats {
        std::mem::take(&mut self.stats)
    }
}
