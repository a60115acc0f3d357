//! Adding syscalls to an app, or to one of its libraries.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bevy::prelude::*;
use serde::Serialize;

use super::library::HostLibrary;
use super::registry::registry_of;
use super::syscall::{Syscall, SyscallSystems, parse, typed};
use super::syscall_input::{CallInput, SyscallInput};
use crate::isolate::Posted;
use crate::luau::FOR_ALL;
use crate::luau::request::SyscallArgs;

/// Lets Bevy systems answer scripts.
pub trait SyscallAppExt {
    /// Lets all scripts call `path`: a name, or names with dots between them (`"robot.move"`).
    ///
    /// Add it whenever you like, before or after [`LuauOsPlugin`](crate::LuauOsPlugin), until the first process starts:
    /// what scripts find is fixed then. In a tick the systems run in the order in which they were added.
    ///
    /// The call suspends the process. After [`LuauOsSystems::Run`](crate::LuauOsSystems::Run) all calls
    /// of a tick reach `system` at once, in an order that depends on nothing but the order in which the
    /// processes were spawned. Arguments of another type than its own, a tuple, are an error in the script.
    ///
    /// ```
    /// use bevy::prelude::*;
    /// use bevy_luau_os::prelude::*;
    ///
    /// fn step(calls: Calls<(f32, f32), f32>, mut robots: Query<&mut Transform>) {
    ///     for call in calls {
    ///         let (x, y) = call.args;
    ///         match robots.get_mut(call.vm) {
    ///             Ok(mut robot) => {
    ///                 robot.translation += Vec3::new(x, y, 0.0);
    ///                 let height = robot.translation.y;
    ///                 call.reply(height);
    ///             }
    ///             Err(_) => call.fail("this VM is no robot"),
    ///         }
    ///     }
    /// }
    ///
    /// let mut app = App::new();
    /// app.add_plugins((MinimalPlugins, LuauOsPlugin::default()));
    /// app.add_syscall("robot.step", step); // local height = robot.step(1, 0)
    /// ```
    ///
    /// # Panics
    ///
    /// When `path` is not a name or is taken, and when the first process has started already.
    #[track_caller]
    fn add_syscall<Input: SyscallInput, Marker>(
        &mut self,
        path: &str,
        system: impl IntoSystem<Input, (), Marker> + 'static,
    ) -> &mut Self;

    /// The same with a system that answers one call at a time, by its result. Running a system takes a fraction of a
    /// microsecond, so where there are many calls [`add_syscall`](Self::add_syscall) is better.
    ///
    /// ```
    /// # use bevy::prelude::*;
    /// # use bevy_luau_os::prelude::*;
    /// #[derive(Component)]
    /// struct Energy(f32);
    ///
    /// # let mut app = App::new();
    /// # app.add_plugins((MinimalPlugins, LuauOsPlugin::default()));
    /// // local left = drone.energy()
    /// app.add_call("drone.energy", |In(vm): In<Entity>, drones: Query<&Energy>| {
    ///     drones.get(vm).map(|energy| energy.0)
    /// });
    /// // drone.spend(3)
    /// app.add_call("drone.spend", |In((vm, (by,))): In<(Entity, (f32,))>, mut drones: Query<&mut Energy>| {
    ///     drones.get_mut(vm).map(|mut energy| energy.0 -= by)
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// The same.
    #[track_caller]
    fn add_call<Input, T, E, Marker>(
        &mut self,
        path: &str,
        system: impl IntoSystem<In<Input>, Result<T, E>, Marker> + 'static,
    ) -> &mut Self
    where
        Input: CallInput,
        T: Serialize + 'static,
        E: Display + 'static;

    /// Sets how long calls of a syscall, which has been added, wait for their answer in virtual time, instead of
    /// [`syscall_timeout`](crate::LuauOsPlugin::syscall_timeout). With [`Duration::MAX`] they wait for ever. The clock
    /// stands still while the process is suspended.
    ///
    /// # Panics
    ///
    /// When there is no such syscall, and when the first process has started already.
    #[track_caller]
    fn set_syscall_timeout(&mut self, path: &str, timeout: Duration) -> &mut Self;
}

macro_rules! impl_syscall_app_ext {
    ($Type:ty, $app:ident => $world:expr, $library:expr) => {
        impl SyscallAppExt for $Type {
            #[track_caller]
            fn add_syscall<Input: SyscallInput, Marker>(
                &mut self,
                path: &str,
                system: impl IntoSystem<Input, (), Marker> + 'static,
            ) -> &mut Self {
                let $app = &mut *self;
                let library = $library;
                add_syscall($world, library, path, system);
                self
            }

            #[track_caller]
            fn add_call<Input, T, E, Marker>(
                &mut self,
                path: &str,
                system: impl IntoSystem<In<Input>, Result<T, E>, Marker> + 'static,
            ) -> &mut Self
            where
                Input: CallInput,
                T: Serialize + 'static,
                E: Display + 'static,
            {
                let $app = &mut *self;
                let library = $library;
                add_call($world, library, path, system);
                self
            }

            #[track_caller]
            fn set_syscall_timeout(&mut self, path: &str, timeout: Duration) -> &mut Self {
                let $app = &mut *self;
                let library = $library;
                registry_of($world).set_timeout(library, path, timeout);
                self
            }
        }
    };
}

impl_syscall_app_ext!(App, app => app.world_mut(), FOR_ALL);
impl_syscall_app_ext!(HostLibrary<'_>, library => library.app.world_mut(), library.number);

#[track_caller]
fn add_syscall<Input: SyscallInput, Marker>(
    world: &mut World,
    library: usize,
    path: &str,
    system: impl IntoSystem<Input, (), Marker> + 'static,
) {
    let inbox = registry_of(world).add_syscall(library, path, Box::new(parse::<Input::Args>));
    let system = world.register_system(system);
    world.entity_mut(system.entity()).insert(Name::new(format!("syscall {path}")));
    let dispatch = move |world: &mut World, calls: Vec<Posted<SyscallArgs>>| {
        let calls = calls.into_iter().map(|call| typed(call, &inbox)).collect();
        if let Err(error) = world.run_system_with(system, Input::inner(calls)) {
            error!("a system that answers syscalls did not run: {error}");
        }
    };
    world.get_resource_or_init::<SyscallSystems>().push(Arc::new(dispatch));
}

#[track_caller]
fn add_call<Input, T, E, Marker>(
    world: &mut World,
    library: usize,
    path: &str,
    system: impl IntoSystem<In<Input>, Result<T, E>, Marker> + 'static,
) where
    Input: CallInput,
    T: Serialize + 'static,
    E: Display + 'static,
{
    let inbox = registry_of(world).add_syscall(library, path, Box::new(parse::<Input::Args>));
    let system = world.register_system(system);
    world.entity_mut(system.entity()).insert(Name::new(format!("call {path}")));
    let dispatch = move |world: &mut World, calls: Vec<Posted<SyscallArgs>>| {
        for call in calls {
            let call: Syscall<Input::Args, T> = typed(call, &inbox);
            let caller = call.caller();
            let (args, reply) = call.split();
            match world.run_system_with(system, Input::of(caller, args)) {
                Ok(result) => reply.result(result),
                Err(error) => error!("a system that answers calls did not run: {error}"),
            }
        }
    };
    world.get_resource_or_init::<SyscallSystems>().push(Arc::new(dispatch));
}
