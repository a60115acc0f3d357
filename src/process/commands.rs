//! What the game does to processes and VMs: ending, suspending and resuming, signals.

use bevy::prelude::*;
use serde::Serialize;

use super::Process;
use super::exit::KillReason;
use crate::runtime::heap::Heap;
use crate::runtime::{LuauRuntime, ProcessHandle};
use crate::value::Value;
use crate::vm::Vm;

/// Commands for entities with [`Process`].
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn stop_all(processes: Query<Entity, With<Process>>, mut commands: Commands) {
///     for process in &processes {
///         commands.entity(process).kill();
///     }
/// }
/// ```
pub trait ProcessCommands {
    /// Ends the process with [`KillReason::Requested`]. Unlike despawning it, that is reported as a
    /// [`ProcessExited`](crate::ProcessExited). A process that has not been admitted is despawned.
    fn kill(&mut self) -> &mut Self;

    /// Gives the process no more slices until it is resumed. What it waits for goes on.
    fn suspend(&mut self) -> &mut Self;

    /// Ends a suspension.
    fn resume(&mut self) -> &mut Self;
}

impl ProcessCommands for EntityCommands<'_> {
    fn kill(&mut self) -> &mut Self {
        self.queue(|entity: EntityWorldMut| {
            let is_new = entity.get::<Process>().is_some_and(|process| process.handle.is_none());
            if is_new {
                entity.despawn();
            } else {
                with_heap(entity, |heap, handle| _ = heap.kill(handle.slot, KillReason::Requested));
            }
        })
    }

    fn suspend(&mut self) -> &mut Self {
        self.queue(|entity: EntityWorldMut| with_heap(entity, |heap, handle| heap.suspend(handle.slot)))
    }

    fn resume(&mut self) -> &mut Self {
        self.queue(|entity: EntityWorldMut| with_heap(entity, |heap, handle| heap.resume(handle.slot)))
    }
}

fn with_heap(mut entity: EntityWorldMut, f: impl FnOnce(&mut Heap, ProcessHandle)) {
    let Some(handle) = entity.get::<Process>().and_then(|process| process.handle) else { return };
    if let Some(mut runtime) = entity.get_resource_mut::<LuauRuntime>() {
        f(runtime.heap_mut(handle.heap), handle);
    }
}

/// Commands for entities with [`Vm`].
pub trait VmCommands {
    /// Sends a signal to the VM's processes: those that wait for it with `signal.wait`, or are connected to
    /// it with `signal.connect`, run in the next tick.
    ///
    /// A payload that has no [`Value`] is logged as an error and not sent.
    fn send_signal<T: Serialize>(&mut self, name: &str, payload: T) -> &mut Self;
}

impl VmCommands for EntityCommands<'_> {
    fn send_signal<T: Serialize>(&mut self, name: &str, payload: T) -> &mut Self {
        let Some(payload) = to_value(name, &payload) else { return self };
        let name = name.to_owned();
        self.queue(move |mut entity: EntityWorldMut| {
            let Some(handle) = entity.get::<Vm>().and_then(|vm| vm.handle) else { return };
            if let Some(mut runtime) = entity.get_resource_mut::<LuauRuntime>() {
                runtime.signal(handle, name.as_bytes(), &payload);
            }
        })
    }
}

/// Signals to all VMs.
pub trait BroadcastSignal {
    /// [Sends a signal](VmCommands::send_signal) to the processes of all VMs.
    fn broadcast_signal<T: Serialize>(&mut self, name: &str, payload: T);
}

impl BroadcastSignal for Commands<'_, '_> {
    fn broadcast_signal<T: Serialize>(&mut self, name: &str, payload: T) {
        let Some(payload) = to_value(name, &payload) else { return };
        let name = name.to_owned();
        self.queue(move |world: &mut World| {
            if let Some(mut runtime) = world.get_resource_mut::<LuauRuntime>() {
                runtime.broadcast(name.as_bytes(), &payload);
            }
        });
    }
}

fn to_value<T: Serialize>(name: &str, payload: &T) -> Option<Value> {
    Value::from(payload).map_err(|error| error!("signal {name:?} was not sent: {error}")).ok()
}
