//! The tasks of the process for which a function is called: threads that it makes, resumes and resets.

use mlua::ffi::{self, lua_State};

use super::{Call, Failure};
use crate::luau::replies::Reply;
use crate::luau::request::Request;
use crate::luau::slice::SliceEnd;
use crate::luau::stack::{Coroutine, Kind, Stack};
use crate::luau::threads::{MAIN, Next, Task, TaskId, Tasks};
use crate::value::Value;

/// What a task did that was started.
pub(in crate::luau) enum Spawned {
    /// Its slice is over: so is that of the one that started it.
    Preempted,
    /// It waits, has yielded or has ended.
    Stopped,
}

impl Call<'_> {
    /// A task asks for something. The slice has that as an outcome.
    pub(in crate::luau) fn request(&mut self, task: TaskId, request: Request) {
        self.slice().flag_outcome();
        if let Some(context) = self.context() {
            context.requests.push((task, request));
        }
    }

    /// The task that runs asks for something.
    pub(super) fn ask(&mut self, request: Request) {
        let task = self.process().map_or(MAIN, |process| process.running_task());
        self.request(task, request);
    }

    /// The process ends, with results.
    pub(super) fn exit(&mut self, results: Vec<Value>) {
        if let Some(context) = self.context() {
            context.exit_results = results;
        }
        self.mark_for_kill(SliceEnd::Exited);
    }

    /// What the task that goes on has waited for.
    pub(in crate::luau) fn take_reply(&mut self) -> Option<Reply> {
        let task = self.process()?.running_task();
        self.context()?.take_reply(task)
    }

    /// Fails where the task that runs cannot be suspended.
    pub(in crate::luau) fn check_can_wait(&self) -> Result<(), Failure> {
        if self.running().can_suspend() { Ok(()) } else { Err(Failure::cannot_wait()) }
    }

    /// Makes sure that the process can have tasks.
    pub(in crate::luau) fn make_tasks(&mut self) {
        let Some(process) = self.process() else { return };
        if process.tasks().is_some() {
            return;
        }
        // The main chunk may end before its tasks do.
        let name = self.process_name();
        self.push_table(0, 0);
        let anchors = self.refer_to(-1);
        self.pop(1);
        if let Some(process) = self.process() {
            process.set_name(name);
            process.add_tasks(anchors);
        }
    }

    /// The number of a new task or connection, by which the process anchors the value at an index.
    pub(in crate::luau) fn new_id(&mut self, index: i32) -> Result<TaskId, Failure> {
        let next = self.tasks().and_then(Tasks::next_id);
        let id = next.ok_or_else(|| Failure::new(format!("this process has had {} tasks", TaskId::MAX)))?;
        if let Some(anchors) = self.tasks().map(|tasks| tasks.anchors) {
            self.push_reference(anchors);
            self.push_value(index);
            self.raw_set_element(-2, id.cast_signed());
            self.pop(1);
        }
        Ok(id)
    }

    /// Lets go of what is anchored by a number.
    pub(in crate::luau) fn release_anchor(&mut self, id: TaskId) {
        if let Some(anchors) = self.tasks().map(|tasks| tasks.anchors) {
            self.push_reference(anchors);
            self.push_nil();
            self.raw_set_element(-2, id.cast_signed());
            self.pop(1);
        }
    }

    /// Makes a task of the function or the suspended thread at stack index 1 and the arguments after it, and
    /// leaves its thread there and nothing else. For its caller that is the argument at `position`.
    pub(in crate::luau) fn new_task(&mut self, position: i32) -> Result<Task, Failure> {
        let kind = self.kind(1);
        if kind != Kind::FUNCTION && kind != Kind::THREAD {
            return Err(self.wrong(1, position, "function or thread"));
        }
        self.make_tasks();
        let count = self.tasks().map_or(0, |tasks| tasks.len());
        let limit = self.context().map_or(0, |context| context.task_limit);
        if count >= limit {
            return Err(Failure::new(format!("this process has {count} tasks, of {limit}")));
        }
        let arguments = self.top() - 1;
        let (root, moved) = if kind == Kind::FUNCTION {
            let thread = self.push_thread();
            self.insert(1); // thread, function, arguments
            (thread, arguments + 1)
        } else {
            (self.suspended_thread(1)?, arguments)
        };
        // SAFETY: the thread is on the stack. It is new or suspended, so nobody uses its stack while this lives, and if
        // somebody resumes it before the task begins, the task finds that out.
        let mut stack = unsafe { Stack::new(root) };
        if !u16::try_from(moved).is_ok_and(|moved| stack.has_room(moved)) {
            return Err(Failure::new("too many arguments"));
        }
        let id = self.new_id(1)?;
        self.move_to(&mut stack, moved.unsigned_abs());
        // SAFETY: `new_id` has anchored it.
        Ok(unsafe { Task::new(id, root, arguments) })
    }

    /// The thread at an index, if a task may be made of it.
    fn suspended_thread(&mut self, index: i32) -> Result<*mut lua_State, Failure> {
        let is_suspended = self.coroutine_at(index) == Some(Coroutine::Suspended);
        let thread = self.thread_at(index).filter(|_| is_suspended);
        thread.filter(|&thread| self.tasks().is_none_or(|tasks| !tasks.contains(thread))).ok_or_else(|| {
            Failure::new("the thread is not suspended: it runs, waits, has ended or is a task")
        })
    }

    /// Runs a new task until it waits, ends or is preempted.
    pub(in crate::luau) fn run_task(&mut self, task: &Task) -> Spawned {
        let Some((thread, arguments)) = self.tasks().map(|tasks| tasks.begin(task)) else {
            return Spawned::Stopped;
        };
        // SAFETY: the thread is anchored, new or suspended, and has so many arguments. Luau catches all errors.
        let status = unsafe { ffi::lua_resume_(thread, self.thread(), arguments) };
        if status == ffi::LUA_BREAK {
            let Some(broken) = self.slice().take_wait() else { return Spawned::Preempted };
            if let Some(tasks) = self.tasks() {
                tasks.started_waits(broken);
            }
            return Spawned::Stopped;
        }
        let next = self.tasks().and_then(|tasks| tasks.started_stopped(status));
        if matches!(next, Some(Next::Failed)) && !self.slice().is_marked_for_kill() {
            self.mark_for_kill(SliceEnd::Failed);
        }
        Spawned::Stopped
    }

    /// Ends the task or the coroutine at an index. `false` if it runs or is the main chunk.
    pub(in crate::luau) fn cancel_thread(&mut self, index: i32) -> bool {
        let Some(thread) = self.thread_at(index) else { return false };
        let is_root = self.process().is_none_or(|process| process.root == thread);
        let mut chain = Vec::new();
        let mut runs = self.coroutine_at(index) == Some(Coroutine::Running);
        if let Some(task) = self.tasks().and_then(|tasks| tasks.remove(thread)) {
            self.request(task.id(), Request::Cancel);
            self.release_anchor(task.id());
            // A task that waits does so in a break, which looks as if it ran. One that has not begun may: its
            // script has resumed its thread itself.
            if let Some(threads) = task.into_chain() {
                (chain, runs) = (threads, false);
            }
        }
        if is_root || runs {
            return false;
        }
        for nested in chain.into_iter().rev().chain([thread]) {
            // SAFETY: the thread is on the stack, and keeps those of its chain alive. It does not run: it is suspended,
            // has ended, or waits with its chain.
            unsafe { ffi::lua_resetthread(nested) }
        }
        true
    }
}
