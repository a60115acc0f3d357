//! Syscalls: calls of scripts that an ordinary Bevy system answers.

use std::marker::PhantomData;
use std::sync::Arc;

use bevy::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::registry::registry_of;
use crate::isolate::{Posted, RequestId};
use crate::luau::request::SyscallArgs;
use crate::runtime::Inbox;
use crate::types::Pid;
use crate::value::{Arguments, Results, arguments};

/// A call of a script, to be answered.
///
/// Answer it at once ([`Syscall::reply`], [`Syscall::fail`]) or keep [`Syscall::reply_to`] and answer later.
/// The process waits until then, or until
/// [`syscall_timeout`](crate::LuauOsPlugin::syscall_timeout) has passed, and runs on in the tick after.
#[derive(Debug)]
pub struct Syscall<Args, Reply> {
    /// The VM whose process called.
    pub vm: Entity,
    /// The process that called.
    pub process: Entity,
    /// Its number on its VM.
    pub pid: Pid,
    /// What it passed.
    pub args: Args,
    /// Where the answer goes.
    pub reply_to: ReplyTo<Reply>,
}

impl<Args, Reply: Serialize> Syscall<Args, Reply> {
    /// Answers: what the script's call returns. A tuple is several results.
    pub fn reply(self, reply: Reply) {
        self.reply_to.reply(reply);
    }

    /// Answers with an error, which the script's call raises.
    pub fn fail(self, message: impl Into<String>) {
        self.reply_to.fail(message);
    }
}

/// Where the answer to a [`Syscall`] goes. If it is dropped, the call fails with an error that says so.
/// If the process has ended in the meantime, answers go nowhere.
#[derive(Debug)]
pub struct ReplyTo<Reply> {
    request: RequestId,
    inbox: Option<Inbox>,
    reply: PhantomData<fn(Reply)>,
}

impl<Reply: Serialize> ReplyTo<Reply> {
    /// Answers: what the script's call returns.
    pub fn reply(mut self, reply: Reply) {
        let reply = Results::of(&reply).map_err(|error| error.inside("reply").to_string());
        self.send(reply);
    }

    /// Answers with an error, which the script's call raises.
    pub fn fail(mut self, message: impl Into<String>) {
        self.send(Err(message.into()));
    }
}

impl<Reply> ReplyTo<Reply> {
    fn send(&mut self, reply: Result<Results, String>) {
        if let Some(inbox) = self.inbox.take() {
            inbox.push(self.request, reply);
        }
    }
}

impl<Reply> Drop for ReplyTo<Reply> {
    fn drop(&mut self) {
        self.send(Err("the game dropped the call without an answer".to_owned()));
    }
}

type Dispatcher = Arc<dyn Fn(&mut World, Vec<Posted<SyscallArgs>>) + Send + Sync>;

/// The systems that answer syscalls, by number.
#[derive(Resource, Default)]
pub(crate) struct SyscallSystems(Vec<Dispatcher>);

impl SyscallSystems {
    pub(crate) fn get(&self, number: usize) -> Option<Dispatcher> {
        self.0.get(number).cloned()
    }
}

/// Lets Bevy systems answer scripts.
pub trait SyscallAppExt {
    /// Lets all scripts call `path`: a name, or names with dots between them (`"robot.move"`).
    ///
    /// Add it whenever you like, before or after [`LuauOsPlugin`](crate::LuauOsPlugin), until the first process starts:
    /// what scripts find is fixed then. In a tick the systems run in the order in which they were added.
    ///
    /// The call suspends the process. After [`LuauOsSystems::Run`](crate::LuauOsSystems::Run) all calls
    /// of a tick reach `system` at once, in an order that depends on nothing but the order in which the
    /// processes were spawned. Arguments of another type than `Args`, a tuple, are an error in the script.
    ///
    /// ```
    /// use bevy::prelude::*;
    /// use bevy_luau_os::prelude::*;
    ///
    /// fn step(In(calls): In<Vec<Syscall<(f32, f32), f32>>>, mut robots: Query<&mut Transform>) {
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
    fn add_syscall<Args, Reply, Marker>(
        &mut self,
        path: &str,
        system: impl IntoSystem<In<Vec<Syscall<Args, Reply>>>, (), Marker> + 'static,
    ) -> &mut Self
    where
        Args: DeserializeOwned + Send + Sync + 'static,
        Reply: Serialize + 'static;
}

impl SyscallAppExt for App {
    #[track_caller]
    fn add_syscall<Args, Reply, Marker>(
        &mut self,
        path: &str,
        system: impl IntoSystem<In<Vec<Syscall<Args, Reply>>>, (), Marker> + 'static,
    ) -> &mut Self
    where
        Args: DeserializeOwned + Send + Sync + 'static,
        Reply: Serialize + 'static,
    {
        let world = self.world_mut();
        let inbox = registry_of(world).add_syscall(path, Box::new(parse::<Args>));
        let system = world.register_system(system);
        world.entity_mut(system.entity()).insert(Name::new(format!("syscall {path}")));
        let dispatch = move |world: &mut World, calls: Vec<Posted<SyscallArgs>>| {
            let calls = calls.into_iter().map(|call| typed(call, &inbox)).collect();
            if let Err(error) = world.run_system_with(system, calls) {
                error!("a system that answers syscalls did not run: {error}");
            }
        };
        world.get_resource_or_init::<SyscallSystems>().0.push(Arc::new(dispatch));
        self
    }
}

/// What becomes of syscalls without an answer when their VM is saved and loaded.
#[cfg(feature = "save")]
pub trait SyscallSaveAppExt {
    /// Calls of `path` that the game has not answered when their VM is saved are made again when it is loaded. Otherwise
    /// they fail then, with an error that says so: choose this for what may be done twice, or was not done.
    ///
    /// # Panics
    ///
    /// When there is no such syscall, and when the first process has started already.
    #[track_caller]
    fn repeat_syscall(&mut self, path: &str) -> &mut Self;
}

#[cfg(feature = "save")]
impl SyscallSaveAppExt for App {
    #[track_caller]
    fn repeat_syscall(&mut self, path: &str) -> &mut Self {
        registry_of(self.world_mut()).repeat_syscall(path);
        self
    }
}

fn parse<Args: DeserializeOwned + Send + Sync + 'static>(
    arguments: Arguments,
) -> Result<SyscallArgs, String> {
    let args = arguments::to::<Args>(arguments).map_err(|error| error.to_string())?;
    Ok(Box::new(args))
}

fn typed<Args: 'static, Reply>(call: Posted<SyscallArgs>, inbox: &Inbox) -> Syscall<Args, Reply> {
    let Posted { id, vm, process, pid, request } = call;
    let args = *request.downcast().expect("what this syscall's parser made");
    let reply_to = ReplyTo { request: id, inbox: Some(inbox.clone()), reply: PhantomData };
    Syscall { vm, process, pid, args, reply_to }
}
