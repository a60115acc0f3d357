//! Signals of the game to the processes of its VMs.

use std::sync::Arc;

use bevy::prelude::*;
use serde::Serialize;
use smallvec::SmallVec;

use super::{VmLimits, VmSuspended, publish};
use crate::assets::ScriptAssets;
use crate::luau::signals::Signal;
use crate::process::{Process, ProcessOf, Processes};
use crate::runtime::LuauRuntime;
use crate::types::Metrics;
use crate::value::Value;

/// Commands for entities with [`Vm`](crate::Vm).
pub trait VmCommandsExt {
    /// Sends a signal to the VM's processes, or to one process if the entity is that: those that wait for it with
    /// `signal.wait`, or are connected to it with `signal.connect`, run in the next tick. For a process that has not
    /// started, or is busy, or has waited for that name before, it is kept until it asks, as far as its
    /// [limits](crate::Limits::signals) allow.
    ///
    /// A payload that has no [`Value`] is logged as an error and not sent.
    fn send_signal<T: Serialize>(&mut self, name: &str, payload: T) -> &mut Self;

    /// Lets the VM's scripts read a value with `host.get(name)`, which does not wait for a tick: they get a copy of
    /// what was published last. It is kept on the VM, as [`PublishedValues`](crate::PublishedValues).
    ///
    /// ```
    /// # use bevy::prelude::*;
    /// # use bevy_luau_os::prelude::*;
    /// #[derive(serde::Serialize)]
    /// struct Status {
    ///     energy: f32,
    ///     position: Vec3,
    /// }
    ///
    /// fn publish(robots: Query<(Entity, &Transform), With<Vm>>, mut commands: Commands) {
    ///     for (robot, transform) in &robots {
    ///         commands.entity(robot).publish("me", Status { energy: 1.0, position: transform.translation });
    ///     }
    /// }
    /// # App::new().add_systems(FixedUpdate, publish.before(LuauOsSystems::Admit));
    /// ```
    ///
    /// A value that has no [`Value`] is logged as an error and not published.
    fn publish<T: Serialize>(&mut self, name: &str, value: T) -> &mut Self;

    /// Gives the VM's processes no more slices, those to come included, until it is resumed: inserts [`VmSuspended`].
    fn suspend_vm(&mut self) -> &mut Self;

    /// Ends that.
    fn resume_vm(&mut self) -> &mut Self;
}

impl VmCommandsExt for EntityCommands<'_> {
    fn send_signal<T: Serialize>(&mut self, name: &str, payload: T) -> &mut Self {
        let Some(signal) = signal(name, &payload) else { return self };
        self.queue(move |entity: EntityWorldMut| {
            let mut members: SmallVec<[Entity; 2]> =
                entity.get::<Processes>().map_or(&[][..], |it| it).into();
            if entity.contains::<Process>() {
                members.push(entity.id());
            }
            let world = entity.into_world_mut();
            let dropped = members.into_iter().map(|process| send(world, process, &signal)).sum();
            count_dropped(world, dropped);
        })
    }

    fn publish<T: Serialize>(&mut self, name: &str, value: T) -> &mut Self {
        publish::publish(self, name, &value);
        self
    }

    fn suspend_vm(&mut self) -> &mut Self {
        self.insert(VmSuspended)
    }

    fn resume_vm(&mut self) -> &mut Self {
        self.remove::<VmSuspended>()
    }
}

/// Commands that signal to all VMs.
pub trait SignalCommandsExt {
    /// [Sends a signal](VmCommandsExt::send_signal) to the processes of all VMs. For those that are busy it is kept
    /// only if they have asked for its name before.
    fn broadcast_signal<T: Serialize>(&mut self, name: &str, payload: T);
}

impl SignalCommandsExt for Commands<'_, '_> {
    fn broadcast_signal<T: Serialize>(&mut self, name: &str, payload: T) {
        let Some(signal) = signal(name, &payload) else { return };
        self.queue(move |world: &mut World| {
            let Some(mut runtime) = world.get_resource_mut::<LuauRuntime>() else { return };
            let mut dropped = runtime.broadcast(&signal);
            let mut new: Vec<Entity> = runtime.pending_processes().collect();
            new.extend(world.get_resource::<ScriptAssets>().into_iter().flat_map(ScriptAssets::waiting));
            for process in new {
                if world.get::<Process>(process).is_some_and(Process::is_new) {
                    dropped += send(world, process, &signal);
                }
            }
            count_dropped(world, dropped);
        });
    }
}

/// Sends a signal to a process, admitted or not. Returns how many signals there was no room for.
fn send(world: &mut World, process: Entity, signal: &Arc<Signal>) -> u64 {
    let Some(known) = world.get::<Process>(process) else { return 0 };
    if let Some(handle) = known.handle {
        return world.get_resource_mut::<LuauRuntime>().map_or(0, |mut it| it.signal(handle, signal));
    }
    if !known.is_new() {
        return 0;
    }
    let vm = world.get::<ProcessOf>(process).map(|vm| vm.0);
    let limits = vm.and_then(|vm| world.get::<VmLimits>(vm)).cloned().unwrap_or_default();
    world.get_mut::<Process>(process).map_or(0, |mut process| process.keep_signal(signal, &limits))
}

fn count_dropped(world: &mut World, dropped: u64) {
    if dropped > 0
        && let Some(mut metrics) = world.get_resource_mut::<Metrics>()
    {
        metrics.signals_dropped += dropped;
    }
}

fn signal<T: Serialize>(name: &str, payload: &T) -> Option<Arc<Signal>> {
    let payload = Value::of(payload).map_err(|error| error!("signal {name:?} was not sent: {error}")).ok()?;
    Some(Arc::new(Signal { name: name.as_bytes().into(), payload }))
}
