//! Processes: the running programs of a VM.

mod calls;
mod commands;
mod exit;
mod info;
mod priority;
mod relationship;
mod restart;
#[cfg(feature = "save")]
mod saved;
mod task_failed;

use std::sync::Arc;
use std::time::Duration;

use bevy::ecs::lifecycle::HookContext;
use bevy::ecs::world::DeferredWorld;
use bevy::prelude::*;

use crate::assets::{LuauScript, Program};
use crate::isolate::{Call, Start};
use crate::luau::signals::Signal;
use crate::runtime::{Admission, LuauRuntime, ProcessHandle};
use crate::script::Script;
use crate::types::{Limits, Metrics, Pid};
use crate::value::Value;

pub use calls::{CallCommandsExt, CallEnded};
pub use commands::ProcessCommandsExt;
pub use exit::{ProcessExited, VmProcessExited};
pub use info::ProcessInfo;
pub use priority::Priority;
pub use relationship::{ProcessOf, Processes};
pub use restart::Restart;
pub use task_failed::TaskFailed;

/// One running Luau program. Spawn it with a [`ProcessOf`] that names its VM:
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn boot(mut commands: Commands) {
///     let vm = commands.spawn(Vm::new()).id();
///     let script = Script::new("hello", "print('hello from ' .. _VERSION)");
///     commands.spawn((Process::new(script), ProcessOf(vm)));
/// }
/// ```
///
/// It starts in the next tick, or, if its script is an asset, when that is loaded. When it ends,
/// [`ProcessExited`] is triggered on its entity and the entity is despawned.
///
/// Despawning the entity or its VM, taking the component away, or inserting it again stops the process where it is,
/// without an event. [`LuauRuntime::process_info`] tells where it is in its life and what it has cost.
///
/// A clone of the component is a new process of the same script and name. Arguments are cloned as long as the process
/// has not started; later only if its script is an asset, because otherwise they are not kept.
///
/// The library gives processes no [`Name`]: there may be hundreds of thousands, and it would take 32 bytes and more of
/// each. Spawn them with one if you want to find them in an inspector.
#[derive(Component, Debug, Reflect)]
#[component(on_insert = enqueue, on_discard = release)]
#[reflect(Component, Clone, Debug, from_reflect = false)]
pub struct Process {
    pub(crate) program: Program,
    /// What most processes do not have.
    #[reflect(ignore)]
    start: Option<Box<Start>>,
    #[reflect(ignore)]
    life: Life,
    pid: Option<Pid>,
    #[reflect(ignore)]
    pub(crate) handle: Option<ProcessHandle>,
}

/// What the ECS knows of a process's life. What it does while it is admitted only its isolate knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    New {
        /// Whether the log says that it has no VM.
        is_reported: bool,
        /// Whether it starts suspended.
        is_suspended: bool,
    },
    Admitted,
    Ended,
}

// There may be hundreds of thousands.
const _: () = assert!(size_of::<Process>() <= 56);

impl Process {
    /// A process that will run a [`Script`], or a `Handle<LuauScript>`.
    pub fn new(script: impl Into<ScriptSource>) -> Self {
        let ScriptSource(program) = script.into();
        Self::of(program)
    }

    fn of(program: Program) -> Self {
        Self {
            program,
            start: None,
            life: Life::New { is_reported: false, is_suspended: false },
            pid: None,
            handle: None,
        }
    }

    /// Gives the process a name of its own instead of its script's.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.start.get_or_insert_default().name = Some(name.into());
        self
    }

    /// Passes arguments: what `...` is in the main chunk, and `process.args`.
    #[must_use]
    pub fn with_args(mut self, args: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        self.start.get_or_insert_default().arguments.extend(args.into_iter().map(Into::into));
        self
    }

    /// The runtime has taken it on.
    pub(crate) fn admitted(&mut self, admission: &Admission) {
        self.pid = Some(admission.pid);
        self.life = Life::Admitted;
        self.handle = Some(admission.process);
    }

    /// It has ended.
    pub(crate) fn ended(&mut self) {
        self.life = Life::Ended;
        self.handle = None;
    }

    /// Whether it has ended. Its entity is about to be despawned then, unless its VM was taken away.
    pub(crate) fn has_ended(&self) -> bool {
        self.life == Life::Ended
    }

    /// Whether it has not been admitted.
    pub(crate) fn is_new(&self) -> bool {
        matches!(self.life, Life::New { .. })
    }

    /// Whether this is the first time that it is found without a VM.
    pub(crate) fn report_missing_vm(&mut self) -> bool {
        match &mut self.life {
            Life::New { is_reported, .. } => !std::mem::replace(is_reported, true),
            _ => false,
        }
    }

    /// Whether it gets no turns when it is admitted; `false` if it was.
    pub(crate) fn starts_suspended(&self) -> bool {
        matches!(self.life, Life::New { is_suspended: true, .. })
    }

    /// Says so, as long as it is new.
    pub(crate) fn set_starts_suspended(&mut self, starts_suspended: bool) {
        if let Life::New { is_suspended, .. } = &mut self.life {
            *is_suspended = starts_suspended;
        }
    }

    /// A process that a script has started.
    pub(crate) fn with_start(mut self, start: Start) -> Self {
        self.start = Some(Box::new(start));
        self
    }

    /// Keeps a signal for when it starts. Returns how many there was no room for.
    pub(crate) fn keep_signal(&mut self, signal: &Arc<Signal>, limits: &Limits) -> u64 {
        self.start.get_or_insert_default().signals.keep(signal, limits, true)
    }

    /// Keeps a call for when it starts, or returns it if there is no room.
    fn keep_call(&mut self, call: Call, limits: &Limits) -> Result<(), Call> {
        self.start.get_or_insert_default().calls.keep(call, limits)
    }

    /// How many signals are kept for when it starts, and how many there was no room for.
    fn signal_counts(&self) -> (usize, u64) {
        self.start.as_ref().map_or((0, 0), |start| (start.signals.len(), start.signals.dropped()))
    }

    /// What the process starts with. What it needs to start again stays, as far as it `may_restart`.
    pub(crate) fn take_start(&mut self, may_restart: bool) -> Option<Box<Start>> {
        let start = self.start.take()?;
        let keeps_arguments = may_restart || self.asset().is_some();
        let again = Start {
            name: start.name.clone(),
            arguments: if keeps_arguments { start.arguments.clone() } else { Vec::new() },
            ..Start::default()
        };
        if again.name.is_some() || !again.arguments.is_empty() {
            self.start = Some(Box::new(again));
        }
        Some(start)
    }

    /// The same program, to be started at some virtual time.
    pub(crate) fn restarted(&self, at: Duration) -> Self {
        let mut restarted = self.clone();
        restarted.start.get_or_insert_default().not_before = at;
        restarted
    }

    /// Whether it is not to be started yet.
    pub(crate) fn starts_after(&self, now: Duration) -> bool {
        self.start.as_ref().is_some_and(|start| start.not_before > now)
    }

    /// The process's name.
    pub fn name(&self) -> &str {
        self.own_name().map_or_else(|| self.program.name(), AsRef::as_ref)
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        let script_name = || self.script().map_or_else(|| self.program.name().into(), Script::shared_name);
        self.own_name().cloned().unwrap_or_else(script_name)
    }

    pub(crate) fn own_name(&self) -> Option<&Arc<str>> {
        self.start.as_ref()?.name.as_ref()
    }

    /// What the process runs; `None` while that is an asset that has not been loaded.
    pub fn script(&self) -> Option<&Script> {
        self.program.script()
    }

    /// The asset that the process runs.
    pub fn asset(&self) -> Option<&Handle<LuauScript>> {
        self.program.asset()
    }

    /// The number by which scripts of its VM know the process; `None` while it is
    /// [new](crate::ProcessState::New).
    pub fn pid(&self) -> Option<Pid> {
        self.pid
    }
}

impl Clone for Process {
    fn clone(&self) -> Self {
        let mut clone = Self::of(self.program.clone());
        if let Some(start) = &self.start {
            let (name, arguments) = (start.name.clone(), start.arguments.clone());
            clone.start = Some(Box::new(Start { name, arguments, ..Start::default() }));
        }
        clone
    }
}

impl FromReflect for Process {
    /// A new process of the same program.
    fn from_reflect(reflect: &dyn PartialReflect) -> Option<Self> {
        if let Some(process) = reflect.try_downcast_ref::<Self>() {
            return Some(process.clone());
        }
        let program = reflect.reflect_ref().as_struct().ok()?.field("program")?;
        Some(Self::of(program.try_downcast_ref::<Program>()?.clone()))
    }
}

/// What a process is made from: a [`Script`] or a `Handle<LuauScript>`.
#[derive(Debug)]
pub struct ScriptSource(Program);

impl From<Script> for ScriptSource {
    fn from(script: Script) -> Self {
        Self(Program::Script(script))
    }
}

impl From<Handle<LuauScript>> for ScriptSource {
    fn from(handle: Handle<LuauScript>) -> Self {
        Self(Program::Loading(Box::new(handle)))
    }
}

fn enqueue(mut world: DeferredWorld, HookContext { entity, .. }: HookContext) {
    let Some(mut runtime) = world.get_resource_mut::<LuauRuntime>() else {
        warn_once!("a Process was spawned, but LuauOsPlugin was not added: nothing will run it");
        return;
    };
    runtime.enqueue(entity);
    world.resource_mut::<Metrics>().processes_created += 1;
}

/// Stops the process, unless it has ended.
fn release(mut world: DeferredWorld, HookContext { entity, .. }: HookContext) {
    let process = world.get::<Process>(entity).map(|process| (process.handle, process.is_new()));
    let Some((handle, is_new)) = process else { return };
    // A script may wait for it to start, and the game for what it has called.
    let start = world.get_mut::<Process>(entity).and_then(|mut process| process.start.take());
    if let Some(mut start) = start {
        calls::end_kept(&mut world, &mut start.calls);
        if let (Some(parent), Some(mut runtime)) = (start.parent, world.get_resource_mut::<LuauRuntime>()) {
            runtime.reply(parent, Err("the game ended it before it started".to_owned()));
        }
    }
    let stopped = match (handle, world.get_resource_mut::<LuauRuntime>()) {
        (Some(handle), Some(mut runtime)) => runtime.release_process(handle),
        // It was never admitted.
        _ => is_new,
    };
    if let Some(mut metrics) = world.get_resource_mut::<Metrics>()
        && stopped
    {
        metrics.processes_killed += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_vm_is_reported_once_and_only_of_new_processes() {
        let mut process = Process::new(Script::new("lost", ""));
        assert_eq!([(); 3].map(|()| process.report_missing_vm()), [true, false, false]);
        assert!(process.is_new() && process.clone().report_missing_vm(), "its clone is another process");
        process.ended();
        assert!(!process.report_missing_vm() && !process.is_new());
    }
}
