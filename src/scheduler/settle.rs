//! Settle: the ECS hears what happened; ended processes and finished VMs are despawned.

use std::time::Duration;

use bevy::prelude::*;
use smallvec::SmallVec;

use super::budget::Phase;
use super::kernel_requests::answer_kernel_requests;
use super::tick::Tick;
use crate::console::VmConsole;
use crate::console::log::{ErrorLog, PrintLog};
use crate::isolate::{CallAnswer, Exit, TaskError, VmStatus, VmSummary};
use crate::process::{CallEnded, Process, ProcessExited, Processes, Restart, TaskFailed, VmProcessExited};
use crate::runtime::LuauRuntime;
use crate::types::{CallError, Deadline, Metrics, Outcome, Steps};
use crate::vm::Vm;
use crate::vm::VmExited;

pub(crate) fn settle(world: &mut World) {
    let timer = world.resource::<Tick>().begin_phase(Phase::Settle);
    let deadline = timer.deadline;
    settle_prints(world, deadline);
    settle_task_errors(world, deadline);
    settle_calls(world, deadline);
    answer_kernel_requests(world, deadline);
    let now = world.resource::<LuauRuntime>().now;
    loop {
        let vms_without_processes =
            world.resource_mut::<LuauRuntime>().take_vms_without_processes(Steps::PER_CHECK);
        let is_last = vms_without_processes.len() < Steps::PER_CHECK;
        for (vm, summary) in vms_without_processes {
            settle_vm(world, now, vm, summary);
        }
        if is_last || deadline.has_passed() {
            break;
        }
    }
    loop {
        let exits = world.resource_mut::<LuauRuntime>().take_exits(Steps::PER_CHECK);
        if exits.is_empty() {
            break;
        }
        count(&mut world.resource_mut::<Metrics>(), &exits);
        for exit in exits {
            settle_exit(world, now, exit);
        }
        if deadline.has_passed() {
            break;
        }
    }
    world.resource_mut::<LuauRuntime>().rest();
    world.resource_mut::<Tick>().end_phase(timer);
}

fn settle_prints(world: &mut World, deadline: Deadline) {
    loop {
        let printed = world.resource_mut::<LuauRuntime>().take_printed(Steps::PER_CHECK);
        let is_last = printed.len() < Steps::PER_CHECK;
        for (vm, mut printed) in printed {
            if let Some(mut log) = world.get_resource_mut::<PrintLog>() {
                log.log(vm, &printed.text());
            }
            if let Ok(mut vm) = world.get_entity_mut(vm) {
                vm.entry::<VmConsole>().or_default().get_mut().append(printed);
            }
        }
        if is_last || deadline.has_passed() {
            break;
        }
    }
}

fn settle_task_errors(world: &mut World, deadline: Deadline) {
    loop {
        let errors = world.resource_mut::<LuauRuntime>().take_task_errors(Steps::PER_CHECK);
        let is_last = errors.len() < Steps::PER_CHECK;
        for TaskError { process: entity, key, vm, pid, error } in errors {
            // It may have been despawned or replaced since.
            let process = world.get::<Process>(entity);
            let process = process.filter(|process| process.handle.is_some_and(|handle| handle.key == key));
            if let Some(name) = process.map(Process::shared_name) {
                if let Some(mut log) = world.get_resource_mut::<ErrorLog>() {
                    log.failed(entity, &name, "a task of process", &error);
                }
                world.trigger(TaskFailed { entity, vm, pid, name, error });
            }
        }
        if is_last || deadline.has_passed() {
            break;
        }
    }
}

fn settle_calls(world: &mut World, deadline: Deadline) {
    loop {
        let answers = world.resource_mut::<LuauRuntime>().take_answers(Steps::PER_CHECK);
        let is_last = answers.len() < Steps::PER_CHECK;
        for CallAnswer { process, answer } in answers {
            if let Err(CallError::Failed(error)) = &answer.result
                && let Some(mut log) = world.get_resource_mut::<ErrorLog>()
            {
                log.failed(process, &answer.function, "the call of", error);
            }
            world.trigger(CallEnded::new(process, answer));
        }
        if is_last || deadline.has_passed() {
            break;
        }
    }
}

fn count(metrics: &mut Metrics, exits: &[Exit]) {
    for exit in exits {
        match exit.outcome {
            Outcome::Finished(_) => metrics.processes_finished += 1,
            Outcome::Failed(_) => metrics.processes_failed += 1,
            Outcome::Killed(_) => metrics.processes_killed += 1,
        }
    }
}

fn settle_exit(world: &mut World, now: Duration, exit: Exit) {
    // It may have been despawned or replaced since it ended.
    let process = world.get_mut::<Process>(exit.process);
    let process = process.filter(|process| process.handle.is_some_and(|handle| handle.key == exit.key));
    let is_same = process.is_some();
    if let Some(mut process) = process {
        process.ended();
        let name = process.shared_name();
        if let Some(mut log) = world.get_resource_mut::<ErrorLog>() {
            match &exit.outcome {
                Outcome::Finished(_) => {}
                Outcome::Failed(error) => log.failed(exit.process, &name, "process", error),
                Outcome::Killed(reason) => log.killed(exit.process, &name, reason),
            }
        }
        let delay = world.get::<Restart>(exit.process).and_then(|restart| restart.delay(&exit.outcome));
        let mut event = ProcessExited {
            entity: exit.process,
            vm: exit.vm,
            pid: exit.pid,
            name,
            lifetime: exit.spawned_at.until(now),
            cpu: exit.cpu,
            outcome: exit.outcome,
        };
        world.trigger_ref(&mut event);
        world.trigger(VmProcessExited { entity: exit.vm, exit: event });
        // What observers asked for counts: they may have given the VM a new process.
        world.flush();
        if let Some(delay) = delay {
            restart(world, exit.process, now.saturating_add(delay));
        }
    }
    let is_same = is_same && world.get::<Process>(exit.process).is_none_or(Process::has_ended);
    match exit.vm_status {
        VmStatus::ProcessIsDone if is_same => despawn(world, exit.process),
        VmStatus::ProcessIsDone | VmStatus::VmEndsLater => {}
        VmStatus::VmIsDone(summary) => {
            settle_vm(world, now, exit.vm, summary);
            if is_same {
                despawn(world, exit.process); // unless that has been done: it may not be the VM's any more
            }
        }
    }
}

/// Starts the program of a process again that has ended, unless its entity has another one by now.
fn restart(world: &mut World, process: Entity, at: Duration) {
    let Ok(mut entity) = world.get_entity_mut(process) else { return };
    let ended = entity.get::<Process>().filter(|process| process.has_ended());
    if let Some(restarted) = ended.map(|process| process.restarted(at)) {
        entity.insert(restarted);
    }
}

/// Despawns a VM, or, if it stays or its observers gave it new processes, those that have ended.
fn settle_vm(world: &mut World, now: Duration, vm: Entity, summary: VmSummary) {
    let Ok(entity) = world.get_entity(vm) else { return };
    // One whose `Process` was taken away has ended, too.
    let has_ended = |process: &Entity| world.get::<Process>(*process).is_none_or(Process::has_ended);
    let members = entity.get::<Processes>().map_or(&[][..], |it| it);
    let stays = entity.get::<Vm>().is_none_or(Vm::is_persistent);
    if stays || !members.iter().all(has_ended) {
        let ended: SmallVec<[Entity; 8]> = members.iter().copied().filter(has_ended).collect();
        for process in ended {
            despawn(world, process);
        }
        return;
    }
    world.trigger(VmExited {
        entity: vm,
        processes: summary.processes,
        lifetime: summary.spawned_at.until(now),
        cpu: summary.cpu,
    });
    // Bevy would despawn the processes too, through two commands for each: twice the time.
    let members = world.get_mut::<Processes>(vm).map(|mut processes| processes.take());
    despawn(world, vm);
    for process in members.unwrap_or_default() {
        despawn(world, process);
    }
}

fn despawn(world: &mut World, entity: Entity) {
    if let Ok(entity) = world.get_entity_mut(entity) {
        entity.despawn();
    }
}
