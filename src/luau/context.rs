//! What the functions that scripts call share with the isolate: the process that runs, and what it leaves behind.

use std::any::Any;
use std::ffi::c_int;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bevy::platform::collections::HashMap;
use bevy::prelude::Entity;

use super::slice;
use super::threads::{ProcessThread, TaskId};
use crate::console::ConsoleBuffer;
use crate::luau::HostFunctions;
use crate::luau::mailbox::Mailbox;
use crate::luau::request::KernelRequest;
use crate::random::Pcg32;
use crate::types::{ProcessIndex, VmIndex};
use crate::value::{Value, Values};

/// What the host functions of a slice read and write.
pub(crate) struct Context {
    /// Virtual time, in seconds.
    pub(crate) now: f64,
    /// What the process printed in this slice.
    pub(crate) console: ConsoleBuffer,
    /// By [`ProcessIndex`], what is known of the last process that started there.
    pub(super) callers: Vec<Caller>,
    /// Coroutines that scripts made and that have not been collected, by [`VmIndex`].
    pub(super) coroutines: Vec<u32>,
    pub(super) coroutine_limit: u32,
    pub(super) task_limit: usize,
    pub(super) host: HostFunctions,
    /// What tasks of the process wait for from the end of this slice on.
    pub(crate) requests: Vec<(TaskId, Request)>,
    /// What the task that is resumed has waited for.
    pub(crate) reply: Option<Reply>,
    /// Messages, by their receiver.
    pub(crate) mail: HashMap<ProcessIndex, Mailbox>,
    /// The VMs, by [`VmIndex`].
    pub(crate) vms: Vec<Entity>,
    /// What the process gave to `process.exit`.
    pub(crate) exit_results: Vec<Value>,
    /// The process that runs. Valid during its slice.
    pub(super) process: *mut ProcessThread,
    /// Where it is kept.
    pub(super) index: ProcessIndex,
    /// The number of the host function that panicked in this slice, and what it said.
    pub(super) host_panic: Option<(usize, String)>,
    pub(super) dropped_functions: DroppedFunctions,
    /// Whether a process ever handed over a function.
    pub(super) has_handed_over: bool,
}

/// What functions know of the process that calls them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(super) pid: u32,
    /// Where its VM is kept.
    pub(super) vm: VmIndex,
    pub(super) random: Pcg32,
}

impl Caller {
    /// The process with a number in a VM. Its random numbers start with `seed`.
    pub(crate) fn new(pid: u32, vm: VmIndex, seed: u64) -> Self {
        Self { pid, vm, random: Pcg32::from_seed(seed) }
    }
}

/// What a process waits for.
pub(crate) enum Request {
    /// For a time to pass.
    Sleep(Duration),
    /// For the answer to a syscall, by its number.
    Syscall { function: usize, args: Box<dyn Any + Send + Sync> },
    /// For the answer of the system.
    System(Box<KernelRequest>),
    /// For a message.
    Receive { timeout: Option<Duration> },
    /// For a signal.
    Signal { name: Box<[u8]>, timeout: Option<Duration> },
    /// For nothing: its number is that of a connection to a signal, which begins.
    Connect { name: Box<[u8]> },
    /// For nothing any more: it was cancelled.
    Forget,
}

/// A function that a process handed over: a registry reference, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct FunctionRef {
    pub(super) reference: c_int,
    pub(super) dropped: DroppedFunctions,
}

/// References of a state to be given back, from wherever their owners are dropped. Whose they are is told by where
/// the list is.
pub(super) type DroppedFunctions = Arc<Mutex<Vec<c_int>>>;

impl Drop for FunctionRef {
    fn drop(&mut self) {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).push(self.reference);
    }
}

/// What a task gets that has waited: values, or an error to raise.
pub(crate) type Reply = Result<Values, String>;

impl Context {
    pub(super) fn new(host: HostFunctions) -> Self {
        Self {
            now: 0.0,
            console: ConsoleBuffer::default(),
            callers: Vec::new(),
            coroutines: Vec::new(),
            coroutine_limit: 0,
            task_limit: 0,
            host,
            requests: Vec::new(),
            reply: None,
            mail: HashMap::default(),
            vms: Vec::new(),
            exit_results: Vec::new(),
            process: ptr::null_mut(),
            index: ProcessIndex(0),
            host_panic: None,
            dropped_functions: DroppedFunctions::default(),
            has_handed_over: false,
        }
    }

    /// The process that runs.
    pub(super) fn caller(&mut self) -> &mut Caller {
        &mut self.callers[self.index.at()]
    }

    /// Its VM.
    pub(super) fn vm(&mut self) -> Entity {
        let vm = self.caller().vm.at();
        self.vms.get(vm).copied().unwrap_or(Entity::PLACEHOLDER)
    }

    /// Hands over the function with a registry reference.
    pub(super) fn hand_over(&mut self, reference: c_int) -> FunctionRef {
        self.has_handed_over = true;
        FunctionRef { reference, dropped: self.dropped_functions.clone() }
    }

    /// Where the process that runs prints.
    pub(super) fn print(&mut self) -> &mut ConsoleBuffer {
        slice::flag_outcome();
        &mut self.console
    }

    /// A task of the process that runs asks for something.
    pub(super) fn request(&mut self, task: TaskId, request: Request) {
        slice::flag_outcome();
        self.requests.push((task, request));
    }

    /// The path of the host function that panicked, and what it said.
    pub(crate) fn take_host_panic(&mut self) -> (String, String) {
        let (function, message) = self.host_panic.take().unwrap_or_default();
        (self.host.path(function).into_owned(), message)
    }
}
