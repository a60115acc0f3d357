//! Writing down VMs of an isolate.

use std::time::Duration;

use bevy::platform::collections::HashMap;

use super::super::Isolate;
use super::super::config::TickTime;
use super::super::keys::{ProcessKey, WaitId};
use super::super::processes::Pause;
use super::super::run_queue::RunQueue;
use super::super::state::OpenState;
use super::super::waits::saved::{SavedWaits, WaitsOfVms};
use super::draft::Draft;
use super::job::SaveJob;
use super::{SavedConsole, SavedLife, SavedMore, SavedProcess, SavedTurn, SavedVm};
use crate::luau::Context;
use crate::luau::mailbox::saved::SavedMailbox;
use crate::luau::request::saved::SavedRequest;
use crate::luau::signals::saved::SavedSignals;
use crate::luau::world::WorldRef;
use crate::luau::{self, ImageProgram, SaveRoot};
use crate::save::{Bytes, SaveError, SavedOutcome, SavedValues, encode};
use crate::types::{Deadline, KillReason, Outcome, ProcessIndex, ProcessState, VirtualTime, VmIndex};

/// Slices that a process may have that cannot be saved where it is, ...
const MAX_SLICES: u32 = 4_096;

/// ... of so many safepoints at least. It runs ahead of others, so it is to stop soon where it can be saved.
const MIN_QUANTUM: u32 = 64;

/// What all VMs that are saved together need to be found.
struct Roster {
    /// By VM: queued ones first, in the order of their turns.
    processes: HashMap<VmIndex, Vec<(ProcessKey, Place)>>,
    waits: WaitsOfVms,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Queue,
    Starting,
    Elsewhere,
    Ended,
}

impl Isolate {
    /// Writes down VMs, when it is `now` and the tick with a number is over. Processes that cannot be saved where they
    /// are run on for some slices, and those that never can are saved as ended.
    pub(crate) fn save_vms(
        &mut self,
        jobs: &[SaveJob<'_>],
        now: Duration,
        tick: u32,
    ) -> Vec<Result<Vec<u8>, SaveError>> {
        let world = WorldRef::default();
        let time = TickTime { number: tick, now, deadline: Deadline::NEVER, passes: 1, world };
        for job in jobs {
            for &process in job.scripts.keys() {
                self.run_until_saveable(process, time);
            }
        }
        let mut roster = self.roster(jobs);
        jobs.iter().map(|job| self.save_vm(job, &mut roster, now, tick)).collect()
    }

    fn is_obstructed(&self, process: ProcessIndex) -> bool {
        self.state.as_ref().is_some_and(|state| state.luau.save_obstacle(process).is_some())
    }

    fn run_until_saveable(&mut self, process: ProcessKey, time: TickTime<'_>) {
        for _ in 0..MAX_SLICES {
            if !self.processes.is_live(process) || !self.is_obstructed(process.index) {
                return;
            }
            let vm = self.processes[process.index].vm;
            let debt = self.vms.account_mut(vm).take_used_time();
            let pause = std::mem::replace(&mut self.processes[process.index].pause, Pause::NONE);
            let mut alone = RunQueue::default();
            alone.push(process);
            alone.begin_pass();
            let queue = std::mem::replace(&mut self.processes.queue, alone);
            self.run_slices(self.config.quantum.max(MIN_QUANTUM), time, None);
            let alone = std::mem::replace(&mut self.processes.queue, queue);
            if self.processes.is_live(process) {
                self.processes[process.index].pause = pause;
                if alone.len() == 0 {
                    self.processes.queue.remove(process); // it waits
                }
            }
            self.vms.account_mut(vm).charge_time(debt);
        }
    }

    fn roster(&self, jobs: &[SaveJob<'_>]) -> Roster {
        let mut processes: HashMap<VmIndex, Vec<_>> =
            jobs.iter().map(|job| (job.vm.index, Vec::new())).collect();
        let mut has_place = vec![false; self.processes.records.len()];
        let starting = self.processes.starting.iter().map(|starting| starting.process);
        let starting = starting.filter(|&process| self.processes.is_live(process));
        let placed = self.processes.queued().map(|process| (process, Place::Queue));
        for (process, place) in placed.chain(starting.map(|process| (process, Place::Starting))) {
            let is_first = !std::mem::replace(&mut has_place[process.index.at()], true);
            if let Some(members) = processes.get_mut(&self.processes[process.index].vm).filter(|_| is_first) {
                members.push((process, place));
            }
        }
        for process in self.processes.live_processes().filter(|process| !has_place[process.index.at()]) {
            if let Some(members) = processes.get_mut(&self.processes[process.index].vm) {
                members.push((process, Place::Elsewhere));
            }
        }
        for (index, _) in self.outbox.exits() {
            if let Some(members) = processes.get_mut(&self.processes[index].vm) {
                members.push((self.processes.ended_key(index), Place::Ended));
            }
        }
        let live = |index: ProcessIndex| {
            let record = self.processes.records.get(index.at()).filter(|record| !record.state.has_ended())?;
            let key = ProcessKey { index, generation: record.generation };
            processes.contains_key(&record.vm).then_some((key, record.vm))
        };
        let luau = self.state.as_ref().map(|state| &state.luau);
        let is_waiting =
            |wait: WaitId| luau.is_some_and(|luau| luau.is_waiting(wait.process.index, wait.task));
        let waits = self.waits.of_vms(live, is_waiting);
        Roster { processes, waits }
    }

    fn save_vm(
        &mut self,
        job: &SaveJob<'_>,
        roster: &mut Roster,
        now: Duration,
        tick: u32,
    ) -> Result<Vec<u8>, SaveError> {
        let members = roster.processes.remove(&job.vm.index).unwrap_or_default();
        let waits = roster.waits.take(job.vm.index);
        let Self { host, state, processes, outbox, vms, waits: all_waits, .. } = self;
        let numbers: HashMap<ProcessKey, u32> = members.iter().map(|member| member.0).zip(0..).collect();
        let (record, account) = (vms.record(job.vm.index), vms.account(job.vm.index));

        let mut draft = Draft::new(job, record.libraries);
        let started = members.iter().filter(|member| matches!(member.1, Place::Queue | Place::Elsewhere));
        let started: Vec<ProcessKey> = started.map(|member| member.0).collect();
        // What the heap names comes first: the others may run what does not compile.
        started.iter().for_each(|&process| draft.add_script_of(process));
        let starting = || processes.starting.iter().filter(|it| numbers.contains_key(&it.process));
        for starting in starting() {
            draft.add_function_of(starting.process, starting.start.as_deref());
        }
        job.newcomers.iter().for_each(|newcomer| draft.add_newcomer(newcomer));
        let programs = draft.scripts.len();
        starting().for_each(|starting| draft.add_script_of(starting.process));
        draft.add_scripts_of_newcomers();
        let in_outbox = outbox.kernel_requests().filter(|(wait, _)| numbers.contains_key(&wait.process));
        let requests = job.requests.iter().copied().chain(in_outbox);
        let requests = requests.filter(|&(wait, _)| waits.is_pending(wait));
        let mut requests: Vec<(WaitId, SavedRequest)> =
            requests.map(|(wait, request)| (wait, draft.request(request))).collect();
        let heap = match state {
            Some(state) => heap(state, &mut draft, &started, programs)?,
            None => Vec::new(),
        };

        for (_, request) in &mut requests {
            if let SavedRequest::SpawnFunction { function, .. } = request {
                *function = draft.saved_function(*function);
            }
        }
        let ahead = record.clock;
        let time = |time: VirtualTime| time.shifted(ahead).nanoseconds();
        let (saved_waits, wait_numbers) =
            waits.save(all_waits, job.vm.index, |process| numbers.get(&process).copied(), ahead);
        let repeats = wait_numbers.iter().filter_map(|(&wait, &number)| {
            let (syscall, arguments) = all_waits.repeats.of(wait)?;
            let path = host.path_of_syscall(syscall)?;
            Some((number, path.to_bytes().into(), arguments.iter().collect()))
        });
        let mut repeats: Vec<(u32, Bytes, SavedValues)> = repeats.collect();
        repeats.sort_unstable_by_key(|repeat| repeat.0);
        let context = state.as_ref().map(|state| state.luau.context_ref());
        let outcomes: HashMap<ProcessIndex, Outcome> = outbox.exits().collect();
        let spawned_at = record.spawned_at();
        let mut saved = Vec::with_capacity(members.len());
        for &(process, place) in &members {
            let (record, origin) = (&processes[process.index], processes.origin(process.index));
            let life = match place {
                Place::Ended => {
                    let outcome = outcomes.get(&process.index).map_or_else(unknown_end, SavedOutcome::from);
                    SavedLife::Ended(outcome)
                }
                _ if let Some(why) = draft.refused.remove(&process) => {
                    SavedLife::Ended(SavedOutcome::Killed(KillReason::NotSaved { why: why.into() }))
                }
                Place::Starting => SavedLife::Starting(Box::new(draft.start(process, &wait_numbers))),
                _ => SavedLife::Started(draft.script_of(process)),
            };
            let turn = match (place, record.state) {
                (Place::Queue, _) => SavedTurn::Queued,
                (_, ProcessState::Suspended) => SavedTurn::Suspended,
                _ => SavedTurn::Waiting,
            };
            saved.push(SavedProcess {
                pid: origin.pid.get(),
                spawned_after: origin.spawned_at.nanoseconds().saturating_sub(spawned_at.nanoseconds()),
                safepoints: record.safepoints,
                time: record.time,
                slices: record.slices,
                priority: record.priority,
                pause: record.pause.causes(),
                turn,
                life,
                more: context.and_then(|context| more(context, process.index)),
            });
        }
        let task_errors = outbox.task_errors();
        let task_errors =
            task_errors.filter_map(|error| Some((*numbers.get(&error.key)?, (&error.error).into())));
        let vm = SavedVm {
            now: time(now.into()),
            spawned_at: time(spawned_at),
            cpu: record.summary().cpu,
            ended: record.summary().processes,
            used_time: account.used_in(tick),
            console: record.console.as_deref().map(|console| SavedConsole {
                text: Bytes(console.bytes().collect()),
                dropped: console.dropped(),
            }),
            processes: saved,
            scripts: draft.scripts.iter().map(|script| script.0).collect(),
            programs: programs as u32,
            waits: (saved_waits != SavedWaits::default()).then(|| Box::new(saved_waits)),
            requests: requests
                .into_iter()
                .filter_map(|(wait, request)| Some((*wait_numbers.get(&wait.number)?, request)))
                .collect(),
            repeats,
            newcomers: draft.newcomers(&wait_numbers),
            task_errors: task_errors.collect(),
            heap: Bytes(heap.into()),
        };
        Ok(encode(&vm))
    }
}

fn unknown_end() -> SavedOutcome {
    SavedOutcome::Finished(Default::default())
}

/// What the heap has of processes, those that cannot be saved left out. They run the first scripts of the VM, so many.
fn heap(
    state: &mut OpenState,
    draft: &mut Draft<'_>,
    started: &[ProcessKey],
    count: usize,
) -> Result<Vec<u8>, SaveError> {
    loop {
        let OpenState { luau, scripts, .. } = state;
        let mut programs = Vec::with_capacity(count);
        for (_, script) in &draft.scripts[..count] {
            let loaded = scripts.load(luau, script, draft.libraries).map_err(|_| SaveError::OutOfMemory)?;
            programs.push(ImageProgram { script, loaded });
        }
        let left: Vec<ProcessKey> =
            started.iter().copied().filter(|process| !draft.refused.contains_key(process)).collect();
        let functions = draft.functions_left();
        if left.is_empty() && functions.is_empty() {
            return Ok(Vec::new());
        }
        let indices: Vec<ProcessIndex> = left.iter().map(|process| process.index).collect();
        let error = match luau.save_processes(&indices, &programs, &functions) {
            Ok(image) => return Ok(image),
            Err(luau::SaveError::OutOfMemory) => return Err(SaveError::OutOfMemory),
            Err(error) => error,
        };
        let why = error.to_string();
        match error {
            luau::SaveError::NotNow { root, .. } | luau::SaveError::UnknownProgram { root, .. } => match root
            {
                SaveRoot::Process(number) => drop(draft.refused.insert(left[number], why)),
                SaveRoot::Function(number) => draft.refuse_function(number),
            },
            luau::SaveError::OutOfMemory => return Err(SaveError::OutOfMemory),
        }
    }
}

/// What was sent to a process and waits for it, if there is something.
fn more(context: &Context, process: ProcessIndex) -> Option<Box<SavedMore>> {
    let mail = context.mail.get(&process).map(SavedMailbox::from);
    let signals = context.signals.of(process).map(SavedSignals::from);
    let replies = context.replies.saved(process);
    let exports = context.exports.saved(process);
    let is_some = mail.is_some() || signals.is_some() || !replies.is_empty() || !exports.is_empty();
    is_some.then(|| Box::new(SavedMore { mail, signals, replies, exports }))
}
