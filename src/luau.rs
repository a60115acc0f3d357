//! One Luau state behind a safe interface: the only module of the crate with `unsafe` code.
//!
//! What keeps it sound:
//!
//! - A [`LuauState`] owns its state and never hands out a handle to it, so `&mut self` is exclusive
//!   access to everything in it, and moving it to another operating-system thread is fine.
//! - Its allocator ([`memory`]) and its sandbox ([`open`]) are ours, so no other code finds its way in.
//! - Every `lua_State` pointer kept here belongs to a thread that the state's registry anchors: the
//!   main thread, or the root of a process, held by its process's entry in an anchor table from
//!   the moment it is made until the entry is overwritten. Coroutines of a break chain are kept
//!   alive by their parents' stacks.
//! - Calls that can throw are made inside [`LuauState::protect`], or by Luau itself.
//! - Callbacks ([`functions`], [`mod@slice`]) hold nothing that needs dropping where Luau may throw.

#![expect(
    unsafe_code,
    reason = "mlua's safe interface cannot break and resume nested coroutines, see `slice`"
)]

mod context;
mod function_ref;
mod host_functions;
mod library;
pub(crate) mod mailbox;
mod memory;
mod modules;
mod open;
mod prefetch;
mod processes;
#[cfg(test)]
mod reachable;
mod replies;
pub(crate) mod request;
mod reset;
mod roots;
mod shared;
mod slice;
mod slices;
mod threads;
mod transfer;

use std::ffi::{CString, c_int, c_void};
use std::sync::{Arc, PoisonError};

use bevy::platform::collections::HashMap;
use mlua::ffi::{self, lua_State};

use crate::script::Bytecode;
use crate::types::{ProcessIndex, ScriptError, VmIndex};

use modules::TableRef;

pub(crate) use context::{Caller, Context};
pub(crate) use function_ref::FunctionRef;
pub(crate) use host_functions::{BoxedFunction, Entry, HostFunctions, Parser};
pub(crate) use modules::LoadedProgram;
pub(crate) use prefetch::prefetch;
pub(crate) use replies::Reply;
pub(crate) use request::Request;
pub(crate) use slice::{LimitViolation, SliceEnd, SliceLimits, SliceReport};
pub(crate) use slices::{Allowance, Slices};
pub(crate) use threads::{MAIN, TaskId};

pub use transfer::CallArguments;

use roots::Roots;
use shared::Shared;
use threads::ProcessThread;

/// A factor of one on the quantum, in sixteenths.
pub(crate) const NORMAL_PRIORITY: u8 = 16;

/// A loaded script: the registry reference of its main function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MainFunction(c_int);

/// One sandboxed Luau state and the threads of its processes.
pub(crate) struct LuauState {
    main: *mut lua_State,
    /// By [`ProcessIndex`].
    threads: Vec<ProcessThread>,
    /// The state tables of threads that were restarted and not started since.
    handed_over: HashMap<ProcessIndex, TableRef>,
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
    shared: *mut Shared,
    /// What the state's allocator counts. It must outlive the state.
    memory: Box<memory::Memory>,
}

// SAFETY: the raw pointers point into the state, which is ours alone: nothing else refers to it, and
// Luau states are not tied to an operating-system thread.
unsafe impl Send for LuauState {}
// SAFETY: `&LuauState` only reads counters of the state (`bytes`, `category_bytes`), and addresses in it and in the
// context (`prefetch`), which only change through `&mut LuauState`.
unsafe impl Sync for LuauState {}

impl LuauState {
    /// What the functions that scripts call read and write.
    pub(crate) fn context(&mut self) -> &mut Context {
        // SAFETY: only slices use it otherwise, which borrow us.
        unsafe { &mut *self.shared().context.get() }
    }

    /// What is reached from inside, too.
    fn shared(&self) -> &Shared {
        // SAFETY: it lives as long as we do, and nobody has a mutable reference to the whole of it.
        unsafe { &*self.shared }
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
        if !self.context().has_handed_over {
            return;
        }
        let dropped = self.context().dropped_functions.clone();
        for reference in dropped.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.unload(MainFunction(reference));
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
        // SAFETY: reads one counter, for a negative category that of all.
        unsafe { ffi::lua_totalbytes(self.main, -1) }
    }

    /// Bytes in use by one memory category, garbage included.
    pub(crate) fn category_bytes(&self, category: u8) -> usize {
        // SAFETY: reads one counter.
        unsafe { ffi::lua_totalbytes(self.main, c_int::from(category)) }
    }

    /// Coroutines that the scripts of a VM have made, garbage included.
    pub(crate) fn coroutines(&mut self, vm: VmIndex) -> u32 {
        self.context().coroutines.get(vm.at()).copied().unwrap_or_default()
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

impl Drop for LuauState {
    fn drop(&mut self) {
        // SAFETY: nothing uses it afterwards. The state is closed by dropping `memory`: it
        // holds nothing but its blocks.
        drop(unsafe { Box::from_raw(self.shared) });
    }
}

/// What Luau calls a script. `=` tells it to show the name as it is.
fn chunk_name(script: &str) -> Vec<u8> {
    [b"=", script.as_bytes()].concat().into_iter().filter(|&byte| byte != 0).collect()
}
