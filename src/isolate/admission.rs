//! Processes are admitted, and started: each gets its thread and, at once, the beginning of its first slice.
//!
//! A process that ends within that gives its thread to the next one, while the thread is still in the caches. So many
//! short processes take the memory of a few.

use std::time::Duration;

use bevy::prelude::*;
use smallvec::SmallVec;

use super::Isolate;
use super::config::TickTime;
use super::keys::{ProcessKey, VmKey};
use super::processes::{ProcessOrigin, ProcessTable};
use super::run_queue::RunQueue;
use super::start::{Start, Starting};
use super::state::OpenState;
#[cfg(feature = "save")]
use crate::luau::LuauState;
use crate::luau::{Caller, VmName};
use crate::random;
use crate::script::Script;
#[cfg(feature = "save")]
use crate::types::VmIndex;
use crate::types::{KillReason, Outcome, Pid, ProcessIndex, ScriptError};

/// Processes that are started before the first of them runs.
const START_BATCH: usize = 16;

/// Safepoints of the first slice that belong to the start. The rest of it follows when it is the process's
/// turn: starts are to stay cheap.
const STARTING_SAFEPOINTS: u32 = 16;

impl Isolate {
    /// Takes a process on. Its thread is made later, by [`Isolate::start_admitted`]; unless its VM has too
    /// many already, or it is too long.
    pub(crate) fn admit(
        &mut self,
        vm: VmKey,
        process: Entity,
        pid: Pid,
        script: Script,
        mut start: Option<Box<Start>>,
        spawned_at: Duration,
    ) -> ProcessKey {
        let origin = ProcessOrigin { process, spawned_at: spawned_at.into(), pid };
        let process = self.processes.insert(vm.index, origin);
        self.vms.record_mut(vm.index).live += 1;
        if let Some(start) = &mut start {
            let signals = std::mem::take(&mut start.signals);
            self.signals_mut().insert(process.index, signals);
            self.keep_calls(process, std::mem::take(&mut start.calls));
        }
        self.start_later(Starting { process, script, start });
        process
    }

    /// Makes a process run another script, from its start. `None` if it has ended.
    pub(crate) fn restart(
        &mut self,
        process: ProcessKey,
        script: Script,
        start: Option<Box<Start>>,
    ) -> Option<ProcessKey> {
        let process = self.processes.renew(process)?;
        self.forget_waits(process.index);
        if let Some(state) = &mut self.state {
            state.luau.restart(process.index);
        }
        self.start_later(Starting { process, script, start });
        Some(process)
    }

    /// Queues a process for [`Isolate::start_admitted`], unless its VM may not have it.
    pub(super) fn start_later(&mut self, starting: Starting) {
        let process = starting.process.index;
        let vm = self.processes[process].vm;
        let (limits, live) = (self.vms.limits(vm), self.vms.record(vm).live);
        let source = starting.script.longest_source();
        let refused = if live > limits.processes {
            Some(KillReason::Processes { limit: limits.processes, used: live })
        } else if source > limits.source_bytes {
            Some(KillReason::SourceSize { limit: limits.source_bytes, used: source })
        } else {
            None
        };
        match refused {
            Some(reason) => {
                self.end(process, Outcome::Killed(reason));
                self.drop_thread(process);
            }
            None => self.processes.starting.push_back(starting),
        }
    }

    /// Whether admitted processes can start now.
    pub(crate) fn can_start(&self) -> bool {
        !self.processes.starting.is_empty() && !self.collection_is_overdue()
    }

    /// Starts admitted processes until the deadline. If a state is needed, one of the idle ones is taken; if it is
    /// not needed any more, it is left there.
    pub(crate) fn start_admitted(&mut self, time: TickTime, idle_states: &mut Vec<OpenState>) {
        while self.can_start() {
            let mut batch = RunQueue::default();
            self.start_batch(&mut batch, idle_states);
            batch.begin_pass();
            // They are alone in the queue: a pass may be under way there.
            let queue = std::mem::replace(&mut self.processes.queue, batch);
            let quantum = self.config.quantum.min(STARTING_SAFEPOINTS);
            let resumes = self.stats.resumes;
            self.run_slices(quantum, time, None);
            self.stats.starting_resumes += self.stats.resumes - resumes;
            for process in std::mem::replace(&mut self.processes.queue, queue).into_entries() {
                let had_slice = self.processes[process.index].slices > 0;
                match had_slice {
                    true => self.processes.started(process),
                    false => self.processes.queue.push(process),
                }
            }
            if time.deadline.has_passed() {
                break;
            }
        }
        if self.processes.starting.is_empty() {
            self.processes.starting = Default::default(); // it may have been long
        }
        idle_states.extend(self.release_state());
    }

    fn start_batch(&mut self, batch: &mut RunQueue<ProcessKey>, idle_states: &mut Vec<OpenState>) {
        for _ in 0..START_BATCH {
            let Some(starting) = self.processes.starting.pop_front() else { break };
            let process = starting.process;
            if !self.processes.is_live(process) {
                continue; // despawned or killed in the meantime
            }
            match self.start(starting, idle_states) {
                Ok(()) => batch.push(process),
                Err(error) => {
                    self.end(process.index, Outcome::Failed(error));
                    self.drop_thread(process.index);
                }
            }
        }
    }

    fn start(
        &mut self,
        Starting { process, script, start }: Starting,
        idle_states: &mut Vec<OpenState>,
    ) -> Result<(), ScriptError> {
        self.open(idle_states)?;
        let ProcessKey { index, .. } = process;
        let vm = self.processes[index].vm;
        let ProcessOrigin { process, pid, .. } = self.processes.origin(index);
        let category = self.assign_category(index);
        // Not the entity's bits alone: a process that takes over an entity gets other numbers.
        let seed = random::derive(self.config.seed, (process.to_bits(), pid.get()));
        let caller = Caller::new(process, pid, vm, seed);
        let OpenState { luau, scripts, .. } = self.state.as_mut().expect("it is open");
        let record = self.vms.record(vm);
        luau.context().name_vm(vm, VmName { id: record.id, entity: record.vm });
        luau.context().publish(vm, record.published.clone());
        #[cfg(feature = "save")]
        set_clock(luau, vm, record.clock);
        let mut preludes = SmallVec::<[_; 2]>::new();
        for prelude in self.host.preludes(record.libraries) {
            preludes.push(scripts.load(luau, prelude, record.libraries)?);
        }
        let program = scripts.load(luau, &script, record.libraries)?;
        match start {
            None => luau.start(index, program, category, caller)?,
            Some(start) => {
                let Start { name, arguments, function, .. } = *start;
                let program = match &function {
                    Some(function) => program.with_main(luau.main_function(function)?),
                    None => program,
                };
                luau.start(index, program, category, caller)?;
                luau.set_arguments(index, category, name, &arguments)?;
            }
        }
        if preludes.is_empty() { Ok(()) } else { luau.set_preludes(index, script.shared_name(), &preludes) }
    }

    /// Sees to it that the isolate has a state.
    pub(super) fn open(&mut self, idle_states: &mut Vec<OpenState>) -> Result<(), ScriptError> {
        if self.state.is_none() {
            let state = match idle_states.pop() {
                Some(state) => state,
                None => {
                    let seed = self.config.repeatable.then_some(self.config.seed);
                    OpenState::open(self.host.clone(), seed)?
                }
            };
            self.collector.opened(state.empty_bytes, state.luau.object_bytes());
            self.state = Some(state);
            let early = std::mem::take(&mut self.early_signals);
            *self.signals_mut() = early;
        }
        Ok(())
    }

    /// The memory category for a process that starts: that of its VM, which gets one if it has none.
    pub(super) fn assign_category(&mut self, process: ProcessIndex) -> u8 {
        let Some(state) = self.state.as_mut().filter(|_| self.config.exact_memory) else { return 0 };
        let record = &mut self.processes[process];
        let vm = self.vms.record_mut(record.vm);
        if vm.category == 0 {
            let (category, is_dirty) = state.categories.take();
            vm.category = category;
            let left = state.luau.category_bytes(category);
            self.vms.account_mut(record.vm).set_foreign_bytes(left);
            if is_dirty {
                self.collector.request();
            }
        }
        if record.category == 0 {
            record.category = self.vms.record(record.vm).category;
            state.categories.add_thread(record.category);
        }
        record.category
    }

    /// Takes the state away if no process needs it and little garbage is in it.
    fn release_state(&mut self) -> Option<OpenState> {
        // A queued process may have ended since, but the state still has its thread.
        let ProcessTable { starting, .. } = &self.processes;
        let is_needed = self.processes.live_count() > 0 || !starting.is_empty() || self.runnable() > 0;
        let luau = &mut self.state.as_mut().filter(|_| !is_needed)?.luau;
        if !self.collector.is_nearly_empty(luau.object_bytes()) || !luau.reset_for_reuse() {
            return None;
        }
        self.collector.measured(0);
        self.state.take()
    }
}

/// Sets by how many nanoseconds the clock of a VM is ahead.
#[cfg(feature = "save")]
pub(super) fn set_clock(luau: &mut LuauState, vm: VmIndex, clock: i64) {
    let clocks = &mut luau.context().clocks;
    // Where no VM was loaded, there are none.
    if clock != 0 && clocks.len() <= vm.at() {
        clocks.resize(vm.at() + 1, 0);
    }
    if let Some(known) = clocks.get_mut(vm.at()) {
        *known = clock;
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use bevy::prelude::*;
    use bevy::time::TimeUpdateStrategy;

    use crate::prelude::*;

    #[test]
    fn isolates_whose_processes_ended_at_once_share_few_states_and_rest() {
        let mut app = App::new();
        app.add_plugins((
            MinimalPlugins,
            LuauOsPlugin {
                budget: TickBudget::Unlimited,
                workers: NonZeroUsize::new(1),
                vms_per_isolate: 1,
                ..default()
            },
        ))
        .insert_resource(TimeUpdateStrategy::FixedTimesteps(1));
        let script = Script::new("garbage", "local b = buffer.create(1000)");
        for _ in 0..64 {
            let vm = app.world_mut().spawn(Vm::persistent()).id();
            app.world_mut().spawn((Process::new(script.clone()), ProcessOf(vm)));
        }
        for _ in 0..4 {
            app.update();
        }
        let runtime = app.world().resource::<LuauRuntime>();
        let isolates = &runtime.isolates;
        let open =
            isolates.iter().filter(|isolate| isolate.state.is_some()).count() + runtime.idle_states.len();
        assert!((1..isolates.len()).contains(&open), "{open} of {} states are open", isolates.len());
        assert_eq!(isolates.busy().count(), 0, "isolates that have nothing to do");
    }
}
