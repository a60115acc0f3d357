//! Admit: new processes get their isolate, their PID and their thread.

use std::time::Duration;

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::budget::Phase;
use super::parallel::{SharedStats, for_each};
use super::tick::Tick;
use crate::assets::{Program, ScriptParam};
use crate::isolate::{Isolate, OpenState, Suspension, TickTime};
use crate::luau::world::WorldRef;
use crate::process::{Priority, Process, ProcessOf, Restart};
use crate::runtime::{LuauRuntime, ProcessAdmission};
use crate::script::Script;
use crate::types::{Deadline, IsolateStats, Metrics};
use crate::vm::{HostLibraries, PublishedValues, Vm, VmLimits, VmSuspended};

/// The part of the phase in which processes are placed. In the rest they are started.
const PLACING: f64 = 0.3;

/// Isolates that one worker starts one after another, at most.
const MAX_START_BATCH: usize = 16;

/// Batches for each worker at least, so that none waits long for the last.
const BATCHES_PER_WORKER: usize = 4;

type PendingProcesses<'w, 's> = Query<
    'w,
    's,
    (&'static mut Process, Option<&'static ProcessOf>, Option<&'static Priority>, Has<Restart>),
>;

/// What is asked of VMs.
type Vms<'w, 's> = Query<
    'w,
    's,
    (
        &'static mut Vm,
        Option<&'static VmLimits>,
        Option<&'static HostLibraries>,
        Option<&'static PublishedValues>,
        Has<VmSuspended>,
    ),
>;

#[cfg(not(feature = "ecs"))]
pub(crate) fn admit(
    _main_thread: NonSendMarker,
    mut runtime: ResMut<LuauRuntime>,
    mut tick: ResMut<Tick>,
    mut metrics: ResMut<Metrics>,
    (mut scripts, mut processes, mut vms): (ScriptParam, PendingProcesses, Vms),
) {
    place_with(&mut runtime, &mut tick, &mut scripts, &mut processes, &mut vms);
    start_with(&mut runtime, &mut metrics, &mut tick, WorldRef::default());
}

/// Places processes, to be [started](start_with) in another system.
#[cfg(feature = "ecs")]
pub(crate) fn place(
    _main_thread: NonSendMarker,
    mut runtime: ResMut<LuauRuntime>,
    mut tick: ResMut<Tick>,
    (mut scripts, mut processes, mut vms): (ScriptParam, PendingProcesses, Vms),
) {
    place_with(&mut runtime, &mut tick, &mut scripts, &mut processes, &mut vms);
}

fn place_with(
    runtime: &mut LuauRuntime,
    tick: &mut Tick,
    scripts: &mut ScriptParam,
    processes: &mut PendingProcesses,
    vms: &mut Vms,
) {
    let timer = tick.begin_phase(Phase::Admit);
    let place_until = timer.deadline.of_part(timer.began, PLACING);
    // What an earlier tick had no time to start comes first.
    if !runtime.isolates.busy().any(Isolate::can_start) {
        place_pending(runtime, place_until, scripts, processes, vms);
    }
    tick.admitting = Some(timer);
}

/// Starts what has been placed, while scripts may look at the world.
pub(crate) fn start_with(
    runtime: &mut LuauRuntime,
    metrics: &mut Metrics,
    tick: &mut Tick,
    world: WorldRef<'_>,
) {
    let Some(timer) = tick.admitting.take() else { return };
    let time = TickTime {
        number: metrics.ticks as u32,
        now: runtime.now,
        deadline: timer.deadline,
        passes: 1,
        world,
    };
    metrics.add(&start_isolates(runtime, time));
    tick.end_phase(timer);
}

/// Starts what isolates have admitted.
fn start_isolates(runtime: &mut LuauRuntime, time: TickTime<'_>) -> IsolateStats {
    let workers = runtime.workers();
    let max_idle = runtime.isolates_at_a_time() * BATCHES_PER_WORKER;
    let isolates = runtime.isolates.busy_mut().map(|(_, isolate)| isolate);
    let mut isolates: Vec<&mut Isolate> = isolates.filter(|isolate| isolate.can_start()).collect();
    // Which isolate gets whose state must not depend on which worker is faster, or on how many there are. So the isolates
    // of a batch start one after another, and each batch has idle states of its own.
    let batch = (isolates.len() / max_idle).clamp(1, MAX_START_BATCH);
    let mut idle = runtime.idle_states.drain(..);
    let batches = isolates.chunks_mut(batch).map(|batch| (batch, Vec::from_iter(idle.next())));
    let mut batches: Vec<(&mut [&mut Isolate], Vec<OpenState>)> = batches.collect();
    let left = idle.collect();
    let stats = SharedStats::default();
    for_each(batches.iter_mut(), workers, time.deadline, |(isolates, idle_states)| {
        for (i, isolate) in isolates.iter_mut().enumerate() {
            if i > 0 && time.deadline.has_passed() {
                break;
            }
            isolate.start_admitted(time, idle_states);
            stats.take_from(isolate);
        }
    });
    runtime.idle_states = left;
    runtime.idle_states.extend(batches.into_iter().flat_map(|(_, idle_states)| idle_states));
    runtime.idle_states.truncate(max_idle);
    stats.total()
}

/// What is refused anyway is not compiled first.
fn is_ready(runtime: &mut LuauRuntime, vm: Entity, script: &Script, limits: Option<&VmLimits>) -> bool {
    let is_too_long = limits.is_some_and(|limits| script.longest_source() > limits.source_bytes);
    is_too_long || runtime.is_ready(vm, script)
}

/// Whether a process is not to be started yet. Then it stays queued.
fn starts_later(
    runtime: &mut LuauRuntime,
    process: &Process,
    (entity, spawned_at): (Entity, Duration),
) -> bool {
    let starts_later = process.starts_after(runtime.now);
    if starts_later {
        runtime.requeue(entity, spawned_at);
    }
    starts_later
}

/// Gives processes their isolate and PID, in the order in which they were spawned.
fn place_pending(
    runtime: &mut LuauRuntime,
    deadline: Deadline,
    scripts: &mut ScriptParam,
    processes: &mut PendingProcesses,
    vms: &mut Vms,
) {
    // Not more than there are now: what cannot be placed goes to the end again.
    let mut steps = deadline.steps();
    for _ in 0..runtime.pending() {
        let Some((entity, spawned_at)) = runtime.next_pending() else { break };
        if let Ok((mut process, process_of, priority, may_restart)) = processes.get_mut(entity)
            && process.handle.is_none()
            && !starts_later(runtime, &process, (entity, spawned_at))
            && let Some(script) = load(&mut process.program, scripts, (entity, spawned_at))
        {
            match process_of.map(|vm| (vm.0, vms.get_mut(vm.0))) {
                Some((vm, Ok((_, limits, ..)))) if !is_ready(runtime, vm, &script, limits) => {
                    runtime.requeue(entity, spawned_at);
                }
                Some((vm_entity, Ok((mut vm, limits, libraries, published, is_vm_suspended)))) => {
                    let libraries = libraries.map_or(default(), |it| runtime.libraries(it.names()));
                    let start = process.take_start(may_restart);
                    let admission = runtime.admit(
                        vm.admission(vm_entity, limits, libraries, published),
                        ProcessAdmission { entity, script: &script, start, spawned_at },
                    );
                    let handle = admission.process;
                    let (isolate, now) = (handle.isolate, runtime.now);
                    if process.starts_suspended() {
                        runtime.isolate_mut(isolate).suspend(handle.key, Suspension::Process, now);
                    }
                    if is_vm_suspended {
                        runtime.isolate_mut(isolate).suspend(handle.key, Suspension::Vm, now);
                    }
                    vm.admitted(&admission);
                    process.admitted(&admission);
                    if let Some(priority) = priority {
                        runtime.isolate_mut(handle.isolate).set_priority(handle.key, priority.sixteenths());
                    }
                }
                _ => {
                    if process.report_missing_vm() {
                        let name = process.name();
                        warn!(
                            "process {entity} ({name}) waits: it has no `ProcessOf` that names an entity with `Vm`"
                        );
                    }
                    runtime.requeue(entity, spawned_at);
                }
            }
        }
        if steps.out_of_time() {
            break;
        }
    }
}

/// What a process has to run, if that is there. If not, the process waits for it elsewhere.
fn load(program: &mut Program, scripts: &mut ScriptParam, process: (Entity, Duration)) -> Option<Script> {
    if let Program::Loading(handle) = program {
        *program = scripts.program(handle, process)?;
    }
    program.script().cloned()
}
