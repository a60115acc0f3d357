//! How a system gets the calls that it answers.

use std::ops::Deref;

use bevy::ecs::system::SystemInput;
use bevy::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::syscall::Syscall;
use crate::types::HostCaller;

/// All calls of a syscall in a tick: the first parameter of a system that answers them.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn shout(calls: Calls<(u32, String), String>, names: Query<&Name>) {
///     for call in calls {
///         let vm = call.vm;
///         let ((times, text), reply) = call.split();
///         reply.result(names.get(vm).map(|name| format!("{name}: {}", text.repeat(times as usize))));
///     }
/// }
/// # let mut app = App::new();
/// # app.add_plugins((MinimalPlugins, LuauOsPlugin::default()));
/// app.add_syscall("shout", shout);
/// ```
#[derive(Debug)]
pub struct Calls<Args, Reply>(Vec<Syscall<Args, Reply>>);

impl<Args: 'static, Reply: 'static> SystemInput for Calls<Args, Reply> {
    type Param<'i> = Self;
    type Inner<'i> = Vec<Syscall<Args, Reply>>;

    fn wrap(this: Self::Inner<'_>) -> Self::Param<'_> {
        Self(this)
    }
}

impl<Args, Reply> IntoIterator for Calls<Args, Reply> {
    type Item = Syscall<Args, Reply>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<Args, Reply> Deref for Calls<Args, Reply> {
    type Target = [Syscall<Args, Reply>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// What a system has as its input that answers a syscall: [`Calls`], or `In<Vec<Syscall<Args, Reply>>>`.
pub trait SyscallInput: SystemInput + 'static {
    /// What scripts pass, as a tuple.
    type Args: DeserializeOwned + Send + Sync + 'static;
    /// What they get.
    type Reply: Serialize + 'static;

    #[doc(hidden)]
    fn inner<'i>(calls: Vec<Syscall<Self::Args, Self::Reply>>) -> Self::Inner<'i>;
}

macro_rules! impl_syscall_input {
    ($Input:ty) => {
        impl<Args, Reply> SyscallInput for $Input
        where
            Args: DeserializeOwned + Send + Sync + 'static,
            Reply: Serialize + 'static,
        {
            type Args = Args;
            type Reply = Reply;

            fn inner<'i>(calls: Vec<Syscall<Args, Reply>>) -> Self::Inner<'i> {
                calls
            }
        }
    };
}

impl_syscall_input!(Calls<Args, Reply>);
impl_syscall_input!(In<Vec<Syscall<Args, Reply>>>);

/// What a system has as its input that answers [one call at a time](crate::SyscallAppExt::add_call): who calls, as a
/// [`HostCaller`], or his VM alone, as an `Entity`; or a tuple of that and the arguments, which are
/// a tuple, too.
pub trait CallInput: Send + 'static {
    #[doc(hidden)]
    type Args: DeserializeOwned + Send + Sync + 'static;

    #[doc(hidden)]
    fn of(caller: HostCaller, args: Self::Args) -> Self;
}

impl CallInput for HostCaller {
    type Args = ();

    fn of(caller: HostCaller, (): ()) -> Self {
        caller
    }
}

impl CallInput for Entity {
    type Args = ();

    fn of(caller: HostCaller, (): ()) -> Self {
        caller.vm
    }
}

impl<Args: DeserializeOwned + Send + Sync + 'static> CallInput for (HostCaller, Args) {
    type Args = Args;

    fn of(caller: HostCaller, args: Args) -> Self {
        (caller, args)
    }
}

impl<Args: DeserializeOwned + Send + Sync + 'static> CallInput for (Entity, Args) {
    type Args = Args;

    fn of(caller: HostCaller, args: Args) -> Self {
        (caller.vm, args)
    }
}
