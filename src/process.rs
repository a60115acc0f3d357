//! Processes: the running programs of a VM.

mod commands;
mod exit;
mod info;
mod priority;

use std::sync::Arc;

use bevy::ecs::lifecycle::HookContext;
use bevy::ecs::world::DeferredWorld;
use bevy::prelude::*;
use smallvec::SmallVec;

use crate::assets::{LuauScript, Program};
use crate::isolate::Start;
use crate::runtime::{Admission, LuauRuntime, ProcessHandle};
use crate::script::Script;
use crate::types::{Metrics, Pid, ProcessState};
use crate::value::Value;

pub use commands::ProcessCommands;
pub use exit::ProcessExited;
pub use info::ProcessInfo;
pub use priority::Priority;

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
/// [`ProcessExited`](crate::ProcessExited) is triggered on its entity and the entity is despawned.
/// Despawning the entity, or its VM, stops the process where it is, without an event.
#[derive(Component, Debug)]
#[component(on_insert = enqueue, on_discard = release)]
pub struct Process {
    pub(crate) program: Program,
    /// What most processes do not have.
    start: Option<Box<Start>>,
    pub(crate) state: ProcessState,
    pub(crate) pid: Option<Pid>,
    pub(crate) handle: Option<ProcessHandle>,
}

// There may be hundreds of thousands.
const _: () = assert!(size_of::<Process>() <= 56);

impl Process {
    /// A process that will run a [`Script`], or a `Handle<LuauScript>`.
    pub fn new(script: impl Into<ScriptSource>) -> Self {
        let ScriptSource(program) = script.into();
        Self { program, start: None, state: ProcessState::New, pid: None, handle: None }
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

    /// A process that a script has started.
    /// The runtime has taken it on.
    pub(crate) fn admitted(&mut self, admission: &Admission) {
        self.pid = Some(admission.pid);
        self.state = ProcessState::Runnable;
        self.handle = Some(admission.process);
    }

    pub(crate) fn with_start(mut self, start: Start) -> Self {
        self.start = Some(Box::new(start));
        self
    }

    /// What the process starts with. What it needs to start again stays.
    pub(crate) fn take_start(&mut self) -> Option<Box<Start>> {
        let start = self.start.take()?;
        let again = Start {
            name: start.name.clone(),
            arguments: if self.asset().is_some() { start.arguments.clone() } else { Vec::new() },
            ..Start::default()
        };
        if again.name.is_some() || !again.arguments.is_empty() {
            self.start = Some(Box::new(again));
        }
        Some(start)
    }

    /// The process's name.
    pub fn name(&self) -> &str {
        self.own_name().map_or_else(|| self.program.name(), AsRef::as_ref)
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        let script_name = || self.script().map_or_else(|| self.program.name().into(), Script::shared_name);
        self.own_name().cloned().unwrap_or_else(script_name)
    }

    fn own_name(&self) -> Option<&Arc<str>> {
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

    /// Where the process is in its life. [`LuauRuntime::process_info`] also knows
    /// [`ProcessState::Running`].
    pub fn state(&self) -> ProcessState {
        self.state
    }

    /// The number by which scripts of its VM know the process; `None` while it is
    /// [new](ProcessState::New).
    pub fn pid(&self) -> Option<Pid> {
        self.pid
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
    let process = world.get::<Process>(entity).map(|process| (process.handle, process.state));
    let Some((handle, state)) = process else { return };
    // A script may wait for it to start.
    let parent = world.get_mut::<Process>(entity).and_then(|mut process| process.start.take()?.parent);
    if let (Some(parent), Some(mut runtime)) = (parent, world.get_resource_mut::<LuauRuntime>()) {
        runtime.reply(parent, Err("the game ended it before it started".to_owned()));
    }
    let stopped = match (handle, world.get_resource_mut::<LuauRuntime>()) {
        (Some(handle), Some(mut runtime)) => runtime.release_process(handle),
        // It was never admitted.
        _ => state == ProcessState::New,
    };
    if let Some(mut metrics) = world.get_resource_mut::<Metrics>()
        && stopped
    {
        metrics.processes_killed += 1;
    }
}

/// The VM that a [`Process`] belongs to.
///
/// It is fixed once the process is admitted: its memory lives on that VM's isolate. To move a program,
/// despawn the process and spawn another.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
#[relationship(relationship_target = Processes)]
pub struct ProcessOf(
    /// An entity with [`Vm`](crate::Vm).
    pub Entity,
);

/// The processes of a VM, in the order in which they were spawned. Despawning the VM despawns them.
#[derive(Component, Debug, Default)]
#[relationship_target(relationship = ProcessOf, linked_spawn)]
pub struct Processes(SmallVec<[Entity; 2]>);

impl Processes {
    pub(crate) fn as_slice(&self) -> &[Entity] {
        &self.0
    }

    /// Leaves the VM without processes. They must be despawned then.
    pub(crate) fn take(&mut self) -> SmallVec<[Entity; 2]> {
        std::mem::take(&mut self.0)
    }
}
