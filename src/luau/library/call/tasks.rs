//! The tasks of the process for which a function is called: threads that it makes, resumes and resets.

use std::ffi::c_int;

use mlua::ffi;

use super::{Call, Failure};
use crate::luau::notes::Mark;
use crate::luau::replies::Reply;
use crate::luau::request::Request;
use crate::luau::slice::{SliceEnd, ThreadState, follow_resumes};
use crate::luau::stack::{Kind, Tag};
use crate::luau::thread::{Anchored, OwnThread};
use crate::luau::threads::{MAIN, Next, Plan, TaskId};
use crate::value::Value;

/// What a task did that was started.
pub(in crate::luau) enum Spawned {
    /// Its slice is over: so is that of the one that started it.
    Preempted,
    /// It waits, has yielded or has ended.
    Stopped,
}

impl<'a> Call<'a> {
    /// A task asks for something. The slice has that as an outcome.
    fn request(&mut self, task: TaskId, request: Request) {
        self.slice().flag_outcome();
        if let Some(context) = self.context() {
            context.requests.push((task, request));
        }
    }

    /// The process asks for signals, under the number of a connection.
    pub(in crate::luau) fn connect(&mut self, connection: TaskId, name: &[u8]) {
        if self.context().is_some_and(|context| context.connect(name, connection)) {
            self.request(connection, Request::CatchUp);
        }
    }

    /// The running thread is about to yield and wait for what it asks for. All that it has on its stack from now on is
    /// the first value, or when that began.
    pub(super) fn begin_wait(&mut self, request: Request, keeps_first: bool) -> Result<(), Failure> {
        self.check_can_wait()?;
        let (process, thread) = (
            self.process().map(|process| (process.root.map(Anchored::address), process.tasks().is_none())),
            self.thread(),
        );
        let is_alone = process.is_some_and(|(root, is_alone)| is_alone && root == Some(thread));
        if keeps_first {
            self.resize(1);
        } else {
            let now = self.context().map_or(0.0, |context| context.now());
            self.resize(0);
            self.push_number(now);
        }
        let plan = match &request {
            Request::Join { timeout } => {
                let of = self.thread_at(1).ok_or_else(|| self.wrong(1, 1, "thread"))?;
                // SAFETY: who waits keeps it on its stack.
                let of = unsafe { of.anchored() };
                Plan::Join { of, has_timeout: timeout.is_some() }
            }
            Request::Receive { .. } => Plan::Message,
            _ => Plan::Wait,
        };
        // The main chunk of a process that never had another thread needs no scheduler.
        if is_alone && !matches!(plan, Plan::Join { .. }) {
            self.request(MAIN, request);
            return Ok(());
        }
        self.push_own_thread();
        let task = self.schedule(-1, plan, 0, false);
        self.running().notes().mark(Mark::Waits);
        self.resize(1);
        self.request(task, request);
        Ok(())
    }

    /// Gives the thread at an index to the scheduler, as `Tasks::schedule` takes it.
    fn schedule(&mut self, index: i32, plan: Plan, values: c_int, by_script: bool) -> TaskId {
        self.make_tasks();
        let (Some(thread), Some(anchors)) = (self.thread_at(index), self.tasks().map(|tasks| tasks.anchors))
        else {
            return MAIN;
        };
        self.push_value(index);
        self.push_reference(anchors);
        self.push_address(thread.address(), Tag::Thread);
        self.push_value(-3);
        self.raw_set(-3);
        self.pop(2);
        // SAFETY: it is in that table until it is released.
        let thread = unsafe { thread.anchored() };
        // SAFETY: whoever calls this has taken it from the scheduler, or runs on it and yields next.
        self.tasks().map_or(MAIN, |tasks| unsafe { tasks.schedule(thread, plan, values, by_script) })
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

    /// Fails where the thread that runs cannot wait.
    pub(in crate::luau) fn check_can_wait(&self) -> Result<(), Failure> {
        if self.running().can_wait() { Ok(()) } else { Err(Failure::cannot_wait()) }
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
        // Not only scripts make threads.
        follow_resumes(*self.running());
        if let Some(process) = self.process() {
            process.set_name(name);
            process.add_tasks(anchors);
        }
    }

    /// The number of a new connection, or export, by which the process anchors the function at an index.
    pub(in crate::luau) fn new_connection(&mut self, index: i32) -> Result<TaskId, Failure> {
        self.make_tasks();
        let limit = self.context().map_or(0, |context| context.task_limit);
        let count = self.tasks().map_or(0, |tasks| tasks.connections.len());
        if count >= limit {
            let why = format!("this process has {count} connections and exports, of {limit}");
            return Err(Failure::new(why));
        }
        let Some(tasks) = self.tasks() else { return Ok(MAIN) };
        let (id, anchors) = (tasks.next_id(), tasks.anchors);
        self.push_reference(anchors);
        self.push_value(index);
        self.raw_set_element(-2, id.cast_signed());
        self.pop(1);
        if let Some(tasks) = self.tasks() {
            tasks.connections.insert(id);
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

    /// In which state the thread at an index is.
    pub(in crate::luau) fn thread_state(&self, index: i32) -> Option<ThreadState> {
        self.thread_at(index).map(OwnThread::state)
    }

    /// Makes a thread of the function at stack index 1, or takes the suspended one that is there, puts the arguments
    /// after it on its stack, and leaves it there and nothing else. For its caller that is the argument at `position`.
    /// Returns how many arguments there are.
    fn new_task(&mut self, position: i32) -> Result<c_int, Failure> {
        let kind = self.kind(1);
        if kind != Kind::FUNCTION && kind != Kind::THREAD {
            return Err(self.wrong(1, position, "function or thread"));
        }
        self.make_tasks();
        let state = self.thread_state(1);
        match state {
            Some(ThreadState::Running) => return Err(Failure::new("the thread is not suspended: it runs")),
            Some(ThreadState::Dead) => return Err(Failure::new("the thread is not suspended: it has ended")),
            Some(ThreadState::Suspended) | None => self.check_task_limit()?,
            Some(ThreadState::Scheduled) => {}
        }
        let arguments = self.top() - 1;
        if kind == Kind::FUNCTION {
            let thread = self.push_thread();
            self.insert(1); // thread, function, arguments
            self.push_value(2);
            self.move_to(&mut thread.stack(), 1);
            self.remove(2);
        }
        let thread = self.thread_at(1).ok_or_else(Failure::value)?;
        let mut stack = thread.stack();
        if !u16::try_from(arguments).is_ok_and(|arguments| stack.has_room(arguments)) {
            return Err(Failure::new("too many arguments"));
        }
        if state != Some(ThreadState::Scheduled) {
            // What it has yielded, nobody wants any more.
            stack.resize(c_int::from(stack.has_not_run()));
        }
        self.move_to(&mut stack, arguments.unsigned_abs());
        Ok(arguments)
    }

    fn check_task_limit(&mut self) -> Result<(), Failure> {
        let count = self.tasks().map_or(0, |tasks| tasks.len());
        let limit = self.context().map_or(0, |context| context.task_limit);
        if count < limit {
            Ok(())
        } else {
            Err(Failure::new(format!("this process has {count} tasks, of {limit}")))
        }
    }

    /// Makes a task of the function or the thread at stack index 1 and the arguments after it, to be resumed when it is
    /// ready, or woken. Leaves its thread there and nothing else. For its caller that is the argument at `position`.
    pub(in crate::luau) fn schedule_task(&mut self, position: i32, plan: Plan) -> Result<TaskId, Failure> {
        let arguments = self.new_task(position)?;
        if let Some(thread) = self.thread_at(1) {
            thread.leave_scheduler(); // what is below the arguments goes with that
        }
        Ok(self.schedule(1, plan, arguments, true))
    }

    /// The same, to be woken after a time.
    pub(in crate::luau) fn delay_task(
        &mut self,
        position: i32,
        time: std::time::Duration,
    ) -> Result<(), Failure> {
        let task = self.schedule_task(position, Plan::Wait)?;
        self.request(task, Request::Sleep(time));
        Ok(())
    }

    /// Runs a function or a thread, with arguments, as [`Self::schedule_task`] takes them, until it waits, yields, ends
    /// or is preempted.
    pub(in crate::luau) fn run_task(&mut self) -> Result<Spawned, Failure> {
        let arguments = self.new_task(1)?;
        let thread = self.thread_at(1).ok_or_else(Failure::value)?;
        // It is taken from the scheduler before it runs (`before_resume`).
        let status = thread.resume(Some(self.own()), arguments);
        if status == ffi::LUA_BREAK {
            return Ok(Spawned::Preempted);
        }
        let mut stack = thread.stack();
        if status != stack.status() {
            stack.pop(1); // why it was not resumed at all
            return Err(Failure::new("C stack overflow"));
        }
        self.task_stopped();
        Ok(Spawned::Stopped)
    }

    /// The thread at stack index 1, which runs as a task inside the running function, has stopped.
    pub(in crate::luau) fn task_stopped(&mut self) {
        let Some(own) = self.thread_at(1).filter(|own| !own.notes().has(Mark::Scheduled)) else {
            return; // it waits
        };
        let mut stack = own.stack();
        let status = stack.status();
        match self.tasks().map(|tasks| tasks.ended(&mut stack, status)) {
            Some(Next::TaskFailed) => own.task_failed(),
            // The error is on its stack.
            Some(Next::Failed) => self.mark_for_kill(SliceEnd::Failed),
            _ => {}
        }
    }

    /// Ends the thread at an index, whatever it waits for. `false` if it runs.
    pub(in crate::luau) fn cancel_thread(&mut self, index: i32) -> bool {
        match self.thread_state(index) {
            None | Some(ThreadState::Running) => return false,
            Some(ThreadState::Dead) => return true,
            Some(ThreadState::Scheduled | ThreadState::Suspended) => {}
        }
        self.prepare_close(index);
        if let Some(thread) = self.thread_at(index) {
            thread.reset();
        }
        true
    }

    /// A suspended thread is about to be closed: it is nobody's any more.
    pub(in crate::luau) fn prepare_close(&mut self, index: i32) {
        if let Some(thread) = self.thread_at(index) {
            thread.leave_scheduler();
            thread.notes().unmark(Mark::Waits);
            thread.is_cancelled();
        }
    }

    /// A script asks for the thread that runs.
    pub(in crate::luau) fn note_that_known(&mut self) {
        let (thread, notes) = (self.thread(), self.running().notes());
        if notes.has(Mark::Handler)
            || self.process().is_some_and(|process| process.root.map(Anchored::address) == Some(thread))
        {
            notes.mark(Mark::Known);
        }
    }

    /// The error with which the thread at an index has ended: pushes it, if there is one.
    pub(in crate::luau) fn push_error_of(&mut self, index: i32) -> bool {
        let Some(thread) = self.thread_at(index) else { return false };
        let stack = thread.stack();
        let has_failed =
            !matches!(stack.status(), ffi::LUA_OK | ffi::LUA_YIELD | ffi::LUA_BREAK) && stack.top() > 0;
        if has_failed {
            stack.copy_to(self, stack.top());
        }
        has_failed
    }
}
