//! Events and messages of the game become signals.

use std::sync::Arc;

use bevy::ecs::event::EntityEvent;
use bevy::prelude::*;
use serde::Serialize;

use super::{SignalCommandsExt, Vm, VmCommandsExt};
use crate::process::Process;

/// Sends signals to scripts for what happens in the game.
pub trait SignalAppExt {
    /// Sends a signal for each event of this type that is triggered on a [`Vm`] or a [`Process`], to the VM's
    /// processes or to that one. The event itself is the payload, so its type says with serde's attributes what
    /// scripts see of it.
    ///
    /// ```
    /// use bevy::prelude::*;
    /// use bevy_luau_os::prelude::*;
    ///
    /// #[derive(EntityEvent, serde::Serialize)]
    /// struct Damage {
    ///     #[serde(skip)]
    ///     entity: Entity,
    ///     amount: f32,
    /// }
    ///
    /// let mut app = App::new();
    /// app.add_plugins((MinimalPlugins, LuauOsPlugin::default()));
    /// app.signal_on::<Damage>("damage"); // signal.connect("damage", function(damage) print(damage.amount) end)
    /// let robot = app.world_mut().spawn(Vm::new()).id();
    /// app.world_mut().trigger(Damage { entity: robot, amount: 3.0 });
    /// ```
    fn signal_on<E: EntityEvent + Serialize>(&mut self, name: impl Into<Arc<str>>) -> &mut Self;

    /// [Broadcasts](SignalCommandsExt::broadcast_signal) a signal for each message of this type, which must have been
    /// added to the app. They are read in [`PreUpdate`].
    fn signal_messages<M: Message + Serialize>(&mut self, name: impl Into<Arc<str>>) -> &mut Self;
}

impl SignalAppExt for App {
    fn signal_on<E: EntityEvent + Serialize>(&mut self, name: impl Into<Arc<str>>) -> &mut Self {
        let name = name.into();
        self.add_observer(
            move |event: On<E>, mut commands: Commands, targets: Query<(), Or<(With<Vm>, With<Process>)>>| {
                let target = event.event().event_target();
                if targets.contains(target) {
                    commands.entity(target).send_signal(&name, event.event());
                }
            },
        )
    }

    fn signal_messages<M: Message + Serialize>(&mut self, name: impl Into<Arc<str>>) -> &mut Self {
        let name = name.into();
        let broadcast = move |mut messages: MessageReader<M>, mut commands: Commands| {
            messages.read().for_each(|message| commands.broadcast_signal(&name, message));
        };
        self.add_systems(PreUpdate, broadcast)
    }
}
