//! Signals of the game to the processes of its VMs.

use bevy::prelude::*;
use serde::Serialize;

use super::Vm;
use crate::runtime::LuauRuntime;
use crate::value::Value;

/// Commands for entities with [`Vm`].
pub trait VmCommandsExt {
    /// Sends a signal to the VM's processes: those that wait for it with `signal.wait`, or are connected to
    /// it with `signal.connect`, run in the next tick. Nobody else hears of it, and it is not kept.
    ///
    /// A payload that has no [`Value`] is logged as an error and not sent.
    fn send_signal<T: Serialize>(&mut self, name: &str, payload: T) -> &mut Self;
}

impl VmCommandsExt for EntityCommands<'_> {
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

/// Commands that signal to all VMs.
pub trait SignalCommandsExt {
    /// [Sends a signal](VmCommandsExt::send_signal) to the processes of all VMs.
    fn broadcast_signal<T: Serialize>(&mut self, name: &str, payload: T);
}

impl SignalCommandsExt for Commands<'_, '_> {
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
