//! One Luau state behind a safe interface: the only module of the crate with `unsafe` code.
//!
//! What keeps it sound:
//!
//! - A [`LuauState`] owns its state and never hands out a handle to it, so `&mut self` is exclusive
//!   access to everything in it, and moving it to another operating-system thread is fine.
//! - Its allocator ([`memory`]) and its sandbox ([`open`]) are ours, so no other code finds its way in.
//! - Every `lua_State` pointer kept here belongs to a thread that the state's registry anchors: the
//!   main thread, or the root of a process, held by its [`ThreadId`]'s entry in an anchor table from
//!   the moment it is made until the entry is overwritten. Coroutines of a break chain are kept
//!   alive by their parents' stacks.
//! - Calls that can throw are made inside [`LuauState::protect`], or by Luau itself.
//! - Callbacks ([`functions`], [`mod@slice`]) hold nothing that needs dropping where Luau may throw.

#![expect(
    unsafe_code,
    reason = "mlua's safe interface cannot break and resume nested coroutines, see `slice`"
)]

mod functions;
mod memory;
mod modules;
mod open;
mod prefetch;
#[cfg(test)]
mod reachable;
mod roots;
mod slice;
mod threads;
mod transfer;
mod vacate;

use std::any::Any;
use std::ffi::{CString, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bevy::platform::collections::HashMap;
use bevy::prelude::Entity;
use mlua::ffi::{self, lua_State};
use smallvec::SmallVec;

use crate::console::ConsoleBuffer;
use crate::host::HostFunctions;
use crate::process::exit::ScriptError;
use crate::random::Pcg32;
use crate::runtime::mail::Mailbox;
use crate::runtime::system_call::SystemCall;
use crate::script::Bytecode;
use crate::value::Value;

use modules::TableRef;

pub(crate) use modules::LoadedProgram;
pub(crate) use prefetch::prefetch;
pub(crate) use slice::{Excess, SliceEnd, SliceLimits, SliceReport};
pub(crate) use threads::{MAIN, TaskId};

pub use transfer::CallArguments;

use roots::Roots;
use threads::{ProcessThread, Task};

/// A factor of one on the quantum, in sixteenths.
pub(crate) const NORMAL_PRIORITY: u8 = 16;

/// The root thread of one process, by its place in the state's table of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadId(pub(crate) u32);

/// A loaded script: the registry reference of its main function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MainFunction(c_int);

/// What the host functions of a slice read and write.
pub(crate) struct Context {
    /// Virtual time, in seconds.
    pub(crate) now: f64,
    /// What the process printed in this slice.
    pub(crate) console: ConsoleBuffer,
    /// By slot, what is known of the last process that started there.
    callers: Vec<Caller>,
    /// Coroutines that scripts made and that have not been collected, by place.
    coroutines: Vec<u32>,
    coroutine_limit: u32,
    task_limit: usize,
    host: HostFunctions,
    /// What tasks of the process wait for from the end of this slice on.
    pub(crate) requests: Vec<(TaskId, Request)>,
    /// What the task that is resumed has waited for.
    pub(crate) reply: Option<Reply>,
    /// Messages, by slot of their receiver.
    pub(crate) mail: HashMap<u32, Mailbox>,
    /// The VMs, by place.
    pub(crate) vms: Vec<Entity>,
    /// What the process gave to `process.exit`.
    pub(crate) exit_results: Vec<Value>,
    /// The process that runs. Valid during its slice.
    process: *mut ProcessThread,
    /// Its slot.
    slot: u32,
    /// The number of the host function that panicked in this slice, and what it said.
    host_panic: Option<(usize, String)>,
    dropped_functions: DroppedFunctions,
}

/// What functions know of the process that calls them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pid: u32,
    /// Its VM's place.
    place: u32,
    random: Pcg32,
}

impl Caller {
    /// The process with a number in the VM that has a place. Its random numbers start with `seed`.
    pub(crate) fn new(pid: u32, place: u32, seed: u64) -> Self {
        Self { pid, place, random: Pcg32::from_seed(seed) }
    }
}

/// What a process waits for.
pub(crate) enum Request {
    /// For a time to pass.
    Sleep(Duration),
    /// For the answer to a syscall, by its number.
    Syscall { function: usize, args: Box<dyn Any + Send + Sync> },
    /// For the answer of the system.
    System(Box<SystemCall>),
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
    reference: c_int,
    dropped: DroppedFunctions,
}

/// References of a state to be given back, from wherever their owners are dropped. Whose they are is told by where
/// the list is.
type DroppedFunctions = Arc<Mutex<Vec<c_int>>>;

impl Drop for FunctionRef {
    fn drop(&mut self) {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).push(self.reference);
    }
}

/// What a task gets that has waited: values, or an error to raise.
pub(crate) type Reply = Result<Values, String>;

/// Mostly one.
pub(crate) type Values = SmallVec<[Value; 1]>;

impl Context {
    fn new(host: HostFunctions) -> Self {
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
            slot: 0,
            host_panic: None,
            dropped_functions: DroppedFunctions::default(),
        }
    }

    /// The process that runs.
    fn caller(&mut self) -> &mut Caller {
        &mut self.callers[self.slot as usize]
    }

    /// Its VM.
    fn vm(&mut self) -> Entity {
        let place = self.caller().place as usize;
        self.vms.get(place).copied().unwrap_or(Entity::PLACEHOLDER)
    }

    /// Where the process that runs prints.
    fn print(&mut self) -> &mut ConsoleBuffer {
        slice::note_news();
        &mut self.console
    }

    /// A task of the process that runs asks for something.
    fn request(&mut self, task: TaskId, request: Request) {
        slice::note_news();
        self.requests.push((task, request));
    }

    /// The path of the host function that panicked, and what it said.
    pub(crate) fn take_host_panic(&mut self) -> (String, String) {
        let (function, message) = self.host_panic.take().unwrap_or_default();
        (self.host.path(function).into_owned(), message)
    }
}

/// What a process may use in one slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Bytes that it may allocate beyond its slice's until it is killed.
    pub(crate) memory_slack: usize,
    /// Coroutines of its VM, old ones included, at which its slice ends.
    pub(crate) coroutines: u32,
    pub(crate) call_depth: u32,
    /// Tasks of the process.
    pub(crate) tasks: usize,
    pub(crate) console_bytes: usize,
}

impl Allowance {
    pub(crate) fn unlimited(console_bytes: usize) -> Self {
        Self { memory_slack: 0, coroutines: u32::MAX, call_depth: u32::MAX, tasks: usize::MAX, console_bytes }
    }
}

/// One sandboxed Luau state and the threads of its processes.
pub(crate) struct LuauState {
    main: *mut lua_State,
    threads: Vec<ProcessThread>,
    /// The state tables of threads that were restarted and not started since.
    handed_over: HashMap<u32, TableRef>,
    /// Registry references of the anchor tables; see [`roots`].
    roots: Roots,
    /// Whether threads can be [prefetched](prefetch::knows_layout).
    knows_layout: bool,
    /// Whether a process ever had a [record](modules).
    has_records: bool,
    /// Registry reference of the metatable that all environments share.
    environment_metatable: c_int,
    /// Registry reference of the function that [`LuauState::protect`] calls. A new one for each call
    /// would be garbage.
    protected_call: c_int,
    /// Ours alone, from `Box::into_raw`. A pointer, because host functions reach it during a slice.
    context: *mut Context,
    /// What the state's allocator counts. It must outlive the state.
    memory: Box<memory::Memory>,
}

// SAFETY: the raw pointers point into the state, which is ours alone: nothing else refers to it, and
// Luau states are not tied to an operating-system thread.
unsafe impl Send for LuauState {}
// SAFETY: `&LuauState` only reads counters of the state (`bytes`, `category_bytes`) and addresses (`prefetch`), which
// only change through `&mut LuauState`.
unsafe impl Sync for LuauState {}

impl LuauState {
    /// What the functions that scripts call read and write.
    pub(crate) fn context(&mut self) -> &mut Context {
        // SAFETY: it lives as long as we do, and only slices use it otherwise, which borrow us.
        unsafe { &mut *self.context }
    }

    /// Runs `f` where Luau may throw (here: out of memory), with the main thread's stack restored
    /// afterwards. `f` must hold nothing that needs dropping across such calls.
    fn protect<R>(&mut self, f: impl FnOnce(*mut lua_State) -> R) -> Result<R, ScriptError> {
        let mut f = Some(f);
        let mut result = None;
        let mut call = |state| result = f.take().map(|f| f(state));
        let mut call: &mut dyn FnMut(*mut lua_State) = &mut call;
        // SAFETY: `main` is live and not running, and has room for two values: its stack is empty
        // between calls. `protected_call` is `open::call_closure`, which gets the pointer to a
        // `&mut dyn FnMut` that it wants.
        let status = unsafe {
            ffi::lua_rawgeti_(self.main, ffi::LUA_REGISTRYINDEX, self.protected_call);
            ffi::lua_pushlightuserdata(self.main, (&raw mut call).cast::<c_void>());
            ffi::lua_pcall(self.main, 1, 0, 0)
        };
        match result {
            Some(result) if status == ffi::LUA_OK => Ok(result),
            _ => {
                // SAFETY: a failed protected call leaves its error on top of the stack, and the stack
                // is empty but for that.
                let message = unsafe { transfer::error_message(self.main) };
                // SAFETY: takes it off again.
                unsafe { ffi::lua_settop(self.main, 0) };
                Err(ScriptError { message, traceback: Box::default() })
            }
        }
    }

    /// Loads a compiled script.
    ///
    /// # Errors
    ///
    /// When the state is out of memory.
    pub(crate) fn load(&mut self, name: &str, bytecode: &Bytecode) -> Result<MainFunction, ScriptError> {
        let name = CString::new(chunk_name(name)).unwrap_or_default();
        let code = bytecode.as_bytes();
        let loaded = self.protect(|state| {
            // SAFETY: `Bytecode` comes from our own compiler, and `luau_load` trusts nothing else.
            // It pushes a function or an error message.
            unsafe {
                let status = ffi::luau_load(state, name.as_ptr(), code.as_ptr().cast(), code.len(), 0);
                if status == ffi::LUA_OK {
                    Ok(MainFunction(ffi::lua_ref(state, -1)))
                } else {
                    Err(transfer::error_message(state))
                }
            }
        })?;
        loaded.map_err(|message| ScriptError { message, traceback: Box::default() })
    }

    /// Forgets a loaded script. Processes that run it are not affected.
    pub(crate) fn unload(&mut self, function: MainFunction) {
        // SAFETY: `function` is a reference that `load` made; `lua_unref` does not throw.
        unsafe { ffi::lua_unref(self.main, function.0) };
    }

    /// What a process starts with that runs a function that another one handed over.
    ///
    /// # Errors
    ///
    /// When it is a function of another state: the VM that it comes from has gone.
    pub(crate) fn main_function(&mut self, function: &FunctionRef) -> Result<MainFunction, ScriptError> {
        if Arc::ptr_eq(&function.dropped, &self.context().dropped_functions) {
            return Ok(MainFunction(function.reference));
        }
        let message = "the VM that its function comes from has gone".into();
        Err(ScriptError { message, traceback: Box::default() })
    }

    /// Gives back the functions that were handed over and are not needed any more.
    pub(crate) fn release_functions(&mut self) {
        let dropped = self.context().dropped_functions.clone();
        for reference in dropped.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.unload(MainFunction(reference));
        }
    }

    /// Whether a task waits.
    pub(crate) fn is_waiting(&self, thread: ThreadId, task: TaskId) -> bool {
        let tasks = self.threads.get(thread.0 as usize).and_then(ProcessThread::tasks);
        tasks.map_or(task == MAIN, |tasks| tasks.is_waiting(task))
    }

    /// Whether a connection to a signal has not ended.
    pub(crate) fn is_connected(&self, thread: ThreadId, connection: TaskId) -> bool {
        let tasks = self.threads.get(thread.0 as usize).and_then(ProcessThread::tasks);
        tasks.is_some_and(|tasks| tasks.connections.contains(&connection))
    }

    /// Gives a process that has just started its name, if it has one of its own, and arguments.
    pub(crate) fn pass(
        &mut self,
        thread: ThreadId,
        category: u8,
        name: Option<Arc<str>>,
        arguments: &[Value],
    ) -> Result<(), ScriptError> {
        let root = self.threads[thread.0 as usize].root;
        let table = self.protect(|state| {
            // SAFETY: the root holds its function and nothing else, and does not run. The rest is pushed
            // and popped in balance.
            unsafe {
                ffi::lua_setmemcat(state, c_int::from(category));
                ffi::lua_createtable(state, c_int::try_from(arguments.len()).unwrap_or(0), 0);
                for (i, value) in (1..).zip(arguments) {
                    transfer::push(root, value);
                    transfer::push(state, value);
                    ffi::lua_rawseti_(state, -2, i);
                }
                let table = ffi::lua_ref(state, -1);
                ffi::lua_pop(state, 1);
                table
            }
        });
        // SAFETY: only sets a number.
        unsafe { ffi::lua_setmemcat(self.main, 0) };
        self.threads[thread.0 as usize].pass(name, arguments.len() as c_int, table?);
        Ok(())
    }

    /// Starts a task that runs the function of a connection. `false` if the process has no room for it.
    pub(crate) fn call_connection(
        &mut self,
        thread: ThreadId,
        category: u8,
        connection: TaskId,
        payload: &Value,
        task_limit: usize,
    ) -> bool {
        let Some(tasks) =
            self.threads[thread.0 as usize].tasks_mut().filter(|tasks| tasks.len() < task_limit)
        else {
            return false;
        };
        if !tasks.connections.contains(&connection) {
            return false;
        }
        let Some(id) = tasks.next_id() else { return false };
        let anchors = tasks.anchors;
        let root = self.protect(|state| {
            // SAFETY: `anchors` is a reference to a table where `connection` has a function, if it has not
            // ended. Everything is pushed and popped in balance.
            unsafe {
                ffi::lua_setmemcat(state, c_int::from(category));
                ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, anchors);
                let root = ffi::lua_newthread(state);
                if ffi::lua_rawgeti_(state, -2, connection.cast_signed()) != ffi::LUA_TFUNCTION {
                    return None;
                }
                ffi::lua_getfenv(state, -1);
                ffi::lua_xmove(state, root, 1);
                ffi::lua_replace(root, ffi::LUA_GLOBALSINDEX);
                ffi::lua_xmove(state, root, 1);
                transfer::push(root, payload);
                ffi::lua_rawseti_(state, -2, id.cast_signed());
                Some(root)
            }
        });
        // SAFETY: only sets a number.
        unsafe { ffi::lua_setmemcat(self.main, 0) };
        let (Ok(Some(root)), Some(tasks)) = (root, self.threads[thread.0 as usize].tasks_mut()) else {
            return false;
        };
        tasks.push_ready(Task { id, root, chain: Vec::new(), arguments: 1, is_new: true, reply: None });
        true
    }

    /// Slices that run on this operating-system thread from now on are slices of this state.
    pub(crate) fn slices(&mut self, limits: SliceLimits) -> Slices<'_> {
        // SAFETY: the context is ours alone, and `Slices` borrows us for as long as it can run any.
        // `Slices` is not `Send`, so they run on this thread; they do not nest, so nobody else calls
        // `prepare` in between.
        unsafe { slice::prepare(self.context, limits) };
        let mut slices = Slices { state: self, not_send: PhantomData };
        slices.allow(&Allowance::unlimited(0));
        slices
    }

    /// The results of a process whose last slice ended as [`SliceEnd::Returned`].
    pub(crate) fn results(&mut self, thread: ThreadId) -> Vec<Value> {
        let root = self.threads[thread.0 as usize].root;
        // SAFETY: `root` is live and not running.
        if unsafe { ffi::lua_gettop(root) } == 0 {
            return Vec::new();
        }
        // SAFETY: as above; the slots are made first.
        let results = self.protect(|_| unsafe {
            ffi::lua_rawcheckstack(root, transfer::RESULT_SLOTS);
            transfer::values(root)
        });
        results.unwrap_or_default()
    }

    /// The error of a process whose last slice ended as [`SliceEnd::Failed`].
    pub(crate) fn error(&self, thread: ThreadId) -> ScriptError {
        let failed = self.threads[thread.0 as usize].failed();
        // SAFETY: it is anchored, not running, and has its error on top of its stack.
        unsafe {
            ScriptError { message: transfer::error_message(failed), traceback: transfer::traceback(failed) }
        }
    }

    /// Leaves a process nothing but its root, which is returned.
    fn clear_tasks(&mut self, thread: ThreadId) -> *mut lua_State {
        let Some(process) = self.threads.get_mut(thread.0 as usize) else { return ptr::null_mut() };
        for reference in process.clear().into_iter().flatten() {
            // SAFETY: a reference of this state; `lua_unref` does not throw.
            unsafe { ffi::lua_unref(self.main, reference) };
        }
        process.root
    }

    /// Makes a task that waits ready; of the main chunk of a process without other tasks, it hands the reply
    /// back. `Err` if the task has ended.
    pub(crate) fn wake(
        &mut self,
        thread: ThreadId,
        task: TaskId,
        reply: Option<Reply>,
    ) -> Result<Option<Reply>, ()> {
        match self.threads[thread.0 as usize].tasks_mut() {
            None if task == MAIN => Ok(reply),
            None => Err(()),
            Some(tasks) => tasks.wake(task, reply).then_some(None).ok_or(()),
        }
    }

    /// Bytes in use, garbage included.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.used()
    }

    /// Bytes in use by one memory category, garbage included.
    pub(crate) fn category_bytes(&self, category: u8) -> usize {
        // SAFETY: reads one counter.
        unsafe { ffi::lua_totalbytes(self.main, c_int::from(category)) }
    }

    /// Coroutines that the scripts of one place have made, garbage included.
    pub(crate) fn coroutines(&mut self, place: u32) -> u32 {
        self.context().coroutines.get(place as usize).copied().unwrap_or_default()
    }

    /// Collects all garbage, however long it takes.
    pub(crate) fn collect(&mut self) {
        // SAFETY: the state is not running. The collector is stopped again because a collection
        // leaves it with a threshold at which the next allocation would start it.
        unsafe {
            ffi::lua_gc(self.main, ffi::LUA_GCCOLLECT, 0);
            ffi::lua_gc(self.main, ffi::LUA_GCSTOP, 0);
        }
    }

    /// Does one step of a collection, about 64 KiB of work. `true` if that ended the cycle.
    pub(crate) fn collect_step(&mut self) -> bool {
        // SAFETY: as for `collect`.
        unsafe {
            let done = ffi::lua_gc(self.main, ffi::LUA_GCSTEP, 0) != 0;
            ffi::lua_gc(self.main, ffi::LUA_GCSTOP, 0);
            done
        }
    }
}

/// Runs slices of one state; see [`LuauState::slices`].
pub(crate) struct Slices<'a> {
    state: &'a mut LuauState,
    not_send: PhantomData<*mut ()>,
}

impl Slices<'_> {
    /// What each slice may use from now on.
    pub(crate) fn allow(&mut self, allowance: &Allowance) {
        let context = self.state.context();
        context.task_limit = allowance.tasks;
        context.coroutine_limit = allowance.coroutines;
        context.console.set_capacity(allowance.console_bytes);
        self.state.memory.allow_slack(allowance.memory_slack);
        slice::limit_call_depth(allowance.call_depth);
    }

    /// Runs one slice of a started process: `quantum` safepoints. It may allocate `memory_bytes`, and what it is
    /// [allowed](Self::allow) beyond them.
    #[inline]
    pub(crate) fn run(&mut self, thread: ThreadId, quantum: u32, memory_bytes: usize) -> SliceReport {
        let process = &raw mut self.state.threads[thread.0 as usize];
        // SAFETY: nothing of the process runs now.
        assert!(!unsafe { (*process).root }.is_null(), "thread {} was never started", thread.0);
        self.state.memory.allow(memory_bytes);
        // SAFETY: no host function runs now.
        let context = unsafe { &mut *self.state.context };
        context.process = process;
        context.slot = thread.0;
        // SAFETY: `prepare` was called for this state. The root is anchored and holds what `start` or
        // an earlier slice left; finished threads are reset or discarded by our caller before they are
        // started again, and Luau refuses to resume a finished thread with an error. Nothing else uses
        // the process during the slice but the functions that it calls, through the context.
        unsafe { slice::run(process, quantum) }
    }

    /// The state whose slices these are.
    #[inline]
    pub(crate) fn state(&self) -> &LuauState {
        self.state
    }

    /// What the functions that scripts call read and write.
    #[inline]
    pub(crate) fn context(&mut self) -> &mut Context {
        self.state.context()
    }

    /// See [`LuauState::category_bytes`].
    #[inline]
    pub(crate) fn category_bytes(&self, category: u8) -> usize {
        self.state.category_bytes(category)
    }

    /// See [`LuauState::coroutines`].
    #[inline]
    pub(crate) fn coroutines(&mut self, place: u32) -> u32 {
        self.state.coroutines(place)
    }
}

impl Drop for LuauState {
    fn drop(&mut self) {
        // SAFETY: nothing uses the context afterwards. The state is closed by dropping `memory`: it
        // holds nothing but its blocks.
        drop(unsafe { Box::from_raw(self.context) });
    }
}

/// What Luau calls a script. `=` tells it to show the name as it is.
fn chunk_name(script: &str) -> Vec<u8> {
    [b"=", script.as_bytes()].concat().into_iter().filter(|&byte| byte != 0).collect()
}
