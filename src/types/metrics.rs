//! Counters of the whole runtime.

use std::time::Duration;

use bevy::prelude::*;

use super::IsolateStats;

/// What the runtime has done since the app started.
#[derive(Resource, Clone, Debug, Default, PartialEq, Eq, Reflect)]
#[reflect(Resource, Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// VMs spawned.
    pub vms_created: u64,
    /// VMs that are gone: finished or despawned.
    pub vms_removed: u64,
    /// Processes spawned.
    pub processes_created: u64,
    /// Processes whose main chunk returned.
    pub processes_finished: u64,
    /// Processes that an error ended.
    pub processes_failed: u64,
    /// Processes that were stopped, by a limit or by despawning them or their VM.
    pub processes_killed: u64,
    /// Tasks that an error ended, apart from the processes that failed.
    pub tasks_failed: u64,
    /// Signals that were sent to processes and for which [there was no room](crate::Limits::signals).
    pub signals_dropped: u64,
    /// Ticks run.
    pub ticks: u64,
    /// One for each VM in each tick in which one of its processes got a slice.
    pub vm_ticks: u64,
    /// Slices run.
    pub resumes: u64,
    /// Those of them that ran when their process started, in [`Admit`](crate::LuauOsSystems::Admit).
    pub starting_resumes: u64,
    /// Passes completed: in each, every runnable process had its slice. There are many in a tick, or one takes several
    /// ticks, as the [budget](crate::TickBudget) allows. Isolates that have to be collected first are left out.
    pub passes: u64,
    /// Tick deadlines missed: ticks that took longer than the timestep, and ticks that were due in
    /// one frame beyond
    /// [`max_ticks_per_frame`](crate::LuauOsPlugin::max_ticks_per_frame) and were left out.
    pub late_ticks: u64,
    /// Wall time of the last tick.
    pub last_tick_time: Duration,
    /// Slices run in the last tick.
    pub last_tick_resumes: u64,
    /// Wall time of all [`Run`](crate::LuauOsSystems::Run) phases.
    pub run_time: Duration,
    /// Time spent on collecting garbage, added up over all workers.
    pub gc_time: Duration,
    /// The longest time for which the collector held up one isolate.
    pub gc_longest_pause: Duration,
}

impl Metrics {
    /// VMs alive.
    pub fn vms(&self) -> u64 {
        self.vms_created.saturating_sub(self.vms_removed)
    }

    /// Processes alive.
    pub fn processes(&self) -> u64 {
        let ended = self.processes_finished + self.processes_failed + self.processes_killed;
        self.processes_created.saturating_sub(ended)
    }

    /// Adds what isolates did in the tick under way. Whether that was the rest of a pass, they do not know.
    pub(crate) fn add(&mut self, stats: &IsolateStats) {
        self.tasks_failed += stats.tasks_failed;
        self.resumes += stats.resumes;
        self.starting_resumes += stats.starting_resumes;
        self.last_tick_resumes += stats.resumes;
        self.vm_ticks += stats.vm_ticks;
        self.gc_time += stats.gc_time;
        self.gc_longest_pause = self.gc_longest_pause.max(stats.gc_longest_pause);
    }
}
