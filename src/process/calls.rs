//! Calls of functions that scripts export.

use std::sync::Arc;

use bevy::ecs::world::DeferredWorld;
use bevy::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Process;
use crate::isolate::{Call, CallAnswer, CallOfAll, KeptCalls};
use crate::luau::Answer;
use crate::runtime::LuauRuntime;
use crate::types::{CallError, CallId, Limits};
use crate::value::{Results, Value, ValueError};

/// Triggered on a process's entity when a function has returned that the game has
/// [called](crate::ProcessCommandsExt::call), or has failed, or was not called at all. Each call ends with one of
/// these. The entity may be gone by then: observers of all entities hear of it, too.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn report(call: On<CallEnded>) {
///     match call.to::<f64>() {
///         Ok(price) => info!("{} returned {price}", call.function),
///         Err(CallError::Failed(error)) => warn!("{error}\n{}", error.traceback),
///         Err(error) => warn!("{}: {error}", call.function),
///     }
/// }
/// # App::new().add_observer(report);
/// ```
#[derive(EntityEvent, Clone, Debug)]
pub struct CallEnded {
    /// The process.
    pub entity: Entity,
    /// Which call it was.
    pub id: CallId,
    /// The name of the function.
    pub function: Arc<str>,
    /// What it has returned.
    pub result: Result<Vec<Value>, CallError>,
}

impl CallEnded {
    pub(crate) fn new(entity: Entity, answer: Answer) -> Self {
        let Answer { id, function, result } = answer;
        Self { entity, id, function, result }
    }

    /// What the function has returned, as a type of the game. Several results are a tuple; what is missing is nil.
    ///
    /// # Errors
    ///
    /// When the call has failed, and with [`CallError::Results`] when the results do not fit.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        let results = self.result.clone()?;
        Results::to(results).map_err(|error| CallError::Results(error.to_string().into()))
    }
}

/// Calls a function of a process, whether that is there or not.
pub(super) fn call<T: Serialize>(entity: &mut EntityCommands<'_>, function: &str, args: &T) -> CallId {
    let (process, id, function): (_, _, Arc<str>) = (entity.id(), CallId::next(), function.into());
    match arguments(args) {
        Ok(arguments) => entity.commands().queue(move |world: &mut World| {
            let made_at = world.get_resource::<LuauRuntime>().map_or(default(), |runtime| runtime.now);
            make(world, Call { process, id, function, arguments, made_at });
        }),
        Err(error) => {
            let result = Err(CallError::Arguments(error.to_string().into()));
            entity.commands().trigger(CallEnded { entity: process, id, function, result });
        }
    }
    id
}

fn arguments<T: Serialize>(args: &T) -> Result<Vec<Value>, ValueError> {
    Results::of_arguments(args).map(|arguments| arguments.into_iter().collect())
}

fn make(world: &mut World, call: Call) {
    let known = world.get::<Process>(call.process).map(|process| (process.handle, process.is_new()));
    match known {
        Some((Some(handle), _)) => {
            if let Some(mut runtime) = world.get_resource_mut::<LuauRuntime>() {
                runtime.isolate_mut(handle.isolate).call(handle.key, call);
            }
        }
        Some((None, true)) => {
            // Those of its VM hold once it is admitted.
            let limits = Limits::default();
            let process = world.get_mut::<Process>(call.process);
            if let Some(Err(call)) = process.map(|mut process| process.keep_call(call, &limits)) {
                fail(world, call, CallError::TooManyCalls);
            }
        }
        _ => fail(world, call, CallError::ProcessEnded),
    }
}

/// Ends the calls of a process that was never admitted.
pub(super) fn end_kept(world: &mut DeferredWorld<'_>, kept: &mut KeptCalls) {
    for call in kept.take() {
        let CallAnswer { process: entity, answer } = call.fails(CallError::ProcessEnded);
        world.commands().trigger(CallEnded::new(entity, answer));
    }
}

fn fail(world: &mut World, call: Call, error: CallError) {
    let CallAnswer { process, answer } = call.fails(error);
    world.trigger(CallEnded::new(process, answer));
}

/// Commands that call functions of scripts.
pub trait CallCommandsExt {
    /// Calls a function in all processes that export it, of all VMs, in the next tick. It costs nothing for those that
    /// do not: this is how a game has scripts do something in each frame. Results go nowhere, and an error is a
    /// [`TaskFailed`](crate::TaskFailed).
    ///
    /// A process that is still busy with the last such call is left out, and so is one that is suspended, has no room
    /// for another task, or has not exported the function yet.
    ///
    /// Arguments that have no [`Value`] are logged as an error, and nothing is called.
    ///
    /// ```
    /// # use bevy::prelude::*;
    /// # use bevy_luau_os::prelude::*;
    /// // host.export("on_update", function(seconds) ... end)
    /// fn update(time: Res<Time>, mut commands: Commands) {
    ///     commands.call_all("on_update", time.delta_secs());
    /// }
    /// # App::new().add_systems(FixedUpdate, update.before(LuauOsSystems::Admit));
    /// ```
    fn call_all<T: Serialize>(&mut self, function: &str, args: T);
}

impl CallCommandsExt for Commands<'_, '_> {
    fn call_all<T: Serialize>(&mut self, function: &str, args: T) {
        match arguments(&args) {
            Err(error) => error!("{function} was not called: {error}"),
            Ok(arguments) => {
                let call = Arc::new(CallOfAll { function: function.into(), arguments });
                self.queue(move |world: &mut World| {
                    if let Some(mut runtime) = world.get_resource_mut::<LuauRuntime>() {
                        runtime.call_all(&call);
                    }
                });
            }
        }
    }
}
