//! Admit: new processes get their isolate, their PID and their thread.

use std::time::{Duration, Instant};

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::Tick;
use super::budget::Phase;
use super::parallel::{SharedStats, for_each};
use crate::assets::{Program, ScriptParam};
use crate::isolate::Isolate;
use crate::process::Priority;
use crate::process::{Process, ProcessOf};
use crate::runtime::{LuauRuntime, ProcessAdmission};
use crate::script::Script;
use crate::types::Metrics;
use crate::vm::Vm;
use crate::vm::VmLimits;

/// Processes admitted between two looks at the clock.
const ADMISSIONS_PER_CLOCK_LOOK: usize = 64;

/// The part of the phase after which those are started that have their place by then.
const PLACING: f64 = 0.3;

/// Isolates that one worker starts in a row at most.
const MAX_START_BATCH: usize = 16;

/// Rows for each worker at least, so that none waits long for the last.
const BATCHES_PER_WORKER: usize = 4;

pub(crate) fn admit(
    _main_thread: NonSendMarker,
    mut runtime: ResMut<LuauRuntime>,
    mut tick: ResMut<Tick>,
    mut metrics: ResMut<Metrics>,
    mut scripts: ScriptParam,
    mut processes: Query<(&mut Process, Option<&ProcessOf>, Option<&Priority>)>,
    mut vms: Query<(&mut Vm, Option<&VmLimits>)>,
) {
    let runtime = &mut *runtime;
    let timer = tick.begin_phase(Phase::Admit);
    let start_until = timer.deadline;
    let place_until = start_until.map(|until| timer.began + (until - timer.began).mul_f64(PLACING));
    // What an earlier tick had no time to start comes first.
    if !runtime.isolates.busy().any(Isolate::can_start) {
        place_pending(runtime, place_until, &mut scripts, &mut processes, &mut vms);
    }
    let (tick_number, now, workers) = (metrics.ticks as u32, runtime.now, runtime.workers());
    let mut isolates: Vec<&mut Isolate> = runtime
        .isolates
        .busy_mut()
        .map(|(_, isolate)| isolate)
        .filter(|isolate| isolate.can_start())
        .collect();
    // Which isolate takes over whose state must not depend on who is faster: those of a row run one after another.
    let row = (isolates.len() / (workers * BATCHES_PER_WORKER)).clamp(1, MAX_START_BATCH);
    let stats = SharedStats::default();
    for_each(isolates.chunks_mut(row), workers, start_until, |row| {
        start_batch(row, tick_number, now, start_until, &stats)
    });
    tick.end_phase(timer);
    metrics.add(&stats.total());
}

/// Starts what isolates have admitted, isolate after isolate, those with a Luau state first. One that needs a state takes over
/// that of the last before it that had one, if that is not needed there any more.
fn start_batch(
    row: &mut [&mut Isolate],
    tick: u32,
    now: Duration,
    deadline: Option<Instant>,
    stats: &SharedStats,
) {
    row.sort_by_key(|isolate| !isolate.has_state());
    let mut last_with_state: Option<usize> = None;
    for i in 0..row.len() {
        let (before, rest) = row.split_at_mut(i);
        let isolate = &mut *rest[0];
        if let Some(other) = last_with_state {
            isolate.adopt_state(before[other]);
        }
        isolate.start_admitted(tick, now, deadline);
        stats.take_from(isolate);
        last_with_state = if isolate.has_state() { Some(i) } else { last_with_state };
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
    }
}

/// What is refused anyway is not compiled first.
fn is_ready(runtime: &mut LuauRuntime, vm: Entity, script: &Script, limits: Option<&VmLimits>) -> bool {
    let is_too_long = limits.is_some_and(|limits| script.longest_source() > limits.source_bytes);
    is_too_long || runtime.is_ready(vm, script)
}

/// Gives processes their isolate and PID, in the order in which they were spawned.
fn place_pending(
    runtime: &mut LuauRuntime,
    deadline: Option<Instant>,
    scripts: &mut ScriptParam,
    processes: &mut Query<(&mut Process, Option<&ProcessOf>, Option<&Priority>)>,
    vms: &mut Query<(&mut Vm, Option<&VmLimits>)>,
) {
    // Not more than there are now: what cannot be placed goes to the end again.
    for placed in 1..=runtime.pending() {
        let Some((entity, spawned_at)) = runtime.next_pending() else { break };
        if let Ok((mut process, process_of, priority)) = processes.get_mut(entity)
            && process.handle.is_none()
            && let Some(script) = load(&mut process.program, scripts, (entity, spawned_at))
        {
            match process_of.map(|vm| (vm.0, vms.get_mut(vm.0))) {
                Some((vm, Ok((_, limits)))) if !is_ready(runtime, vm, &script, limits) => {
                    runtime.requeue(entity, spawned_at);
                }
                Some((vm_entity, Ok((mut vm, limits)))) => {
                    let start = process.take_start();
                    let admission = runtime.admit(
                        vm.admission(vm_entity, limits),
                        ProcessAdmission { entity, script: &script, start, spawned_at },
                    );
                    vm.admitted(&admission);
                    process.admitted(&admission);
                    if let Some(priority) = priority {
                        let handle = admission.process;
                        runtime.isolate_mut(handle.isolate).set_priority(handle.slot, priority.sixteenths());
                    }
                }
                _ => {
                    warn_once!(
                        "process {entity} waits: it has no `ProcessOf` that names an entity with `Vm`"
                    );
                    runtime.requeue(entity, spawned_at);
                }
            }
        }
        if placed % ADMISSIONS_PER_CLOCK_LOOK == 0
            && deadline.is_some_and(|deadline| Instant::now() >= deadline)
        {
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
