//! The root threads of processes: made when a process starts, and kept for the next when it ends.
//!
//! A thread takes about 1 KB, most of which a process writes to once. Hundreds of thousands of processes that come
//! and go run through the same few threads, which stay in the processor's caches.

use super::anchors::{ANCHORS_PER_TABLE, Root, place_in_table};
use super::context::Caller;
use super::modules::LoadedProgram;
use super::records;
use super::stack::Reference;
use super::state::LuauState;
use super::threads::ProcessThread;
use crate::types::{ProcessIndex, ScriptError};

/// Idle roots that are kept for each memory category.
const MAX_IDLE: usize = 8;

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
        if self.threads[index].root.is_none() {
            let Root { thread, anchor } = self.idle_root(category)?;
            (self.threads[index].root, self.roots.by_thread[index]) = (Some(thread), anchor);
        }
        let metatable = program.environment;
        let old_state = self.handed_over.get(&thread).copied();
        self.has_records |= program.links.is_some() || old_state.is_some();
        let LoadedProgram { main: function, links, .. } = program;
        self.protect_with_root(thread, |_, root| {
            // It is new or reset, so its stack is empty.
            root.push_table(0, 0);
            root.push_reference(metatable);
            root.set_metatable(-2);
            root.set_safe_environment(-1, true);
            if links.is_some() || old_state.is_some() {
                records::add_record(root, links, old_state);
            }
            root.set_globals();
            root.push_reference(function.0);
            root.push_clone(-1);
            root.remove(1);
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
        let thread = self.protect(|stack| {
            stack.set_memory_category(category);
            stack.push_reference(table);
            let thread = stack.push_thread();
            stack.raw_set_element(-2, place_in_table(anchor));
            stack.pop(1);
            // SAFETY: its place in the table keeps it, until `discard`.
            unsafe { thread.anchored() }
        });
        self.main().set_memory_category(0);
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

    /// The table that has an anchor.
    pub(super) fn anchor_table(&mut self, anchor: u32) -> Result<Reference, ScriptError> {
        let table = (anchor / ANCHORS_PER_TABLE) as usize;
        while table >= self.roots.tables.len() {
            let table = self.protect(|stack| {
                stack.push_table(ANCHORS_PER_TABLE as usize, 0);
                let table = stack.refer_to(-1);
                stack.pop(1);
                table
            })?;
            self.roots.tables.push(table);
        }
        Ok(self.roots.tables[table])
    }

    /// Ends whatever runs on `thread`, which the next [`LuauState::start`] of the place will use. `false` if
    /// there is no such thread any more.
    pub(super) fn reset(&mut self, thread: ProcessIndex) -> bool {
        self.forget_state(thread);
        let metatable = self.bases.first_environment();
        if self.clear_tasks(thread).is_none() {
            return false;
        }
        self.forget_record_of(thread);
        let is_reset = self.protect_with_root(thread, |_, root| {
            root.own().notes().clear_marks();
            root.own().reset();
            // The environment goes too, so that it does not outlive its process.
            root.push_reference(metatable);
            root.set_globals();
        });
        if is_reset.is_err() {
            self.discard(thread);
        }
        is_reset.is_ok()
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
            if self.clear_tasks(thread).is_some() {
                self.discard(thread);
            }
        } else if self.reset(thread)
            && let Some(root) = self.threads[thread.at()].root.take()
        {
            let anchor = self.roots.by_thread[thread.at()];
            self.roots.idle[category].push(Root { thread: root, anchor });
        }
    }

    /// Forgets the record of the process that runs on `thread`.
    fn forget_record_of(&mut self, thread: ProcessIndex) {
        if !self.has_records {
            return;
        }
        let (table, place) = self.roots.place(self.roots.by_thread[thread.at()]);
        // What fails for want of memory changes nothing: the entry is there, so nothing is allocated.
        _ = self.protect(|stack| {
            stack.push_reference(table);
            stack.raw_get_element(-1, place);
            stack.push_environment(-1);
            records::forget_record(stack);
        });
    }

    /// Gives the root of `thread` to the garbage collector.
    fn discard(&mut self, thread: ProcessIndex) {
        self.forget_record_of(thread);
        self.threads[thread.at()].root = None;
        let anchor = self.roots.by_thread[thread.at()];
        self.roots.free_anchors.push(anchor);
        let (table, place) = self.roots.place(anchor);
        let mut main = self.main();
        main.push_reference(table);
        main.push_nil();
        main.raw_set_element(-2, place); // there is an entry, so this does not allocate
        main.pop(1);
    }
}
