//! A Luau state: what we keep of it, and running code in it.

use std::ffi::{CString, c_int, c_void};
use std::sync::{Arc, PoisonError};

use bevy::platform::collections::HashMap;
use mlua::ffi::{self, lua_State};

use super::anchors::Roots;
use super::bases::{Base, Bases};
use super::context::Context;
use super::exports::Exports;
use super::function_ref::FunctionRef;
use super::memory;
use super::objects::Objects;
use super::reach::Audit;
use super::shared::Shared;
use super::signals::Signals;
use super::stack::{Reference, Stack, Tag};
use super::thread::OwnThread;
use super::threads::ProcessThread;
use super::transfer;
use crate::script::Bytecode;
use crate::types::{ProcessIndex, ScriptError, VmIndex};

/// A factor of one on the quantum, in sixteenths.
pub(crate) const NORMAL_PRIORITY: u8 = 16;

/// A loaded script: its main function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MainFunction(pub(super) Reference);

/// One sandboxed Luau state and the threads of its processes.
pub(crate) struct LuauState {
    pub(super) main: *mut lua_State,
    /// By [`ProcessIndex`].
    pub(super) threads: Vec<ProcessThread>,
    /// The state tables of threads that were restarted and not started since.
    pub(super) handed_over: HashMap<ProcessIndex, Reference>,
    /// See [`roots`](super::roots).
    pub(super) roots: Roots,
    /// Whether threads can be [prefetched](mod@super::prefetch).
    pub(super) knows_layout: bool,
    /// How objects look, if that is known.
    pub(super) objects: Option<Objects>,
    /// Under way. It is dropped before the collector runs.
    pub(super) audit: Option<Box<Audit>>,
    /// Whether a process ever had a [record](super::records).
    pub(super) has_records: bool,
    /// The function that makes a base.
    pub(super) sandbox: Reference,
    pub(super) bases: Bases,
    /// The function that [`LuauState::protect`] calls. A new one for each call would be garbage.
    pub(super) protected_call: Reference,
    /// Ours alone, from `Box::into_raw`. A pointer, because host functions reach it during a slice.
    pub(super) shared: *mut Shared,
    /// What the state's allocator counts. It must outlive the state.
    pub(super) memory: Box<memory::Memory>,
    /// What it remembers from image to image.
    #[cfg(feature = "save")]
    pub(super) images: Vec<(Reference, Box<super::image::ImageCache>)>,
}

// SAFETY: the raw pointers point into the state, which is ours alone: nothing else refers to it, and
// Luau states are not tied to an operating-system thread.
unsafe impl Send for LuauState {}
// SAFETY: `&LuauState` only reads counters of the state (`bytes`, `category_bytes`), and addresses in it and in the
// context (`prefetch`), which only change through `&mut LuauState`.
unsafe impl Sync for LuauState {}

/// What a protected call runs.
type Protected<'p> = &'p mut dyn FnMut(&mut Stack<'_>);

impl LuauState {
    /// What the functions that scripts call read and write.
    pub(crate) fn context(&mut self) -> &mut Context {
        // SAFETY: only slices use it otherwise, which borrow us.
        unsafe { &mut *self.shared().context.get() }
    }

    /// The same, to be looked at.
    pub(crate) fn context_ref(&self) -> &Context {
        // SAFETY: only slices and code that borrows us mutably change it.
        unsafe { &*self.shared().context.get() }
    }

    /// What processes have not received of what the game sends.
    pub(crate) fn signals(&self) -> &Signals {
        &self.context_ref().signals
    }

    /// What the game can call.
    pub(crate) fn exports(&self) -> &Exports {
        &self.context_ref().exports
    }

    /// What is reached from inside, too.
    #[inline]
    pub(super) fn shared(&self) -> &Shared {
        // SAFETY: it lives as long as we do, and nobody has a mutable reference to the whole of it.
        unsafe { &*self.shared }
    }

    /// The stack of the main thread. What may throw belongs inside [`LuauState::protect`].
    pub(super) fn main(&mut self) -> Stack<'_> {
        self.main_thread().stack()
    }

    /// Runs `f` where Luau may throw (here: out of memory), with the main thread's stack restored
    /// afterwards.
    pub(super) fn protect<R>(&mut self, f: impl FnOnce(&mut Stack<'_>) -> R) -> Result<R, ScriptError> {
        let mut f = Some(f);
        let mut result = None;
        let mut call = |stack: &mut Stack<'_>| result = f.take().map(|f| f(stack));
        let mut call: Protected<'_> = &mut call;
        let protected_call = self.protected_call;
        self.main().push_reference(protected_call);
        self.main().push_address(&raw mut call, Tag::Call);
        // What is called is `call_protected`, which gets the address that it wants.
        let is_done = self.main().try_call(1, 0);
        match result {
            Some(result) if is_done => Ok(result),
            _ => {
                let mut main = self.main();
                // A failed call leaves its error on top of the stack, which is empty but for that.
                let message = transfer::error_message(&main);
                main.resize(0);
                Err(ScriptError::new(message))
            }
        }
    }

    /// The same in a state that has no function for that yet, which this makes. `false` if something was thrown.
    pub(super) fn protect_first(&mut self, mut f: impl FnMut(&mut Stack<'_>)) -> bool {
        let mut reference = Reference::NONE;
        let mut call = |stack: &mut Stack<'_>| {
            f(stack);
            // SAFETY: `protect` gives it the address that it wants, and nothing else of it gets out.
            unsafe { ffi::lua_pushcfunction(stack.thread(), call_protected) };
            reference = stack.refer_to(-1);
        };
        let mut call: Protected<'_> = &mut call;
        let address = (&raw mut call).cast::<c_void>();
        // SAFETY: the main thread is live and does not run; `call_protected` gets the address that it wants.
        let status = unsafe { ffi::lua_cpcall(self.main, call_protected, address) };
        self.protected_call = reference;
        status == ffi::LUA_OK
    }

    /// The same, with the stack of the root of a process, which must have one.
    pub(super) fn protect_with_root<R>(
        &mut self,
        process: ProcessIndex,
        f: impl FnOnce(&mut Stack<'_>, &mut Stack<'_>) -> R,
    ) -> Result<R, ScriptError> {
        let root = self.root(process);
        self.protect(|main| f(main, &mut root.get().stack()))
    }

    /// Loads a compiled script, for processes before a base, if there is one.
    ///
    /// # Errors
    ///
    /// When the state is out of memory.
    pub(super) fn load(
        &mut self,
        name: &str,
        bytecode: &Bytecode,
        base: Option<Base>,
    ) -> Result<MainFunction, ScriptError> {
        let name = CString::new(chunk_name(name)).unwrap_or_default();
        let loaded = self.protect(|stack| {
            if let Some(base) = base {
                stack.push_reference(base.table);
                stack.set_globals();
            }
            if stack.load(&name, bytecode) {
                Ok(MainFunction(stack.refer_to(-1)))
            } else {
                Err(transfer::error_message(stack))
            }
        })?;
        loaded.map_err(ScriptError::new)
    }

    /// Forgets a loaded script. Processes that run it are not affected.
    pub(crate) fn unload(&mut self, function: MainFunction) {
        self.main().release(function.0);
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
        Err(ScriptError::new("the VM that its function comes from has gone"))
    }

    /// Gives back the functions that were handed over and are not needed any more.
    pub(crate) fn release_functions(&mut self) {
        if !self.context().has_handed_over {
            return;
        }
        let dropped = self.context().dropped_functions.clone();
        for reference in dropped.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.main().release(reference);
        }
    }

    /// How many wait to be given back.
    #[cfg(test)]
    pub(crate) fn unreleased_functions(&mut self) -> usize {
        self.context().dropped_functions.lock().map_or(0, |dropped| dropped.len())
    }

    /// Bytes in use, garbage included.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.used()
    }

    /// Bytes of all objects, garbage included. What is free in Luau's pages is not: only new objects can use that, and
    /// no collection gives it back as long as one object lives there.
    pub(crate) fn object_bytes(&self) -> usize {
        self.total_bytes(-1)
    }

    /// Bytes in use by one memory category, garbage included.
    pub(crate) fn category_bytes(&self, category: u8) -> usize {
        self.total_bytes(category.into())
    }

    /// Bytes of a category, or of all for a negative one.
    #[inline]
    fn total_bytes(&self, category: c_int) -> usize {
        self.main_thread().stack().total_bytes(category)
    }

    /// The main thread, as a thread of ours.
    pub(super) fn main_thread(&self) -> OwnThread<'_> {
        // SAFETY: it lives as long as we do. `open` has made it ours.
        unsafe { OwnThread::new(self.main) }
    }

    /// Coroutines that the scripts of a VM have made, garbage included.
    pub(crate) fn coroutines(&self, vm: VmIndex) -> u32 {
        self.shared().slice.coroutines(vm)
    }

    /// Collects all garbage, however long it takes.
    pub(crate) fn collect(&mut self) {
        self.control_collector(ffi::LUA_GCCOLLECT, 0);
        // A collection leaves a threshold at which the next allocation would start the collector.
        self.control_collector(ffi::LUA_GCSTOP, 0);
    }

    /// Does one step of a collection, about 64 KiB of work. `true` if that ended the cycle.
    pub(crate) fn collect_step(&mut self) -> bool {
        let done = self.control_collector(ffi::LUA_GCSTEP, 0) != 0;
        self.control_collector(ffi::LUA_GCSTOP, 0);
        done
    }

    pub(super) fn control_collector(&mut self, what: c_int, data: c_int) -> c_int {
        self.audit = None;
        // SAFETY: the main thread is live. Nobody has a thread or a stack of the state but those that are anchored, since
        // they borrow it. Luau takes any numbers.
        unsafe { ffi::lua_gc(self.main, what, data) }
    }
}

impl Drop for LuauState {
    fn drop(&mut self) {
        for index in 0..self.threads.len() {
            self.end_parked(ProcessIndex(index as u32));
        }
        // SAFETY: nothing uses it afterwards. The state is closed by dropping `memory`: it
        // holds nothing but its blocks.
        drop(unsafe { Box::from_raw(self.shared) });
    }
}

/// Calls what [`LuauState::protect`] is to run, whose address it gets.
unsafe extern "C-unwind" fn call_protected(thread: *mut lua_State) -> c_int {
    // SAFETY: Luau calls this with the running thread, in a C function. The stack is nobody else's until this returns,
    // and both catch what is thrown.
    let mut stack = unsafe { Stack::new(thread) };
    let call = stack.userdata(1).cast::<Protected<'_>>();
    // SAFETY: only `LuauState::protect` and `protect_first` can call this, and they pass such a pointer, to something
    // that lives.
    let call = unsafe { &mut *call };
    call(&mut stack);
    0
}

/// What Luau calls a script. `=` tells it to show the name as it is.
pub(super) fn chunk_name(script: &str) -> Vec<u8> {
    [b"=", script.as_bytes()].concat().into_iter().filter(|&byte| byte != 0).collect()
}
