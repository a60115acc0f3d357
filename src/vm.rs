//! VMs: simulated computers.

mod bridge;
mod exit;
mod info;
mod libraries;
mod mail_policy;
mod publish;
mod published;
mod reflect;
#[cfg(feature = "save")]
pub(crate) mod saved;
mod signals;
mod suspension;

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use bevy::ecs::lifecycle::HookContext;
use bevy::ecs::world::DeferredWorld;
use bevy::prelude::*;
use smallvec::SmallVec;

use crate::luau::LibrarySet;
use crate::process::{Process, Processes};
use crate::runtime::{Admission, LuauRuntime, ProcessHandle, VmAdmission, VmHandle};
use crate::types::{Limits, Metrics, PidCounter, VmId};

pub use bridge::SignalAppExt;
pub use exit::VmExited;
pub use info::VmInfo;
pub use libraries::HostLibraries;
pub use mail_policy::MailPolicy;
pub use published::PublishedValues;
#[cfg(feature = "save")]
pub use saved::{VmImage, VmLoadFailed, VmLoaded, VmSnapshot, VmSnapshots};
pub use signals::{SignalCommandsExt, VmCommandsExt};
pub use suspension::VmSuspended;

/// A simulated computer: an entity that owns processes.
///
/// Processes are entities of their own, related to their VM by [`ProcessOf`](crate::ProcessOf). When
/// the last of them has ended, [`VmExited`] is triggered and the VM is
/// despawned, unless it is [persistent](Vm::persistent).
///
/// Despawning a VM despawns its processes. Taking the component away, or inserting it again, stops them where they
/// are and leaves their entities. Neither triggers an event.
///
/// A clone of the component is a new VM, without processes and with another name, that is persistent if the old one
/// was.
#[derive(Component, Debug, Default, Reflect)]
#[component(on_insert = count, on_discard = release)]
#[reflect(Component, Clone, Debug, Default)]
#[require(Processes, VmLimits)]
pub struct Vm {
    persistent: bool,
    #[reflect(ignore)]
    id: Option<VmId>,
    #[reflect(ignore)]
    pub(crate) pids: PidCounter,
    #[reflect(ignore)]
    pub(crate) handle: Option<VmHandle>,
}

impl Clone for Vm {
    fn clone(&self) -> Self {
        Self { persistent: self.persistent, ..Self::default() }
    }
}

impl Vm {
    /// A VM that is despawned when its last process has ended.
    pub fn new() -> Self {
        Self::default()
    }

    /// A VM that stays when its last process has ended, ready for the next.
    pub fn persistent() -> Self {
        Self { persistent: true, ..Self::default() }
    }

    /// Whether the VM stays when its last process has ended.
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Names the VM for its lifetime and beyond: addresses of its processes, which scripts send messages to, begin with
    /// that. A game that saves VMs gives them the same name when it loads them. Addresses can be guessed if names can.
    pub fn with_id(mut self, id: VmId) -> Self {
        self.id = Some(id);
        self
    }

    /// The name of the VM. If the game gave it none, one is drawn from the [seed](crate::LuauOsPlugin::seed) when its
    /// first process starts.
    pub fn id(&self) -> Option<VmId> {
        self.id
    }

    /// What the runtime must know of it to take a process on.
    pub(crate) fn admission(
        &self,
        entity: Entity,
        limits: Option<&VmLimits>,
        libraries: LibrarySet,
        published: Option<&PublishedValues>,
    ) -> VmAdmission {
        let limits = limits.cloned().unwrap_or_default().shared();
        let published = published.map(|values| values.0.clone()).unwrap_or_default();
        VmAdmission {
            entity,
            handle: self.handle,
            id: self.id,
            pids: self.pids,
            limits,
            libraries,
            published,
        }
    }

    /// The runtime has taken a process on.
    pub(crate) fn admitted(&mut self, admission: &Admission) {
        self.handle = Some(admission.vm);
        self.id = Some(admission.id);
        self.pids = admission.pids;
    }
}

#[cfg(feature = "save")]
impl Vm {
    /// It was loaded.
    fn loaded(&mut self, id: VmId, pids: PidCounter, handle: VmHandle) {
        (self.id, self.pids, self.handle) = (Some(id), pids, Some(handle));
    }
}

fn count(mut world: DeferredWorld, _: HookContext) {
    if let Some(mut metrics) = world.get_resource_mut::<Metrics>() {
        metrics.vms_created += 1;
    }
}

fn release(mut world: DeferredWorld, HookContext { entity, .. }: HookContext) {
    let (handle, id) = world.get::<Vm>(entity).map_or((None, None), |vm| (vm.handle, vm.id));
    let members: SmallVec<[Entity; 4]> = world.get::<Processes>(entity).map_or(&[][..], |it| it).into();
    let mut running = SmallVec::<[ProcessHandle; 4]>::new();
    for process in members {
        if let Some(mut process) = world.get_mut::<Process>(process)
            && let Some(handle) = process.handle
        {
            process.ended();
            running.push(handle);
        }
    }
    let mut stopped = 0;
    let mut moved_away = Vec::new();
    if let Some(mut runtime) = world.get_resource_mut::<LuauRuntime>() {
        stopped = running.into_iter().filter(|&process| runtime.release_process(process)).count() as u64;
        if let Some(handle) = handle {
            moved_away = runtime.release_vm(entity, id, handle);
        }
    }
    stopped += moved_away.len() as u64;
    for process in moved_away {
        if let Some(mut process) = world.get_mut::<Process>(process) {
            process.ended();
        }
    }
    if let Some(mut metrics) = world.get_resource_mut::<Metrics>() {
        metrics.vms_removed += 1;
        metrics.processes_killed += stopped;
    }
}

/// What a [`Vm`] may use: [`Limits`], shared by the VMs that have the same.
///
/// Every VM has this component, with the default limits unless it is spawned with others. To change
/// them later, insert it again.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn boot(mut commands: Commands) {
///     let small = VmLimits::from(Limits { memory_bytes: 512 * 1024, processes: 4, ..default() });
///     for _ in 0..1000 {
///         commands.spawn((Vm::new(), small.clone()));
///     }
/// }
/// ```
#[derive(Component, TypePath, Clone, Debug, PartialEq, Eq)]
#[component(immutable, on_insert = apply)]
pub struct VmLimits(Arc<Limits>);

impl Default for VmLimits {
    fn default() -> Self {
        static DEFAULT: LazyLock<VmLimits> = LazyLock::new(|| Limits::default().into());
        DEFAULT.clone()
    }
}

impl From<Limits> for VmLimits {
    fn from(limits: Limits) -> Self {
        Self(Arc::new(limits))
    }
}

impl VmLimits {
    /// Limits that others have, too.
    #[cfg(feature = "save")]
    pub(crate) fn shared_by(limits: Arc<Limits>) -> Self {
        Self(limits)
    }

    /// The limits, to be kept where the component is not.
    pub(crate) fn shared(&self) -> Arc<Limits> {
        self.0.clone()
    }
}

impl Deref for VmLimits {
    type Target = Limits;

    fn deref(&self) -> &Limits {
        &self.0
    }
}

fn apply(mut world: DeferredWorld, HookContext { entity, .. }: HookContext) {
    let Some(handle) = world.get::<Vm>(entity).and_then(|vm| vm.handle) else { return };
    let limits = world.get::<VmLimits>(entity).cloned().unwrap_or_default().0;
    if let Some(mut runtime) = world.get_resource_mut::<LuauRuntime>() {
        runtime.set_limits(handle, limits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::LuauOsPlugin;
    use crate::process::ProcessOf;
    use crate::script::Script;

    fn spawn(app: &mut App, vm: Entity) -> Entity {
        let script = Script::new("endless", "while true do end");
        app.world_mut().spawn((Process::new(script), ProcessOf(vm))).id()
    }

    fn pid(app: &App, process: Entity) -> u32 {
        let process = app.world().get::<Process>(process).expect("it runs");
        process.pid().expect("it was admitted").get()
    }

    #[test]
    fn numbers_begin_again_after_the_last_without_those_of_processes_that_run() {
        let mut app = App::new();
        app.add_plugins((MinimalPlugins, LuauOsPlugin::default()));
        let vm = app.world_mut().spawn(Vm::persistent()).id();
        let next = |app: &mut App| {
            let process = spawn(app, vm);
            app.world_mut().run_schedule(FixedUpdate);
            (process, pid(app, process))
        };
        let (first, one) = next(&mut app);
        let (_, two) = next(&mut app);
        app.world_mut().get_mut::<Vm>(vm).expect("it stays").pids = PidCounter::after(u32::MAX - 1);
        let (_, last) = next(&mut app);
        assert_eq!((one, two, last), (1, 2, u32::MAX));
        app.world_mut().entity_mut(first).despawn();
        let (_, again) = next(&mut app);
        assert_eq!((again, next(&mut app).1), (1, 3), "2 still runs");
    }
}
