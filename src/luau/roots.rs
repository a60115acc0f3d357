//! The root threads of processes: made when a process starts, and kept for the next when it ends.
//!
//! A thread takes about 1 KB, most of which a process writes to once. Hundreds of thousands of processes that come
//! and go run through the same few threads, which stay in the processor's caches.

use std::ffi::c_int;
use std::ptr;

use mlua::ffi::{self, lua_State};

use super::{Caller, LoadedProgram, LuauState, ProcessThread, modules};
use crate::types::{ProcessIndex, ScriptError};

/// Threads in one anchor table. The collector marks a table in one indivisible step, so one table
/// with hundreds of thousands of threads would be a pause of milliseconds.
const ANCHORS_PER_TABLE: u32 = 512;

/// Idle roots that are kept for each memory category.
const MAX_IDLE: usize = 8;

/// What anchors roots, and those that have no process.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// Registry references of the tables that anchor roots.
    tables: Vec<c_int>,
    /// Anchors used so far.
    anchors: u32,
    free_anchors: Vec<u32>,
    /// Where the root of each process is anchored.
    pub(super) by_thread: Vec<u32>,
    /// By memory category, to which Luau charges a thread's stack for as long as it lives.
    idle: Vec<Vec<Root>>,
}

/// An anchored thread.
#[derive(Clone, Copy, Debug)]
struct Root {
    thread: *mut lua_State,
    anchor: u32,
}

impl LuauState {
    /// Prepares a process that will run `program` with an environment of its own, charging what it
    /// allocates to memory category `category`. `thread` is a place that was never started, retired, or
    /// restarted.
    pub(crate) fn start(
        &mut self,
        thread: ProcessIndex,
        program: LoadedProgram,
        category: u8,
        caller: Caller,
    ) -> Result<(), ScriptError> {
        let index = thread.at();
        if index >= self.threads.len() {
            self.threads.resize_with(index + 1, ProcessThread::new);
            self.roots.by_thread.resize(index + 1, 0);
            self.context().callers.resize(index + 1, caller);
        }
        if self.threads[index].root.is_null() {
            let Root { thread, anchor } = self.idle_root(category)?;
            (self.threads[index].root, self.roots.by_thread[index]) = (thread, anchor);
        }
        let (root, metatable) = (self.threads[index].root, self.environment_metatable);
        let old_state = self.handed_over.get(&thread).copied();
        self.has_records |= program.links.is_some() || old_state.is_some();
        let LoadedProgram { main: function, links, .. } = program;
        self.protect(|_| {
            // SAFETY: the root is live, not running and new or reset, so its stack is empty and has room for
            // 20 values. The references are live and hold what the names say, hence `lua_clonefunction` gets
            // a Luau function.
            unsafe {
                ffi::lua_createtable(root, 0, 0);
                ffi::lua_rawgeti_(root, ffi::LUA_REGISTRYINDEX, metatable);
                ffi::lua_setmetatable(root, -2);
                ffi::lua_setsafeenv(root, -1, 1);
                if links.is_some() || old_state.is_some() {
                    modules::add_record(root, links, old_state);
                }
                ffi::lua_replace(root, ffi::LUA_GLOBALSINDEX);
                ffi::lua_rawgeti_(root, ffi::LUA_REGISTRYINDEX, function.0);
                ffi::lua_clonefunction(root, -1);
                ffi::lua_remove(root, 1);
            }
        })?;
        self.context().callers[index] = caller;
        self.forget_state(thread);
        Ok(())
    }

    /// A root that has no process, of a memory category.
    fn idle_root(&mut self, category: u8) -> Result<Root, ScriptError> {
        if let Some(root) = self.roots.idle.get_mut(usize::from(category)).and_then(Vec::pop) {
            return Ok(root);
        }
        let anchor = self.roots.free_anchors.pop().unwrap_or(self.roots.anchors);
        let table = self.anchor_table(anchor)?;
        let thread = self.protect(|state| {
            // SAFETY: stack slots are pushed and popped in balance; `table` is the reference of a table.
            unsafe {
                ffi::lua_setmemcat(state, c_int::from(category));
                ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, table);
                let thread = ffi::lua_newthread(state);
                ffi::lua_rawseti_(state, -2, anchor_index(anchor));
                ffi::lua_pop(state, 1);
                thread
            }
        });
        // SAFETY: only sets a number.
        unsafe { ffi::lua_setmemcat(self.main, 0) };
        match thread {
            Ok(thread) => {
                self.roots.anchors = self.roots.anchors.max(anchor + 1);
                Ok(Root { thread, anchor })
            }
            Err(error) => {
                if anchor < self.roots.anchors {
                    self.roots.free_anchors.push(anchor);
                }
                Err(error)
            }
        }
    }

    /// The registry reference of the table that has an anchor.
    fn anchor_table(&mut self, anchor: u32) -> Result<c_int, ScriptError> {
        let table = (anchor / ANCHORS_PER_TABLE) as usize;
        while table >= self.roots.tables.len() {
            let table = self.protect(|state| {
                // SAFETY: pushes a table and takes it off again as a reference.
                unsafe {
                    ffi::lua_createtable(state, ANCHORS_PER_TABLE.cast_signed(), 0);
                    let table = ffi::lua_ref(state, -1);
                    ffi::lua_pop(state, 1);
                    table
                }
            })?;
            self.roots.tables.push(table);
        }
        Ok(self.roots.tables[table])
    }

    /// Ends whatever runs on `thread`, which the next [`LuauState::start`] of the place will use. `false` if
    /// there is no such thread any more.
    pub(super) fn reset(&mut self, thread: ProcessIndex) -> bool {
        self.forget_state(thread);
        let metatable = self.environment_metatable;
        let root = self.clear_tasks(thread);
        if root.is_null() {
            return false;
        }
        self.forget_record_of(thread);
        let vms_without_processes = self.protect(|_| {
            // SAFETY: `root` is live and not running. Resetting may reallocate its stack. The
            // environment goes too, so that it does not outlive its process.
            unsafe {
                ffi::lua_resetthread(root);
                ffi::lua_rawgeti_(root, ffi::LUA_REGISTRYINDEX, metatable);
                ffi::lua_replace(root, ffi::LUA_GLOBALSINDEX);
            }
        });
        if vms_without_processes.is_err() {
            self.discard(thread);
        }
        vms_without_processes.is_ok()
    }

    /// Ends whatever runs on `thread`, of a memory category. Another process of that category may get its
    /// root.
    pub(crate) fn retire(&mut self, thread: ProcessIndex, category: u8) {
        let category = usize::from(category);
        if category >= self.roots.idle.len() {
            self.roots.idle.resize_with(category + 1, Vec::new);
        }
        if self.roots.idle[category].len() == MAX_IDLE {
            self.forget_state(thread);
            if !self.clear_tasks(thread).is_null() {
                self.discard(thread);
            }
        } else if self.reset(thread) {
            let root = std::mem::replace(&mut self.threads[thread.at()].root, ptr::null_mut());
            let anchor = self.roots.by_thread[thread.at()];
            self.roots.idle[category].push(Root { thread: root, anchor });
        }
    }

    fn forget_record_of(&mut self, thread: ProcessIndex) {
        let anchor = self.roots.by_thread[thread.at()];
        self.forget_record(self.roots.tables[(anchor / ANCHORS_PER_TABLE) as usize], anchor_index(anchor));
    }

    /// Gives the root of `thread` to the garbage collector.
    fn discard(&mut self, thread: ProcessIndex) {
        self.forget_record_of(thread);
        self.threads[thread.at()].root = ptr::null_mut();
        let anchor = self.roots.by_thread[thread.at()];
        self.roots.free_anchors.push(anchor);
        let table = self.roots.tables[(anchor / ANCHORS_PER_TABLE) as usize];
        // SAFETY: overwrites an existing entry of the anchor table, which does not allocate.
        unsafe {
            ffi::lua_rawgeti_(self.main, ffi::LUA_REGISTRYINDEX, table);
            ffi::lua_pushnil(self.main);
            ffi::lua_rawseti_(self.main, -2, anchor_index(anchor));
            ffi::lua_pop(self.main, 1);
        }
    }
}

/// The place of an anchor in its table.
fn anchor_index(anchor: u32) -> c_int {
    (anchor % ANCHORS_PER_TABLE).cast_signed() + 1
}
