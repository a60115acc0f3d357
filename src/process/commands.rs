//! What the game does to processes: ending, suspending, resuming.

use bevy::prelude::*;
use serde::Serialize;

use super::{Process, calls};
use crate::isolate::{Isolate, Suspension};
use crate::runtime::{LuauRuntime, ProcessHandle};
use crate::types::{CallId, KillReason};

/// Bytes of the game's reason to end a process.
const MAX_REASON: usize = 4 * 1024;

/// Commands for entities with [`Process`]. They do nothing to entities that are gone.
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
pub trait ProcessCommandsExt {
    /// Ends the process with [`KillReason::Requested`]. Unlike despawning it, that is reported as a
    /// [`ProcessExited`](crate::ProcessExited). A process that has not been admitted is despawned.
    fn kill(&mut self) -> &mut Self;

    /// The same with [`KillReason::Game`] and a reason, which also the scripts get that wait for its end: at most 4
    /// KiB.
    fn kill_because(&mut self, reason: impl Into<Box<str>>) -> &mut Self;

    /// Gives the process no more slices until it is resumed. What it waits for goes on, but for the
    /// [timeout](crate::LuauOsPlugin::syscall_timeout) of a syscall. A process that has not been admitted starts
    /// suspended, and so does one that a suspended process has asked for. To suspend all processes of a VM, see
    /// [`VmCommandsExt::suspend_vm`](crate::VmCommandsExt::suspend_vm).
    fn suspend(&mut self) -> &mut Self;

    /// Ends a suspension. It does nothing to other processes.
    fn resume(&mut self) -> &mut Self;

    /// Calls a function that the process has exported: `host.export("on_click", f)`. A tuple is several arguments, `()`
    /// none. The call is a task of the process, which begins in the next tick. How it ends is a
    /// [`CallEnded`](crate::CallEnded) with the number that this returns, whatever happens.
    ///
    /// A process that has not started, or is busy and has no function with this name yet, may still export it: it is
    /// called when that happens. As soon as the process waits, a name that is not there is an
    /// [error](crate::CallError::NoSuchFunction). [`Limits::calls`](crate::Limits::calls) is how many calls may wait.
    ///
    /// ```
    /// # use bevy::prelude::*;
    /// # use bevy_luau_os::prelude::*;
    /// fn click(shops: Query<Entity, With<Process>>, mut commands: Commands) {
    ///     for shop in &shops {
    ///         commands.entity(shop).call("price_of", ("apples", 3));
    ///     }
    /// }
    /// # App::new().add_systems(Update, click);
    /// ```
    fn call<T: Serialize>(&mut self, function: &str, args: T) -> CallId;
}

// A process may end at any time, and its entity with it: none of this is an error then.
impl ProcessCommandsExt for EntityCommands<'_> {
    fn kill(&mut self) -> &mut Self {
        self.queue_silenced(|entity: EntityWorldMut| kill(entity, KillReason::Requested))
    }

    fn kill_because(&mut self, reason: impl Into<Box<str>>) -> &mut Self {
        let mut reason: Box<str> = reason.into();
        if reason.len() > MAX_REASON {
            reason = reason[..reason.floor_char_boundary(MAX_REASON)].into();
        }
        self.queue_silenced(|entity: EntityWorldMut| kill(entity, KillReason::Game { reason }))
    }

    fn suspend(&mut self) -> &mut Self {
        self.queue_silenced(|entity: EntityWorldMut| {
            set_suspended(entity, true);
        })
    }

    fn resume(&mut self) -> &mut Self {
        self.queue_silenced(|entity: EntityWorldMut| {
            set_suspended(entity, false);
        })
    }

    fn call<T: Serialize>(&mut self, function: &str, args: T) -> CallId {
        calls::call(self, function, &args)
    }
}

fn kill(entity: EntityWorldMut, reason: KillReason) {
    let is_new = entity.get::<Process>().is_some_and(|process| process.handle.is_none());
    if is_new {
        entity.despawn();
    } else {
        with_isolate(entity, |isolate, handle| _ = isolate.kill(handle.key, reason));
    }
}

fn set_suspended(mut entity: EntityWorldMut, is_suspended: bool) {
    if let Some(mut process) = entity.get_mut::<Process>().filter(|process| process.is_new()) {
        process.set_starts_suspended(is_suspended);
        return;
    }
    let Some(now) = entity.get_resource::<LuauRuntime>().map(|runtime| runtime.now) else { return };
    with_isolate(entity, |isolate, handle| match is_suspended {
        true => isolate.suspend(handle.key, Suspension::Process, now),
        false => isolate.resume(handle.key, Suspension::Process, now),
    });
}

fn with_isolate(mut entity: EntityWorldMut, f: impl FnOnce(&mut Isolate, ProcessHandle)) {
    let Some(handle) = entity.get::<Process>().and_then(|process| process.handle) else { return };
    if let Some(mut runtime) = entity.get_resource_mut::<LuauRuntime>() {
        f(runtime.isolate_mut(handle.isolate), handle);
    }
}
