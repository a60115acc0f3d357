//! Loading VMs into an isolate.
//!
//! What is loaded may be wrong in any way. Whatever is found, nothing of the VM is left then.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bevy::platform::collections::{HashMap, HashSet};
use bevy::prelude::*;

use super::super::Isolate;
use super::super::admission::set_clock;
use super::super::exit::TaskError;
use super::super::keys::{ProcessKey, RequestId, VmKey, WaitId};
use super::super::processes::{Pause, ProcessOrigin};
use super::super::start::{Start, Starting};
use super::super::state::OpenState;
use super::draft::NO_FUNCTION;
use super::{SavedLife, SavedMore, SavedProcess, SavedStart, SavedTurn, SavedVm};
use crate::console::ConsoleBuffer;
use crate::luau::request::ExternalRequest;
use crate::luau::request::saved::SavedRequest;
use crate::luau::{FunctionRef, HostFunctions, VmName};
use crate::luau::{ImageLimits, ImagePlace, ImageProgram, LoadedImage};
use crate::save::{Bytes, LoadError, SavedValues, decode};
use crate::script::Script;
use crate::types::{CpuUsage, KillReason, Outcome, Pid, ProcessState, ScriptError, VirtualTime};
use crate::value::Arguments;

/// Nanoseconds that a saved time may be away from the beginning: a hundred years.
const MAX_TIME: i64 = 100 * 366 * 24 * 3600 * 1_000_000_000;

/// What a count in a save may be: so many that no sum of them is too large.
const MAX_COUNT: u64 = 1 << 60;

const UNANSWERED: &str = "the game was saved before it answered, and was loaded again";
const GONE: &str = "the game was saved before it answered, and has no such syscall any more";
const NOT_SAVED: &str = "it could not be saved";

/// A VM that is to be loaded.
#[derive(Clone, Copy)]
pub(crate) struct LoadJob<'a> {
    pub(crate) vm: VmKey,
    /// As [`Isolate::save_vms`] has written it.
    pub(crate) saved: &'a [u8],
    /// Where that begins in the save.
    pub(crate) offset: usize,
    /// All scripts of the save.
    pub(crate) scripts: &'a [Script],
    /// The number of the isolate.
    pub(crate) isolate: u32,
    /// The time on the app's clock at which the VM's clock is to show what it showed: that of the tick before.
    pub(crate) since: Duration,
    /// The number of that tick.
    pub(crate) tick: u32,
}

/// What was loaded.
#[derive(Debug)]
pub(crate) struct LoadedVm {
    /// Processes that are in the isolate now, and what they run. Those that have ended are without.
    pub(crate) processes: Vec<(ProcessKey, Pid, Option<Script>)>,
    pub(crate) newcomers: Vec<Newcomer>,
    /// Why processes could not go on.
    pub(crate) failed: Vec<(Pid, String)>,
}

/// A process that is to be admitted.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) script: Script,
    pub(crate) start: Box<Start>,
    pub(crate) is_suspended: bool,
}

impl Isolate {
    /// Loads a VM that has just been [added](Isolate::add_vm).
    pub(crate) fn load_vm(
        &mut self,
        job: LoadJob<'_>,
        idle_states: &mut Vec<OpenState>,
    ) -> Result<LoadedVm, LoadError> {
        let mut saved: SavedVm = decode(job.saved, job.offset)?;
        let wrong = |reason: &str| LoadError::new(job.offset, reason);
        let limit = self.vms.limits(job.vm.index).processes;
        check(&saved, job.scripts.len(), limit).map_err(|reason| wrong(&reason))?;
        self.open(idle_states).map_err(|error| wrong(&error.message))?;

        let clock = saved.now.saturating_sub(VirtualTime::from(job.since).nanoseconds());
        let vm_spawned_at = saved.spawned_at;
        let keys = saved.processes.iter().map(|process| {
            let spawned_at = vm_spawned_at.saturating_add(process.spawned_after);
            let spawned_at = VirtualTime::from_nanoseconds(spawned_at).shifted(clock.saturating_neg());
            let pid = NonZeroU32::new(process.pid).map_or(Pid(NonZeroU32::MIN), Pid);
            let origin = ProcessOrigin { process: Entity::PLACEHOLDER, spawned_at, pid };
            self.vms.record_mut(job.vm.index).live += 1;
            self.processes.insert(job.vm.index, origin)
        });
        let keys: Vec<ProcessKey> = keys.collect();
        let record = self.vms.record_mut(job.vm.index);
        record.clock = clock;
        record.set_spawned_at(VirtualTime::from_nanoseconds(vm_spawned_at).shifted(clock.saturating_neg()));
        let heap = std::mem::take(&mut saved.heap);
        let heap_at = job.offset + job.saved.len() - heap.0.len();
        let loaded = self.load_heap(&heap.0, heap_at, job, &saved, &keys);
        let filled = loaded.and_then(|image| {
            let more = self.fill(job, saved, &keys, image, clock);
            more.map_err(|reason| LoadError::new(job.offset, reason))
        });
        if filled.is_err() {
            keys.into_iter().for_each(|key| _ = self.remove_process(key));
        }
        self.measure();
        filled
    }

    /// Loads what the processes have in the heap.
    fn load_heap(
        &mut self,
        heap: &[u8],
        offset: usize,
        job: LoadJob<'_>,
        saved: &SavedVm,
        keys: &[ProcessKey],
    ) -> Result<LoadedImage, LoadError> {
        let started =
            saved.processes.iter().zip(keys).filter(|it| matches!(it.0.life, SavedLife::Started(_)));
        let started: Vec<ProcessKey> = started.map(|(_, key)| *key).collect();
        let places = started.into_iter().map(|key| {
            let category = self.assign_category(key.index);
            let ProcessOrigin { process: entity, pid, .. } = self.processes.origin(key.index);
            ImagePlace { process: key.index, category, entity, pid, vm: job.vm.index }
        });
        let places: Vec<ImagePlace> = places.collect();
        if heap.is_empty() && places.is_empty() {
            return Ok(LoadedImage::default());
        }
        let limits = self.vms.limits(job.vm.index).clone();
        let record = self.vms.record(job.vm.index);
        let (name, clock) = (VmName { id: record.id, entity: record.vm }, record.clock);
        let (libraries, published) = (record.libraries, record.published.clone());
        let Some(OpenState { luau, scripts, .. }) = &mut self.state else {
            return Err(LoadError::new(offset, "there is no Luau state"));
        };
        luau.context().name_vm(job.vm.index, name);
        luau.context().publish(job.vm.index, published);
        set_clock(luau, job.vm.index, clock);
        let programs = saved.scripts.iter().take(saved.programs as usize).map(|&number| {
            let script = &job.scripts[number as usize];
            let is_short = script.longest_source() <= limits.source_bytes;
            let loaded = scripts.load(luau, script, libraries).ok().filter(|_| is_short)?;
            Some(ImageProgram { script, loaded })
        });
        let programs: Vec<Option<ImageProgram<'_>>> = programs.collect();
        let limits = ImageLimits { bytes: limits.memory_bytes, coroutines: limits.coroutines };
        let loaded = luau.load_processes(heap, &places, &programs, &limits);
        loaded.map_err(|error| LoadError::new(offset + error.offset, error.reason))
    }

    /// The rest of a VM whose processes have their threads.
    fn fill(
        &mut self,
        job: LoadJob<'_>,
        saved: SavedVm,
        keys: &[ProcessKey],
        image: LoadedImage,
        clock: i64,
    ) -> Result<LoadedVm, &'static str> {
        let vm = job.vm.index;
        let script = |number: u32| job.scripts[saved.scripts[number as usize] as usize].clone();
        let waits = saved.waits.map(|waits| *waits).unwrap_or_default();
        let unanswered = waits.syscalls();
        let waits = waits.load(&mut self.waits, vm, keys, clock)?;
        let mut starts =
            Starts { functions: image.functions.into_iter().map(Some).collect(), waits: &waits, job };
        for (wait, request) in saved.requests {
            let wait = waits[wait as usize];
            if let SavedRequest::SpawnFunction { function: NO_FUNCTION, .. } = request {
                self.reply(wait, Err(NOT_SAVED.to_owned()));
                continue;
            }
            let request = request.request(|function| starts.take_function(function))?;
            self.outbox.push_request(wait, ExternalRequest::Kernel(Box::new(request)));
        }
        let mut newcomers = Vec::new();
        for start in saved.newcomers {
            let (script, is_suspended) = (script(start.script), start.is_suspended);
            let parent = start.parent.map(|parent| waits[parent as usize]);
            match starts.start(start)? {
                Some(start) => newcomers.push(Newcomer { script, start, is_suspended }),
                None => parent.into_iter().for_each(|wait| self.reply(wait, Err(NOT_SAVED.to_owned()))),
            }
        }
        let mut failed = image.failed.into_iter().peekable();
        let mut started = 0;
        let mut loaded = LoadedVm { processes: Vec::new(), newcomers, failed: Vec::new() };
        let mut ends: Vec<(ProcessKey, Outcome)> = Vec::new();
        for (process, &key) in saved.processes.into_iter().zip(keys) {
            let pid = self.processes.origin(key.index).pid;
            let SavedProcess { life, turn, more, .. } = self.set_record(key, process);
            let mut runs = None;
            match life {
                SavedLife::Started(number) => {
                    runs = Some(script(number));
                    if let Some((_, why)) = failed.next_if(|failed| failed.0 == started) {
                        let error = ScriptError::new(format!("it could not be loaded: {why}"));
                        ends.push((key, Outcome::Failed(error)));
                        loaded.failed.push((pid, why));
                    } else if turn == SavedTurn::Queued {
                        self.processes.queue.push(key);
                    } else {
                        let is_suspended = turn == SavedTurn::Suspended;
                        self.processes[key.index].state =
                            if is_suspended { ProcessState::Suspended } else { ProcessState::Waiting };
                    }
                    started += 1;
                }
                SavedLife::Starting(start) => {
                    let script = script(start.script);
                    runs = Some(script.clone());
                    match starts.start(*start)? {
                        Some(mut start) => {
                            let signals = std::mem::take(&mut start.signals);
                            self.signals_mut().insert(key.index, signals);
                            self.start_later(Starting { process: key, script, start: Some(start) });
                        }
                        None => {
                            ends.push((key, Outcome::Killed(KillReason::NotSaved { why: NOT_SAVED.into() })))
                        }
                    }
                }
                SavedLife::Ended(outcome) => ends.push((key, outcome.outcome()?)),
            }
            if let Some(more) = more {
                self.load_more(key, *more)?;
            }
            loaded.processes.push((key, pid, runs));
        }
        for (number, error) in saved.task_errors {
            let key = keys[number as usize];
            let pid = self.processes.origin(key.index).pid;
            let entity = self.vms.record(vm).vm;
            let error = error.error()?;
            self.outbox.push_task_error(TaskError {
                process: Entity::PLACEHOLDER,
                key,
                vm: entity,
                pid,
                error,
            });
        }
        let repeats: HashMap<u32, (Bytes, SavedValues)> =
            saved.repeats.into_iter().map(|(wait, path, arguments)| (wait, (path, arguments))).collect();
        self.make_again(unanswered, repeats, &waits)?;
        let capacity = self.vms.limits(vm).console_bytes;
        self.vms.account_mut(vm).set_used(saved.used_time, job.tick);
        let record = self.vms.record_mut(vm);
        record.console = saved
            .console
            .map(|console| Box::new(ConsoleBuffer::restored(&console.text.0, console.dropped, capacity)));
        if record.console.is_some() {
            self.outbox.push_printed(vm);
        }
        for (key, outcome) in ends {
            self.end(key.index, outcome);
            self.drop_thread(key.index);
        }
        self.vms.record_mut(vm).set_ended(saved.cpu, saved.ended);
        Ok(loaded)
    }

    /// Syscalls without an answer are made again, or fail.
    fn make_again(
        &mut self,
        unanswered: Vec<u32>,
        mut repeats: HashMap<u32, (Bytes, SavedValues)>,
        waits: &[WaitId],
    ) -> Result<(), &'static str> {
        for number in unanswered {
            let wait = waits[number as usize];
            let Some((path, arguments)) = repeats.remove(&number) else {
                self.reply(wait, Err(UNANSWERED.to_owned()));
                continue;
            };
            let arguments: Arguments = arguments.values()?;
            let request = self.host.syscall(&path.0).map(|host| HostFunctions::parse(host, arguments));
            match request {
                Some(Ok(mut request)) => {
                    self.waits.repeats.keep(wait, &mut request);
                    self.outbox.push_request(wait, request);
                }
                _ => self.reply(wait, Err(GONE.to_owned())),
            }
        }
        Ok(())
    }

    /// Sets what slices count, and takes it out.
    fn set_record(&mut self, key: ProcessKey, process: SavedProcess) -> SavedProcess {
        let record = &mut self.processes[key.index];
        record.safepoints = process.safepoints;
        record.time = process.time;
        record.slices = process.slices;
        record.priority = process.priority.max(1);
        record.pause = Pause::of_causes(process.pause);
        process
    }

    /// What was sent to a process.
    fn load_more(&mut self, key: ProcessKey, more: SavedMore) -> Result<(), &'static str> {
        let SavedMore { mail, signals, replies, exports } = more;
        if let Some(signals) = signals {
            self.signals_mut().insert(key.index, signals.signals()?);
        }
        let context = self.state.as_mut().ok_or("there is no Luau state")?.luau.context();
        if let Some(mail) = mail {
            context.mail.insert(key.index, mail.mailbox()?);
        }
        context.exports.load(key.index, exports);
        context.replies.load(key.index, replies)
    }

    /// The entity of a process that was loaded.
    pub(crate) fn set_entity(&mut self, key: ProcessKey, entity: Entity) {
        self.processes.origins[key.index.at()].process = entity;
        if let Some(state) = &mut self.state {
            state.luau.context().set_entity(key.index, entity);
        }
        self.outbox.set_entity(key, entity);
    }
}

/// Makes what processes start with.
struct Starts<'a> {
    functions: Vec<Option<FunctionRef>>,
    waits: &'a [WaitId],
    job: LoadJob<'a>,
}

impl Starts<'_> {
    fn take_function(&mut self, number: u32) -> Option<FunctionRef> {
        self.functions.get_mut(number as usize)?.take()
    }

    /// `None` if its function could not be saved.
    fn start(&mut self, saved: SavedStart) -> Result<Option<Box<Start>>, &'static str> {
        let SavedStart { name, arguments, function, signals, parent, .. } = saved;
        if function == Some(NO_FUNCTION) {
            return Ok(None);
        }
        let function = function.map(|number| self.take_function(number).ok_or("there is no such function"));
        let isolate = self.job.isolate;
        Ok(Some(Box::new(Start {
            name: name.map(Arc::from),
            arguments: arguments.values()?,
            function: function.transpose()?,
            signals: signals.map(|signals| signals.signals()).transpose()?.unwrap_or_default(),
            parent: parent.map(|parent| RequestId { isolate, wait: self.waits[parent as usize] }),
            ..Start::default()
        })))
    }
}

/// Whether all numbers in a VM are those of something, and within their limits.
fn check(saved: &SavedVm, scripts: usize, limit: u32) -> Result<(), String> {
    let processes = saved.processes.len();
    if processes + saved.newcomers.len() > limit as usize {
        return Err(format!("it has {} processes, of {limit}", processes + saved.newcomers.len()));
    }
    let mut pids = HashSet::new();
    if !saved.processes.iter().all(|process| process.pid > 0 && pids.insert(process.pid)) {
        return Err("two processes have the same number".to_owned());
    }
    let times =
        saved.processes.iter().map(|process| process.spawned_after).chain([saved.now, saved.spawned_at]);
    if !{ times }.all(|time| (-MAX_TIME..=MAX_TIME).contains(&time)) {
        return Err("a time is more than a hundred years away".to_owned());
    }
    let CpuUsage { safepoints, slices, time } = saved.cpu;
    let counts = saved.processes.iter().flat_map(|process| [process.safepoints, process.time]);
    let is_small = |count: u64| count <= MAX_COUNT;
    if !counts.chain([safepoints, slices]).all(is_small) || time.as_nanos() > u128::from(MAX_COUNT) {
        return Err("a count is too large".to_owned());
    }
    let starts = saved.processes.iter().filter_map(|process| match &process.life {
        SavedLife::Starting(start) => Some(&**start),
        _ => None,
    });
    let starts = || starts.clone().chain(&saved.newcomers);
    let started = saved.processes.iter().filter_map(|process| match process.life {
        SavedLife::Started(script) => Some(script),
        _ => None,
    });
    let local = started.chain(starts().map(|start| start.script));
    if !{ local }.all(|script| (script as usize) < saved.scripts.len())
        || !saved.scripts.iter().all(|&script| (script as usize) < scripts)
    {
        return Err("there is no such script".to_owned());
    }
    let waits = saved.waits.as_ref();
    waits.map_or(Ok(()), |waits| waits.check(processes))?;
    let waits = waits.map_or(0, |waits| waits.len());
    let parents = starts().filter_map(|start| start.parent);
    if !saved.requests.iter().map(|request| request.0).chain(parents).all(|wait| (wait as usize) < waits) {
        return Err("there is no such wait".to_owned());
    }
    if !saved.task_errors.iter().all(|error| (error.0 as usize) < processes) {
        return Err("an error is of no process".to_owned());
    }
    Ok(())
}
