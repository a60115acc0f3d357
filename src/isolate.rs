//! An isolate: one Luau state, the VMs that live on it, their processes and their run queue.
//!
//! Isolates share nothing, so each tick runs them in parallel. A VM never moves to another isolate.

mod categories;
mod exits;
mod garbage;
mod handover;
mod limits;
mod loaded;
mod messages;
mod places;
mod prefetch;
mod requests;
mod run_queue;
mod slices;
mod slots;
mod starts;
mod sweep;
mod waiting;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bevy::platform::collections::HashMap;
use bevy::prelude::*;

use crate::luau::HostFunctions;
use crate::luau::{Caller, FunctionRef, LuauState};
use crate::random;
use crate::script::Script;
use crate::types::{CpuUsage, IsolateStats, KillReason, Outcome, Pid, ProcessState, ScriptError};
use crate::types::{ProcessIndex, VmIndex};
use crate::value::Value;

use categories::Categories;
use limits::VmAccount;
use loaded::LoadedScripts;
use places::Place;
use run_queue::RunQueue;
use slots::{Identity, Slots};

pub(crate) use exits::{Exit, VmStatus, VmSummary};
pub(crate) use places::PlaceId;
pub(crate) use requests::{Posted, RequestId};
pub(crate) use slots::SlotId;
pub(crate) use waiting::WaitId;

/// VMs that can have a memory category of their own: Luau has 256, and 0 is the state's own.
pub(crate) const MAX_EXACT_VMS: usize = 255;

/// A slice of one safepoint gets nowhere: the one at which a thread broke is passed again.
pub(crate) const MIN_QUANTUM: u32 = 2;

/// What a process starts with beyond its script.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// Its own instead of its script's.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) arguments: Vec<Value>,
    /// What it runs instead of its script.
    pub(crate) function: Option<FunctionRef>,
    /// The `process.spawn` that waits for its PID.
    pub(crate) parent: Option<RequestId>,
}

/// What isolates need to know to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IsolateConfig {
    pub(crate) quantum: u32,
    pub(crate) overrun_limit: Duration,
    pub(crate) syscall_timeout: Duration,
    pub(crate) seed: u64,
    /// Whether each VM has a memory category of its own.
    pub(crate) exact_memory: bool,
    /// Whether VMs are held to their limits.
    pub(crate) limits: bool,
}

/// See the [module](self).
pub(crate) struct Isolate {
    config: IsolateConfig,
    host: HostFunctions,
    /// Opened when a process starts, on a worker; closed when the isolate has been empty for a while, or
    /// [handed over](handover) before.
    state: Option<LuauState>,
    slots: Slots,
    places: Vec<Place>,
    /// By place. Every slice needs one, and little else of its VM: they are close together.
    accounts: Vec<VmAccount>,
    free_places: Vec<u32>,
    categories: Categories,
    /// The generation that places start with.
    first_generation: u32,
    queue: RunQueue<SlotId>,
    /// Had to be collected in the middle of a pass: others go on to their next without it.
    skipped_in_round: bool,
    /// Processes that had their first slice in this tick. They are queued once its pass has begun, which leaves them
    /// out so.
    started_this_tick: Vec<SlotId>,
    /// Processes without a thread, in the order of their admission.
    starting: VecDeque<(SlotId, Script, Option<Box<Start>>)>,
    /// The scripts that the state has loaded.
    loaded: LoadedScripts,
    /// Slots whose processes have ended, for the ECS.
    exits: VecDeque<u32>,
    /// How they ended, by slot, except for the usual end, a return without results: hundreds of
    /// thousands of processes may end in one tick.
    outcomes: HashMap<u32, Outcome>,
    /// Places whose last process was removed.
    vms_without_processes: Vec<u32>,
    /// Admitted processes that have not ended.
    live: usize,
    /// Places with something new on their console.
    printed: Vec<u32>,
    waiting: waiting::Waiting,
    subscribers: messages::Subscribers,
    stats: IsolateStats,
    garbage: garbage::Estimate,
    /// Slices took long when it last ran.
    is_slow: bool,
}

impl Isolate {
    pub(crate) fn new(config: IsolateConfig, host: HostFunctions) -> Self {
        Self {
            config,
            host,
            state: None,
            slots: Slots::new(0),
            places: Vec::new(),
            accounts: Vec::new(),
            free_places: Vec::new(),
            categories: Categories::default(),
            first_generation: 0,
            queue: RunQueue::default(),
            skipped_in_round: false,
            started_this_tick: Vec::new(),
            starting: VecDeque::new(),
            loaded: LoadedScripts::default(),
            exits: VecDeque::new(),
            outcomes: HashMap::default(),
            vms_without_processes: Vec::new(),
            live: 0,
            printed: Vec::new(),
            waiting: waiting::Waiting::default(),
            subscribers: messages::Subscribers::default(),
            stats: IsolateStats::default(),
            garbage: garbage::Estimate::default(),
            is_slow: false,
        }
    }

    pub(crate) fn set_quantum(&mut self, quantum: u32) {
        self.config.quantum = quantum;
    }

    /// Whether a tick has nothing to do here until something reaches the isolate or its next timer is due.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.len() == 0
            && self.started_this_tick.is_empty()
            && self.starting.is_empty()
            && self.exits.is_empty()
            && self.vms_without_processes.is_empty()
            && !self.has_printed()
            && !self.waiting.has_requests()
            && !self.collection_is_due()
    }

    /// Takes the numbers gathered since the last call.
    pub(crate) fn take_stats(&mut self) -> IsolateStats {
        std::mem::take(&mut self.stats)
    }

    /// Takes a process on. Its thread is made later, by [`Isolate::start_admitted`]; unless its VM has too
    /// many already, or it is too long.
    pub(crate) fn admit(
        &mut self,
        place: PlaceId,
        process: Entity,
        pid: Pid,
        script: Script,
        start: Option<Box<Start>>,
        spawned_at: Duration,
    ) -> SlotId {
        let identity = Identity { process, spawned_at: spawned_at.into(), pid: pid.get() };
        let id = self.slots.insert(identity, place.place);
        self.places[place.place as usize].live += 1;
        self.live += 1;
        self.start_later(id, script, start);
        id
    }

    /// Queues a process for [`Isolate::start_admitted`], unless its VM may not have it.
    fn start_later(&mut self, id: SlotId, script: Script, start: Option<Box<Start>>) {
        let place = self.slots[id.slot].place as usize;
        let (limits, live) = (&self.accounts[place].limits, self.places[place].live);
        let source = script.longest_source();
        let refused = if live > limits.processes {
            Some(KillReason::Processes { limit: limits.processes, used: live })
        } else if source > limits.source_bytes {
            Some(KillReason::SourceSize { limit: limits.source_bytes, used: source })
        } else {
            None
        };
        match refused {
            Some(reason) => {
                self.end(id.slot, Outcome::Killed(reason));
                self.drop_thread(id.slot);
            }
            None => self.starting.push_back((id, script, start)),
        }
    }

    fn start(&mut self, slot: u32, script: &Script, start: Option<Box<Start>>) -> Result<(), ScriptError> {
        self.open()?;
        let place = self.slots[slot].place;
        let Identity { process, pid, .. } = self.slots.identity(slot);
        let category = self.assign_category(slot);
        // Not the entity's bits alone: a process that takes over an entity gets other numbers.
        let seed = random::mix(self.config.seed ^ random::mix(process.to_bits()) ^ u64::from(pid));
        let caller = Caller::new(pid, VmIndex(place), seed);
        let state = self.state.as_mut().expect("it is open");
        let vms = &mut state.context().vms;
        if vms.len() <= place as usize {
            vms.resize(place as usize + 1, Entity::PLACEHOLDER);
        }
        vms[place as usize] = self.places[place as usize].vm;
        let program = self.loaded.load(state, script)?;
        let Some(start) = start else { return state.start(ProcessIndex(slot), program, category, caller) };
        let Start { name, arguments, function, .. } = *start;
        let program = match &function {
            Some(function) => program.with_main(state.main_function(function)?),
            None => program,
        };
        state
            .start(ProcessIndex(slot), program, category, caller)
            .and_then(|()| state.pass(ProcessIndex(slot), category, name, &arguments))
    }

    /// Makes a process run another script, from its start. `None` if it has ended.
    pub(crate) fn restart(
        &mut self,
        id: SlotId,
        script: Script,
        start: Option<Box<Start>>,
    ) -> Option<SlotId> {
        let slot = self.slots.live_mut(id)?;
        slot.generation += 1; // what queues hold of it goes stale
        slot.state = ProcessState::Runnable;
        let id = SlotId { generation: slot.generation, ..id };
        self.forget_waiting(id.slot);
        if let Some(state) = &mut self.state {
            state.restart(ProcessIndex(id.slot));
        }
        self.start_later(id, script, start);
        Some(id)
    }

    /// Stops a process. `false` if it had ended already.
    pub(crate) fn remove_process(&mut self, id: SlotId) -> bool {
        let Some(slot) = self.slots.live_mut(id) else { return false };
        slot.state = ProcessState::Killed;
        let place = slot.place;
        let Place { live, unsettled, .. } = &mut self.places[place as usize];
        *live -= 1;
        if *live == 0 && *unsettled == 0 {
            self.vms_without_processes.push(place);
        }
        self.live -= 1;
        self.drop_thread(id.slot);
        let pid = self.slots.identity(id.slot).pid;
        self.announce_end(place, pid, &Outcome::Killed(KillReason::Requested));
        self.free_slot(id.slot);
        true
    }

    /// Ends a process for `reason`. `false` if it had ended already.
    pub(crate) fn kill(&mut self, id: SlotId, reason: KillReason) -> bool {
        if self.slots.live(id).is_none() {
            return false;
        }
        self.end(id.slot, Outcome::Killed(reason));
        self.slots[id.slot].is_suspended = true; // it may be queued
        self.drop_thread(id.slot);
        true
    }

    /// When a process was spawned.
    pub(crate) fn spawned_at(&self, id: SlotId) -> Option<Duration> {
        self.slots.get(id)?;
        Some(self.slots.identity(id.slot).spawned_at.into())
    }

    /// Where a process lives, if it has not ended.
    pub(crate) fn place_of(&self, id: SlotId) -> Option<u32> {
        Some(self.slots.live(id)?.place)
    }

    /// State and cost of a process.
    pub(crate) fn process_info(&self, id: SlotId) -> Option<(ProcessState, CpuUsage)> {
        let slot = self.slots.get(id)?;
        Some((slot.state, slot.cpu()))
    }

    /// The memory category for a process that starts: that of its VM, which gets one if it has none.
    fn assign_category(&mut self, slot: u32) -> u8 {
        if !self.config.exact_memory {
            return 0;
        }
        let slot = &mut self.slots[slot];
        let place = &mut self.places[slot.place as usize];
        if place.category == 0 {
            let (category, is_dirty) = self.categories.take();
            place.category = category;
            if is_dirty {
                self.garbage.request_collection();
            }
        }
        if slot.category == 0 {
            slot.category = place.category;
            self.categories.add_thread(slot.category);
        }
        slot.category
    }

    /// Ends what runs on a slot's thread, which may serve the next process that is charged to the same.
    fn drop_thread(&mut self, slot_index: u32) {
        self.forget_waiting(slot_index);
        let slot = &mut self.slots[slot_index];
        let place = &mut self.places[slot.place as usize];
        self.accounts[slot.place as usize].forget(slot_index);
        let category = std::mem::take(&mut slot.category);
        if let Some(state) = &mut self.state {
            state.retire(ProcessIndex(slot_index), category);
        }
        if category > 0 {
            self.categories.remove_thread(category);
        }
        if place.live == 0 && place.category > 0 && self.categories.threads(place.category) == 0 {
            let category = std::mem::take(&mut place.category);
            let bytes = self.state.as_ref().map_or(0, |state| state.category_bytes(category));
            self.categories.give_back(category, bytes);
        }
    }

    fn free_slot(&mut self, slot: u32) {
        self.slots.free(slot);
        self.free_place_if_unused(self.slots[slot].place);
    }
}
