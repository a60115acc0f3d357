//! Handlers: tasks that the game starts, with a function that the process has connected to a signal or exported.

use super::notes::Mark;
use super::stack::{Kind, Tag};
use super::state::LuauState;
use super::thread::Anchored;
use super::threads::{Plan, ProcessThread, Purpose, TaskId};
use super::transfer;
use crate::types::ProcessIndex;
use crate::value::Value;

/// A function of a process that is to be called.
pub(crate) struct Handler<'a> {
    /// Where the process anchors it.
    pub(crate) anchor: TaskId,
    pub(crate) arguments: &'a [Value],
    /// Who wants to know how it ends, if it is not a signal's.
    pub(crate) purpose: Option<Purpose>,
}

impl LuauState {
    /// Whether the threads of a process have room for a handler.
    pub(crate) fn has_room_for_handler(&self, process: ProcessIndex, task_limit: usize) -> bool {
        let tasks = self.threads.get(process.at()).and_then(ProcessThread::tasks);
        tasks.is_some_and(|tasks| tasks.len().max(tasks.calls()) < task_limit)
    }

    /// Starts a handler, which is charged to a memory category. `false` if the process, which has
    /// [room](Self::has_room_for_handler), has no such function any more, or the state has no memory.
    pub(crate) fn start_handler(
        &mut self,
        process: ProcessIndex,
        category: u8,
        handler: Handler<'_>,
    ) -> bool {
        let Handler { anchor, arguments, purpose } = handler;
        let Some(tasks) = self.threads[process.at()].tasks_mut() else { return false };
        if !tasks.connections.contains(&anchor) {
            return false;
        }
        let (anchors, idle) = (tasks.anchors, tasks.take_idle_handler());
        let started = self.protect(|stack| {
            stack.set_memory_category(category);
            stack.push_reference(anchors);
            let anchors = stack.top();
            let thread = idle.as_ref().map_or_else(|| stack.push_thread(), Anchored::get);
            if stack.raw_get_element(anchors, anchor.cast_signed()) != Kind::FUNCTION {
                return None;
            }
            let mut handler = thread.stack();
            if idle.is_none() {
                stack.push_environment(-1);
                stack.move_to(&mut handler, 1);
                handler.set_globals();
            }
            stack.move_to(&mut handler, 1);
            arguments.iter().for_each(|argument| transfer::push(&mut handler, argument));
            if idle.is_none() {
                stack.push_address(thread.address(), Tag::Thread);
                stack.insert(-2);
                stack.raw_set(anchors);
            }
            // SAFETY: its entry in that table keeps it.
            Some(unsafe { thread.anchored() })
        });
        self.main().set_memory_category(0);
        let Some(tasks) = self.threads[process.at()].tasks_mut() else { return false };
        let Ok(Some(thread)) = started else {
            if let Some(thread) = idle {
                tasks.keep_idle_handler(thread);
            }
            return false;
        };
        thread.get().notes().mark(Mark::Handler);
        if let Some(purpose) = purpose {
            tasks.begin_call(thread.address(), purpose);
        }
        // SAFETY: it does not run, and is anchored. The arguments are above its function.
        unsafe { tasks.schedule(thread, Plan::Ready, arguments.len() as i32, true) };
        true
    }

    /// Takes the calls of a process that have not ended.
    pub(crate) fn take_calls(&mut self, process: ProcessIndex) -> Vec<Purpose> {
        let tasks = self.threads.get_mut(process.at()).and_then(ProcessThread::tasks_mut);
        tasks.map(|tasks| tasks.take_calls()).unwrap_or_default()
    }
}
