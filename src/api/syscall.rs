//! Syscalls: calls of scripts that an ordinary Bevy system answers.

use std::fmt::Display;
use std::marker::PhantomData;
use std::sync::Arc;

use bevy::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "save")]
use super::registry::registry_of;
use crate::isolate::{Posted, RequestId};
use crate::luau::request::SyscallArgs;
use crate::runtime::Inbox;
use crate::types::{HostCaller, Pid};
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

impl<Args, Reply> Syscall<Args, Reply> {
    /// Who calls.
    pub fn caller(&self) -> HostCaller {
        HostCaller { vm: self.vm, process: self.process, pid: self.pid }
    }

    /// What was passed, and where the answer goes.
    pub fn split(self) -> (Args, ReplyTo<Reply>) {
        (self.args, self.reply_to)
    }
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

    /// [Replies](Self::reply) or [fails](Self::fail).
    pub fn result<E: Display>(self, result: Result<Reply, E>) {
        self.reply_to.result(result);
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

    /// [Replies](Self::reply) or [fails](Self::fail).
    pub fn result<E: Display>(self, result: Result<Reply, E>) {
        match result {
            Ok(reply) => self.reply(reply),
            Err(error) => self.fail(error.to_string()),
        }
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

pub(super) type Dispatcher = Arc<dyn Fn(&mut World, Vec<Posted<SyscallArgs>>) + Send + Sync>;

/// The systems that answer syscalls, by number.
#[derive(Resource, Default)]
pub(crate) struct SyscallSystems(Vec<Dispatcher>);

impl SyscallSystems {
    /// The system of the next number.
    pub(super) fn push(&mut self, dispatcher: Dispatcher) {
        self.0.push(dispatcher);
    }

    pub(crate) fn get(&self, number: usize) -> Option<Dispatcher> {
        self.0.get(number).cloned()
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

/// Gives arguments their type.
pub(super) fn parse<Args: DeserializeOwned + Send + Sync + 'static>(
    arguments: Arguments,
) -> Result<SyscallArgs, String> {
    let args = arguments::to::<Args>(arguments).map_err(|error| error.to_string())?;
    Ok(Box::new(args))
}

/// A call of a syscall that [`parse`] has parsed.
pub(super) fn typed<Args: 'static, Reply>(call: Posted<SyscallArgs>, inbox: &Inbox) -> Syscall<Args, Reply> {
    let Posted { id, vm, process, pid, request } = call;
    let args = *request.downcast().expect("what this syscall's parser made");
    let reply_to = ReplyTo { request: id, inbox: Some(inbox.clone()), reply: PhantomData };
    Syscall { vm, process, pid, args, reply_to }
}
