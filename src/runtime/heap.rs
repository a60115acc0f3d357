//! A heap: one Luau state, the VMs that live on it, their processes and their run queue.
//!
//! Heaps share nothing, so each tick runs them in parallel. A VM never moves to another heap.

use std::time::{Duration, Instant};

use bevy::platform::collections::HashMap;
use bevy::prelude::*;

use super::luau::{LuauState, MainFunction, SliceEnd, ThreadId};
use crate::console::ConsoleBuffer;
use crate::process::exit::{CpuUsage, KillReason, Outcome, ScriptError};
use crate::process::{Pid, ProcessState};
use crate::random;
use crate::scheduler::run_queue::RunQueue;
use crate::script::Script;

/// Slices between two looks at the clock.
const SLICES_PER_CLOCK_LOOK: usize = 64;

/// Scripts that a heap keeps loaded. Beyond that it forgets them all and loads again what it needs.
const LOADED_SCRIPTS: usize = 64;

/// VMs that can have a memory category of their own: Luau has 256, and 0 is the state's own.
pub(crate) const MAX_EXACT_VMS: usize = 255;

/// A heap may grow this much beyond what its last collection left before it is due for the next, so
/// that small heaps are not collected all the time.
const MIN_GROWTH: usize = 128 * 1024;

/// Up to this many live bytes a heap is collected in one go, which takes less than 2 ms.
const COLLECT_WHOLE: usize = 4 * 1024 * 1024;

/// What heaps need to know to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeapConfig {
    pub(crate) quantum: u32,
    pub(crate) overrun_limit: Duration,
    pub(crate) console_bytes: usize,
    pub(crate) seed: u64,
    /// Whether each VM has a memory category of its own.
    pub(crate) exact_memory: bool,
}

/// A process of a heap. A slot also is the place of its thread in the Luau state.
#[derive(Debug)]
struct Slot {
    process: Entity,
    cpu: CpuUsage,
    spawned_at: Duration,
    pid: u32,
    place: u32,
    /// Counts the processes that had this slot, so that handles and queue entries can go stale.
    generation: u32,
    state: ProcessState,
}

/// Where a VM lives on a heap.
#[derive(Debug)]
struct Place {
    vm: Entity,
    spawned_at: Duration,
    /// What ended processes used.
    cpu: CpuUsage,
    /// Processes ended so far.
    ended: u32,
    /// Admitted processes that have not ended.
    live: u32,
    /// Ended processes that the ECS has not been told of.
    unsettled: u32,
    generation: u32,
    vm_is_gone: bool,
    last_tick: u64,
    /// Slots whose threads have this place's memory category and wait for their next process.
    free_slots: Vec<u32>,
    console: Option<Box<ConsoleBuffer>>,
}

/// A slot as it was at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A place as it was at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlaceId {
    pub(crate) place: u32,
    pub(crate) generation: u32,
}

/// A process that has ended, for the ECS.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) process: Entity,
    pub(crate) vm: Entity,
    pub(crate) pid: Pid,
    pub(crate) spawned_at: Duration,
    pub(crate) cpu: CpuUsage,
    pub(crate) outcome: Outcome,
    place: PlaceId,
    /// Set when the exit is taken.
    pub(crate) aftermath: Aftermath,
}

/// What an exit leaves to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aftermath {
    /// Other processes of the VM run on: the process is despawned.
    ProcessIsDone,
    /// The VM's other processes have ended, too, and a later exit will deal with all of them.
    VmEndsLater,
    /// The VM has no process left, running or to be reported.
    VmIsDone(VmSummary),
}

/// What is known of a VM whose processes have all ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmSummary {
    pub(crate) processes: u32,
    pub(crate) spawned_at: Duration,
    pub(crate) cpu: CpuUsage,
}

/// What a heap did since the numbers were last taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeapStats {
    pub(crate) resumes: u64,
    pub(crate) vm_ticks: u64,
    pub(crate) gc_time: Duration,
    pub(crate) gc_longest_pause: Duration,
}

/// See the [module](self).
pub(crate) struct Heap {
    config: HeapConfig,
    /// Opened when the first process starts, on a worker.
    state: Option<LuauState>,
    slots: Vec<Slot>,
    /// Slots without a thread.
    free_slots: Vec<u32>,
    places: Vec<Place>,
    free_places: Vec<u32>,
    queue: RunQueue<SlotId>,
    starting: Vec<(SlotId, Script)>,
    loaded: HashMap<usize, (Script, MainFunction)>,
    exits: std::collections::VecDeque<Exit>,
    /// Places with something new on their console.
    printed: Vec<u32>,
    stats: HeapStats,
    bytes_after_collection: usize,
    collecting: bool,
}

impl Heap {
    pub(crate) fn new(config: HeapConfig) -> Self {
        Self {
            config,
            state: None,
            slots: Vec::new(),
            free_slots: Vec::new(),
            places: Vec::new(),
            free_places: Vec::new(),
            queue: RunQueue::default(),
            starting: Vec::new(),
            loaded: HashMap::default(),
            exits: std::collections::VecDeque::new(),
            printed: Vec::new(),
            stats: HeapStats::default(),
            bytes_after_collection: 0,
            collecting: false,
        }
    }

    // --- VMs ---

    pub(crate) fn set_quantum(&mut self, quantum: u32) {
        self.config.quantum = quantum;
    }

    /// How many VMs live here.
    pub(crate) fn vms(&self) -> usize {
        self.places.len() - self.free_places.len()
    }

    /// Gives a VM its place.
    pub(crate) fn add_vm(&mut self, vm: Entity, spawned_at: Duration) -> PlaceId {
        let new = |generation, free_slots| Place {
            vm,
            spawned_at,
            cpu: CpuUsage::default(),
            ended: 0,
            live: 0,
            unsettled: 0,
            generation,
            vm_is_gone: false,
            last_tick: 0,
            free_slots,
            console: None,
        };
        if let Some(place) = self.free_places.pop() {
            let old = &mut self.places[place as usize];
            *old = new(old.generation, std::mem::take(&mut old.free_slots));
            return PlaceId { place, generation: old.generation };
        }
        self.places.push(new(0, Vec::new()));
        PlaceId { place: self.places.len() as u32 - 1, generation: 0 }
    }

    /// Forgets a VM. Its place is free again when the last of its processes has gone.
    pub(crate) fn remove_vm(&mut self, id: PlaceId) {
        if !self.place_is_current(id) {
            return;
        }
        let place = &mut self.places[id.place as usize];
        place.generation += 1;
        place.console = None;
        place.vm_is_gone = true;
        self.free_place_if_unused(id.place);
    }

    fn free_place_if_unused(&mut self, place: u32) {
        let Place { vm_is_gone, live, .. } = self.places[place as usize];
        if vm_is_gone && live == 0 {
            self.free_places.push(place);
        }
    }

    fn place_is_current(&self, id: PlaceId) -> bool {
        self.places.get(id.place as usize).is_some_and(|place| place.generation == id.generation)
    }

    /// Bytes that a VM's objects take, garbage included; `None` where VMs are not told apart.
    pub(crate) fn vm_bytes(&self, id: PlaceId) -> Option<usize> {
        let state = self.state.as_ref().filter(|_| self.place_is_current(id) && self.config.exact_memory)?;
        Some(state.category_bytes(self.category(id.place)))
    }

    fn category(&self, place: u32) -> u8 {
        if self.config.exact_memory { place as u8 + 1 } else { 0 }
    }

    // --- Processes ---

    /// Takes a process on. Its thread is made later, by [`Heap::start_admitted`].
    pub(crate) fn admit(
        &mut self,
        place: PlaceId,
        process: Entity,
        pid: Pid,
        script: Script,
        spawned_at: Duration,
    ) -> SlotId {
        let free = self.places[place.place as usize].free_slots.pop().or_else(|| self.free_slots.pop());
        let slot = free.unwrap_or(self.slots.len() as u32);
        let generation = self.slots.get(slot as usize).map_or(0, |old| old.generation);
        let new = Slot {
            process,
            cpu: CpuUsage::default(),
            spawned_at,
            pid: pid.get(),
            place: place.place,
            generation,
            state: ProcessState::Runnable,
        };
        match self.slots.get_mut(slot as usize) {
            Some(old) => *old = new,
            None => self.slots.push(new),
        }
        self.places[place.place as usize].live += 1;
        let id = SlotId { slot, generation };
        self.starting.push((id, script));
        id
    }

    /// Whether processes wait for [`Heap::start_admitted`].
    pub(crate) fn has_admitted(&self) -> bool {
        !self.starting.is_empty()
    }

    /// Makes the threads of admitted processes and queues them.
    pub(crate) fn start_admitted(&mut self) {
        for (id, script) in std::mem::take(&mut self.starting) {
            if self.slots[id.slot as usize].generation != id.generation {
                continue; // despawned in the meantime
            }
            match self.start(id.slot, &script) {
                Ok(()) => self.queue.push(id),
                Err(error) => self.end(id.slot, Outcome::Failed(error)),
            }
        }
    }

    fn start(&mut self, slot: u32, script: &Script) -> Result<(), ScriptError> {
        let Slot { place, pid, process, .. } = self.slots[slot as usize];
        let category = self.category(place);
        // Not the entity's index alone: a process that takes over an entity gets other numbers.
        let seed = random::mix(self.config.seed ^ random::mix(process.to_bits()) ^ u64::from(pid));
        if self.state.is_none() {
            let mut state = LuauState::open().map_err(|error| ScriptError {
                message: format!("no Luau state could be opened: {error}"),
                traceback: String::new(),
            })?;
            state.context().console = ConsoleBuffer::new(self.config.console_bytes);
            self.bytes_after_collection = state.bytes();
            self.state = Some(state);
        }
        let state = self.state.as_mut().expect("just opened");
        let main = match self.loaded.get(&script.address()) {
            Some(&(_, main)) => main,
            None => {
                let bytecode = script.bytecode().map_err(|error| ScriptError {
                    message: error.to_string(),
                    traceback: String::new(),
                })?;
                if self.loaded.len() == LOADED_SCRIPTS {
                    for (_, (_, main)) in self.loaded.drain() {
                        state.unload(main);
                    }
                }
                let main = state.load(script.name(), bytecode)?;
                self.loaded.insert(script.address(), (script.clone(), main));
                main
            }
        };
        state.start(ThreadId(slot), main, category, seed)
    }

    /// Stops a process. `false` if it had ended already.
    pub(crate) fn remove_process(&mut self, id: SlotId) -> bool {
        let Some(slot) = self.slots.get(id.slot as usize) else { return false };
        if slot.generation != id.generation || slot.state.has_ended() {
            return false;
        }
        self.places[slot.place as usize].live -= 1;
        self.free(id.slot, ProcessState::Killed);
        true
    }

    /// State and cost of a process.
    pub(crate) fn process_info(&self, id: SlotId) -> Option<(ProcessState, CpuUsage)> {
        let slot = self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        Some((slot.state, slot.cpu))
    }

    fn end(&mut self, slot_index: u32, outcome: Outcome) {
        let slot = &self.slots[slot_index as usize];
        let place = &mut self.places[slot.place as usize];
        place.live -= 1;
        place.unsettled += 1;
        place.ended += 1;
        place.cpu += slot.cpu;
        let state = outcome.state();
        self.exits.push_back(Exit {
            process: slot.process,
            vm: place.vm,
            pid: Pid(slot.pid.try_into().expect("PIDs start at 1")),
            spawned_at: slot.spawned_at,
            cpu: slot.cpu,
            outcome,
            place: PlaceId { place: slot.place, generation: place.generation },
            aftermath: Aftermath::ProcessIsDone,
        });
        self.free(slot_index, state);
    }

    /// Frees a slot. Its thread is kept for the VM's next process while the VM has others that run,
    /// and left to the collector otherwise.
    fn free(&mut self, slot_index: u32, state: ProcessState) {
        let slot = &mut self.slots[slot_index as usize];
        slot.generation += 1;
        slot.state = state;
        let place_index = slot.place;
        let place = &mut self.places[place_index as usize];
        match &mut self.state {
            Some(luau) if place.live > 0 => {
                luau.reset(ThreadId(slot_index));
                place.free_slots.push(slot_index);
            }
            luau => {
                if let Some(luau) = luau {
                    luau.discard(ThreadId(slot_index));
                }
                self.free_slots.push(slot_index);
            }
        }
        self.free_place_if_unused(place_index);
    }

    // --- Running ---

    /// How many processes wait for their turn.
    pub(crate) fn runnable(&self) -> usize {
        self.queue.len()
    }

    /// Starts a pass over all runnable processes.
    pub(crate) fn begin_pass(&mut self) {
        self.queue.begin_pass();
    }

    /// Whether every process has had its slice of the current pass.
    pub(crate) fn pass_is_over(&self) -> bool {
        self.queue.pass_is_over()
    }

    /// Runs slices until the pass is over or `deadline` is past.
    pub(crate) fn run(&mut self, tick: u64, now: Duration, deadline: Option<Instant>) {
        if let Some(state) = &mut self.state {
            state.context().now = now.as_secs_f64();
        }
        while !self.queue.pass_is_over() {
            for _ in 0..SLICES_PER_CLOCK_LOOK {
                let Some(id) = self.queue.next_in_pass() else { return };
                self.run_slice(id, tick);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return;
            }
        }
    }

    fn run_slice(&mut self, id: SlotId, tick: u64) {
        let slot = &mut self.slots[id.slot as usize];
        let Some(state) = self.state.as_mut().filter(|_| slot.generation == id.generation) else {
            return; // it was removed while it was queued
        };
        let place = &mut self.places[slot.place as usize];
        if place.last_tick != tick {
            place.last_tick = tick;
            self.stats.vm_ticks += 1;
        }
        self.stats.resumes += 1;
        slot.state = ProcessState::Running;
        let thread = ThreadId(id.slot);
        let report = state.resume(thread, self.config.quantum, self.config.overrun_limit);
        slot.cpu += CpuUsage { safepoints: report.safepoints, slices: 1 };
        let printed = &mut state.context().console;
        if !printed.is_empty() {
            if place.console.is_none() {
                self.printed.push(slot.place);
            }
            let capacity = self.config.console_bytes;
            place.console.get_or_insert_with(|| Box::new(ConsoleBuffer::new(capacity))).append(printed);
        }
        let outcome = match report.end {
            SliceEnd::Preempted | SliceEnd::Yielded => {
                slot.state = ProcessState::Runnable;
                self.queue.push(id);
                return;
            }
            SliceEnd::Returned => Outcome::Finished(state.results(thread)),
            SliceEnd::Failed => Outcome::Failed(state.error(thread)),
            SliceEnd::Overrun => Outcome::Killed(KillReason::Overrun { limit: self.config.overrun_limit }),
        };
        self.end(id.slot, outcome);
    }

    // --- Garbage ---

    /// Bytes in use, garbage included.
    pub(crate) fn bytes(&self) -> usize {
        self.state.as_ref().map_or(0, LuauState::bytes)
    }

    /// Whether the heap has grown enough since its last collection to be worth another one.
    pub(crate) fn collection_is_due(&self) -> bool {
        let live = self.bytes_after_collection;
        self.collecting || self.bytes() > (2 * live).max(live + MIN_GROWTH)
    }

    /// Whether the heap must not run before it has been collected.
    pub(crate) fn collection_is_overdue(&self) -> bool {
        let live = self.bytes_after_collection;
        self.bytes() > (4 * live).max(live + 4 * MIN_GROWTH)
    }

    /// Collects garbage: a small heap whole, a large one in steps until `deadline` or the end of the
    /// collection.
    pub(crate) fn collect(&mut self, deadline: Instant) {
        let overdue = self.collection_is_overdue();
        let Some(state) = &mut self.state else { return };
        let mut pause_began = Instant::now();
        let mut done = self.bytes_after_collection <= COLLECT_WHOLE && !self.collecting;
        if done {
            state.collect();
        }
        loop {
            let now = Instant::now();
            let pause = now - pause_began;
            self.stats.gc_time += pause;
            self.stats.gc_longest_pause = self.stats.gc_longest_pause.max(pause);
            if done || (now >= deadline && !overdue) {
                break;
            }
            pause_began = now;
            done = state.collect_step();
        }
        self.collecting = !done;
        if done {
            self.bytes_after_collection = state.bytes();
        }
    }

    // --- For the ECS ---

    /// Takes the numbers gathered since the last call.
    pub(crate) fn take_stats(&mut self) -> HeapStats {
        std::mem::take(&mut self.stats)
    }

    /// Takes the exit that has waited longest.
    pub(crate) fn take_exit(&mut self) -> Option<Exit> {
        let mut exit = self.exits.pop_front()?;
        if self.place_is_current(exit.place) {
            let place = &mut self.places[exit.place.place as usize];
            place.unsettled -= 1;
            exit.aftermath = match (place.live, place.unsettled) {
                (1.., _) => Aftermath::ProcessIsDone,
                (0, 1..) => Aftermath::VmEndsLater,
                (0, 0) => Aftermath::VmIsDone(VmSummary {
                    processes: place.ended,
                    spawned_at: place.spawned_at,
                    cpu: place.cpu,
                }),
            };
        }
        Some(exit)
    }

    /// Exits that wait to be taken.
    pub(crate) fn has_exits(&self) -> bool {
        !self.exits.is_empty()
    }

    /// Takes what the processes of one VM have printed.
    pub(crate) fn take_printed(&mut self) -> Option<(Entity, ConsoleBuffer)> {
        loop {
            let place = &mut self.places[self.printed.pop()? as usize];
            if let Some(console) = place.console.take() {
                return Some((place.vm, *console));
            }
        }
    }
}
