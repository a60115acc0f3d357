//! Settle: the kernel answers what scripts have asked.

use std::time::Duration;

use bevy::prelude::*;
use smallvec::smallvec;

use crate::isolate::Posted;
use crate::isolate::Start;
use crate::luau::Reply;
use crate::luau::request::{Address, KernelRequest, Program};
use crate::process::{Process, ProcessOf, Processes};
use crate::runtime::{LuauRuntime, ProcessHandle};
use crate::script::Script;
use crate::types::{Deadline, KillReason, TickBudget};
use crate::value::Value;
use crate::value::Values;
use crate::vm::{MailPolicy, Vm, VmLimits};

/// What it takes to compile source that a script has made up, on whatever thread: its VM pays for that.
const COMPILE_NS_PER_BYTE: u64 = 40;

/// What the name of a process ends with whose source was made by a script.
const SPAWNED: &str = ":spawned";

/// Answers what scripts have asked the kernel, until the deadline. The rest is answered in the next tick.
pub(super) fn answer_kernel_requests(world: &mut World, deadline: Deadline) {
    let mut steps = deadline.steps();
    while let Some(posted) = world.resource_mut::<LuauRuntime>().next_kernel_request() {
        let id = posted.id;
        if let Some(reply) = answer(world, posted) {
            world.resource_mut::<LuauRuntime>().reply(id, reply);
        }
        if steps.out_of_time() {
            break;
        }
    }
}

/// `None` if the answer comes later.
fn answer(world: &mut World, posted: Posted<Box<KernelRequest>>) -> Option<Reply> {
    let Posted { id, vm, process, pid: caller, request } = posted;
    match *request {
        KernelRequest::Spawn { program, arguments } => {
            let running = world.get::<Processes>(vm).map_or(0, |it| it.len());
            let limit = world.get::<VmLimits>(vm).map_or(0, |limits| limits.processes as usize);
            if running >= limit {
                return Some(Err(format!("its VM has {running} processes, of {limit}")));
            }
            let parent = world.get::<Process>(process)?;
            let name = parent.shared_name();
            let (script, function) = match program {
                // A name does not grow from one generation to the next.
                Program::Source(source) => {
                    let name = format!("{}{SPAWNED}", name.strip_suffix(SPAWNED).unwrap_or(&name));
                    let script = match parent.script() {
                        Some(parent) => parent.child(name, source),
                        None => Script::new(name, source),
                    };
                    (script, None)
                }
                Program::Function(function) => (parent.script()?.clone(), Some(function)),
            };
            let time = Duration::from_nanos(COMPILE_NS_PER_BYTE) * script.source().len() as u32;
            let charged = if function.is_some() { Duration::ZERO } else { time };
            let name = Some(script.shared_name());
            let start = Start { name, arguments, function, parent: Some(id), ..default() };
            let mut runtime = world.resource_mut::<LuauRuntime>();
            let isolate = runtime.isolate_mut(id.isolate);
            isolate.charge_time(id.wait.process, charged);
            let mut child = Process::new(script).with_start(start);
            child.set_starts_suspended(isolate.is_suspended(id.wait.process));
            world.spawn((child, ProcessOf(vm)));
            None
        }
        KernelRequest::Kill(pid) => {
            let found = find(world, vm, pid);
            let mut runtime = world.resource_mut::<LuauRuntime>();
            let killed = found.is_some_and(|(_, handle)| {
                runtime.isolate_mut(handle.isolate).kill(handle.key, KillReason::Requested)
            });
            Some(Ok(smallvec![killed.into()]))
        }
        KernelRequest::List => {
            let mut pids: Vec<u32> = members(world, vm)
                .filter_map(|process| Some(world.get::<Process>(process)?.pid()?.get()))
                .collect();
            pids.sort_unstable();
            let pids =
                (1..).map(|i| f64::from(i).into()).zip(pids.into_iter().map(|pid| f64::from(pid).into()));
            Some(Ok(smallvec![Value::Table(pids.collect())]))
        }
        KernelRequest::Info(pid) => Some(Ok(smallvec![info(world, vm, pid).unwrap_or(Value::Nil)])),
        KernelRequest::Join { pid, timeout } => {
            let found = find(world, vm, pid);
            let mut runtime = world.resource_mut::<LuauRuntime>();
            let now = runtime.now;
            let vm_index = runtime.isolate_mut(id.isolate).vm_of(id.wait.process)?;
            let isolate = runtime.isolate_mut(id.isolate);
            if found.is_some() {
                isolate.join(vm_index, pid, id.wait);
                if let Some(timeout) = timeout {
                    isolate.set_timeout(id.wait, now.saturating_add(timeout));
                }
                return None;
            }
            let unknown = || smallvec![Value::Nil, "no such process".into()];
            Some(Ok(isolate.retained_exit(vm_index, pid).unwrap_or_else(unknown)))
        }
        KernelRequest::Monitor(pid) => {
            let found = find(world, vm, pid);
            let mut runtime = world.resource_mut::<LuauRuntime>();
            let isolate = runtime.isolate_mut(id.isolate);
            let vm_index = isolate.vm_of(id.wait.process)?;
            Some(Ok(done(match found {
                Some(_) => isolate.monitor(vm_index, pid, id.wait.process),
                None => Err("no such process"),
            })))
        }
        KernelRequest::Send { to, value } => {
            let target = to.vm.map_or(Some(vm), |id| world.resource::<LuauRuntime>().vm(id));
            let receiver = target.and_then(|target| find(world, target, to.pid));
            let is_local = target == Some(vm);
            let sender = if is_local {
                f64::from(caller.get()).into()
            } else {
                let id = world.get::<Vm>(vm).and_then(Vm::id).unwrap_or_default();
                (&*Address::text(id, caller.get())).into()
            };
            let may_send = is_local
                || target.and_then(|vm| world.get::<MailPolicy>(vm)).is_some_and(|policy| policy.admits(vm));
            if receiver.is_some() && !may_send {
                return Some(Ok(done(Err("it takes no messages of this VM"))));
            }
            let mut runtime = world.resource_mut::<LuauRuntime>();
            let posted = receiver.ok_or("no such process").and_then(|(_, handle)| {
                runtime.isolate_mut(handle.isolate).post(handle.key, value, sender, is_local)
            });
            Some(Ok(done(posted)))
        }
    }
}

/// `true`, or `false` and why not.
fn done(result: Result<(), &str>) -> Values {
    match result {
        Ok(()) => smallvec![true.into()],
        Err(why) => smallvec![false.into(), why.into()],
    }
}

fn members(world: &World, vm: Entity) -> impl Iterator<Item = Entity> {
    world.get::<Processes>(vm).map_or(&[][..], |it| it).iter().copied()
}

/// The process of `vm` with a number, if it has not ended. One that was moved to `vm` later runs elsewhere.
fn find(world: &World, vm: Entity, pid: u32) -> Option<(Entity, ProcessHandle)> {
    let home = world.get::<Vm>(vm)?.handle?;
    let runtime = world.get_resource::<LuauRuntime>()?;
    members(world, vm).find_map(|entity| {
        let process = world.get::<Process>(entity).filter(|process| !process.has_ended())?;
        let handle = process.handle.filter(|_| process.pid().is_some_and(|it| it.get() == pid))?;
        let handle = Some(handle).filter(|&handle| runtime.lives_on(handle, home))?;
        Some((entity, handle))
    })
}

fn info(world: &mut World, vm: Entity, pid: u32) -> Option<Value> {
    let (entity, handle) = find(world, vm, pid)?;
    let process = world.get::<Process>(entity)?;
    let runtime = world.resource::<LuauRuntime>();
    let info = runtime.process_info(process)?;
    let is_timed = runtime.budget() != TickBudget::Unlimited;
    let memory = world.get::<Vm>(vm).and_then(|vm| runtime.vm_bytes(vm));
    let age = runtime.isolates[handle.isolate].age(handle.key, runtime.now)?.as_secs_f64();
    let name = process.shared_name();
    let mailbox = world.resource_mut::<LuauRuntime>().isolate_mut(handle.isolate).mailbox_len(handle.key);
    let state = format!("{:?}", info.state).to_lowercase();
    let mut entries = vec![
        ("pid".into(), f64::from(pid).into()),
        ("name".into(), (&*name).into()),
        ("state".into(), (&*state).into()),
        ("slices".into(), (info.cpu.slices as f64).into()),
        ("safepoints".into(), (info.cpu.safepoints as f64).into()),
        ("age".into(), age.into()),
        ("mailbox".into(), (mailbox as f64).into()),
        ("signals".into(), (info.signals as f64).into()),
        ("signals_dropped".into(), (info.signals_dropped as f64).into()),
    ];
    // Without a budget, scripts see nothing that differs from run to run.
    if is_timed {
        entries.push(("time".into(), info.cpu.time.as_secs_f64().into()));
    }
    entries.extend(memory.map(|bytes| ("memory".into(), (bytes as f64).into())));
    Some(Value::Table(entries))
}
