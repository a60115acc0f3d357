//! What a process gets from the isolate beyond its slices, and gives it: arguments, replies, results.

use std::sync::Arc;

use super::modules::LoadedProgram;
use super::replies::Reply;
use super::state::LuauState;
use super::thread::Anchored;
use super::threads::{MAIN, ProcessThread, TaskId};
use super::{slice, transfer};
use crate::console::ConsoleBuffer;
use crate::types::{ProcessIndex, ScriptError};
use crate::value::Value;

impl LuauState {
    /// Whether a task waits.
    pub(crate) fn is_waiting(&self, thread: ProcessIndex, task: TaskId) -> bool {
        let tasks = self.threads.get(thread.at()).and_then(ProcessThread::tasks);
        tasks.map_or(task == MAIN, |tasks| tasks.is_waiting(task))
    }

    /// Gives a process that has just started its name, if it has one of its own, and arguments.
    pub(crate) fn set_arguments(
        &mut self,
        thread: ProcessIndex,
        category: u8,
        name: Option<Arc<str>>,
        arguments: &[Value],
    ) -> Result<(), ScriptError> {
        let table = self.protect_with_root(thread, |stack, root| {
            stack.set_memory_category(category);
            stack.push_table(arguments.len(), 0);
            for (i, value) in (1..).zip(arguments) {
                transfer::push(root, value);
                transfer::push(stack, value);
                stack.raw_set_element(-2, i);
            }
            let table = stack.refer_to(-1);
            stack.pop(1);
            table
        });
        self.main().set_memory_category(0);
        self.threads[thread.at()].set_arguments(name, arguments.len() as i32, table?);
        Ok(())
    }

    /// Has a process that has just started, and has its arguments, run other programs before its own.
    pub(crate) fn set_preludes(
        &mut self,
        thread: ProcessIndex,
        name: Arc<str>,
        preludes: &[LoadedProgram],
    ) -> Result<(), ScriptError> {
        self.protect_with_root(thread, |_, root| {
            for prelude in preludes.iter().rev() {
                root.push_reference(prelude.main.0);
                root.push_clone(-1);
                root.remove(-2);
            }
        })?;
        let process = &mut self.threads[thread.at()];
        process.set_preludes(preludes.len() as i32);
        // It is found in the main chunk otherwise.
        if process.name().is_none() {
            process.set_name(Some(name));
        }
        Ok(())
    }

    /// The results of a process whose last slice ended as [`SliceEnd::Returned`](super::SliceEnd::Returned).
    pub(crate) fn results(&mut self, thread: ProcessIndex) -> Vec<Value> {
        if let Some(results) = self.threads[thread.at()].take_results() {
            return results;
        }
        if self.root(thread).get().stack().top() == 0 {
            return Vec::new();
        }
        let results = self.protect_with_root(thread, |_, root| transfer::values(root).values);
        results.unwrap_or_default()
    }

    /// The thread of the main chunk of a process.
    ///
    /// # Panics
    ///
    /// If it was never started.
    pub(super) fn root(&self, process: ProcessIndex) -> Anchored {
        let root = self.threads[process.at()].root;
        root.unwrap_or_else(|| panic!("process {process:?} was never started"))
    }

    /// Ends a process that is parked, if it is, where it stopped. What it still does there is forgotten.
    pub(super) fn end_parked(&mut self, index: ProcessIndex) {
        let Some(process) = self.threads.get_mut(index.at()) else { return };
        let Some(parked) = process.take_parked_stack() else { return };
        let process = &raw mut *process;
        self.memory.allow(usize::MAX, 0);
        let context = self.context();
        context.index = index;
        context.console.set_capacity(0);
        let slice = &self.shared().slice;
        // SAFETY: it holds what its last slice left, and nothing else uses it meanwhile.
        unsafe { slice.ready(process, 1) };
        slice::end_parked(slice, parked);
        let context = self.context();
        context.console = ConsoleBuffer::default();
        context.requests.clear();
        context.exit_results.clear();
        context.task_errors.clear();
        context.host_panic = None;
        for failed in std::mem::take(&mut context.failed_tasks) {
            self.main().release(failed.0);
        }
    }

    /// Leaves a process nothing but its root, which is returned.
    pub(super) fn clear_tasks(&mut self, thread: ProcessIndex) -> Option<Anchored> {
        self.end_parked(thread);
        let process = self.threads.get_mut(thread.at())?;
        let (root, references) = (process.root, process.clear());
        for reference in references.into_iter().flatten() {
            self.main().release(reference);
        }
        root
    }

    /// Lets a task that waits go on, with what it has waited for. `false` if the task has ended.
    pub(crate) fn wake(&mut self, process: ProcessIndex, task: TaskId, reply: Option<Reply>) -> bool {
        let is_there = match self.threads[process.at()].tasks_mut() {
            None => task == MAIN,
            Some(tasks) => tasks.wake(task),
        };
        if let Some(reply) = reply.filter(|_| is_there) {
            self.context().replies.insert(process, task, reply);
        }
        is_there
    }
}
