//! What the scheduler has of a process that has, or had, more than its main chunk.

#[cfg(feature = "save")]
pub(in crate::luau) mod saved;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::c_int;

use bevy::platform::collections::HashMap;
use mlua::ffi::{self, lua_State};

use super::handlers::{Handlers, Purpose};
use super::task_id::{MAIN, TaskId};
use super::turns::{Broken, Turn, Turns};
use crate::luau::notes::Mark;
use crate::luau::stack::{Coroutine, Kind, Reference, Stack, Tag};
use crate::luau::thread::Anchored;
use crate::luau::transfer;
use crate::value::Value;

/// What a thread is in the scheduler for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::luau) enum Plan {
    /// It has its turn after those that are ready before it.
    Ready,
    /// The same, when nobody else is ready any more, in another slice.
    NextSlice,
    /// It is woken from outside.
    Wait,
    /// The same, by a message, unless it is over before.
    Message,
    /// It is woken by the end of another thread.
    Join { of: Anchored, has_timeout: bool },
}

impl Plan {
    /// Whether something outside the process can wake it.
    fn is_woken_from_outside(self) -> bool {
        !matches!(self, Self::Join { has_timeout: false, .. })
    }
}

/// A thread that belongs to the scheduler, and does not run.
#[derive(Clone, Copy, Debug)]
pub(in crate::luau) struct Task {
    pub(in crate::luau) thread: Anchored,
    /// Values that the scheduler has put on its stack, with which it is resumed. They are all that is there, above the
    /// function if it has not begun.
    pub(in crate::luau) values: c_int,
    /// Whether it is to be resumed as by a script: what it waited for is void.
    pub(in crate::luau) by_script: bool,
    plan: Plan,
    is_ready: bool,
}

impl Task {
    /// Takes its values off its stack, on which others may be above them.
    pub(in crate::luau) fn take_values_off(&self, stack: &mut Stack<'_>) {
        let first = 1 + c_int::from(stack.has_not_run()); // above its function
        (0..self.values).for_each(|_| stack.remove(first));
    }

    /// Whether it waited for a message.
    pub(in crate::luau) fn is_receiver(&self) -> bool {
        self.plan == Plan::Message
    }
}

/// See the [module](self).
pub(in crate::luau) struct Tasks {
    /// The task whose turn it is.
    pub(super) current: Option<(TaskId, Anchored)>,
    /// Threads that belong to the scheduler. All of them carry [`Mark::Scheduled`], and no others.
    scheduled: BTreeMap<TaskId, Task>,
    by_thread: HashMap<*mut lua_State, TaskId>,
    /// Those that are ready, or broken.
    turns: Turns,
    next_slice: VecDeque<TaskId>,
    /// Those who wait for the end of a thread, which carries [`Mark::Joined`].
    joiners: HashMap<*mut lua_State, Vec<TaskId>>,
    /// Registry reference of the table that anchors threads, by their addresses, and the functions of connections.
    pub(in crate::luau) anchors: Reference,
    last_id: TaskId,
    /// The thread of the main chunk, which is anchored elsewhere.
    root: Anchored,
    /// What the main chunk has returned.
    pub(super) results: Vec<Value>,
    /// The thread of the task whose error ended the process.
    pub(in crate::luau) failed: Option<Reference>,
    /// Connections to signals, and exports: functions that will be tasks.
    pub(in crate::luau) connections: BTreeSet<TaskId>,
    handlers: Handlers,
}

/// Whether a thread does not wait for tasks that are broken.
fn is_handler(thread: Anchored) -> bool {
    thread.get().notes().has(Mark::Handler)
}

/// What comes next when a thread has stopped.
pub(in crate::luau) enum Next {
    /// The next thread of the process.
    Continue,
    /// A task has failed. It is to be reported, unless the process fails for it.
    TaskFailed,
    /// The main chunk yielded, and nothing else is ready.
    Yielded,
    /// Everything waits.
    Wait,
    /// Everything has ended.
    Returned,
    Failed,
}

impl Tasks {
    /// Of a process that runs its main chunk, anchored in the table with the registry reference `anchors`.
    pub(super) fn new(root: Anchored, anchors: Reference) -> Self {
        Self {
            current: Some((MAIN, root)),
            scheduled: BTreeMap::new(),
            by_thread: HashMap::default(),
            turns: Turns::default(),
            next_slice: VecDeque::new(),
            joiners: HashMap::default(),
            anchors,
            last_id: MAIN,
            root,
            results: Vec::new(),
            failed: None,
            connections: BTreeSet::new(),
            handlers: Handlers::default(),
        }
    }

    /// A number for a task or a connection.
    pub(in crate::luau) fn next_id(&mut self) -> TaskId {
        loop {
            // A process may have billions of waits. A number is used again when all others were.
            self.last_id = self.last_id.checked_add(1).unwrap_or(MAIN + 1);
            if !self.scheduled.contains_key(&self.last_id) && !self.connections.contains(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Threads that belong to the scheduler, those that are broken, and the one whose turn it is.
    pub(in crate::luau) fn len(&self) -> usize {
        self.scheduled.len() + self.turns.broken() + usize::from(self.current.is_some())
    }

    /// Gives a thread to the scheduler, which resumes it with so many values that are on its stack. With `by_script`,
    /// if it waits for something, then as a script would that wakes it.
    ///
    /// # Safety
    ///
    /// It must be suspended, or about to yield, not scheduled, and anchored; the values must be all that its stack has,
    /// above its function if it has not begun.
    pub(in crate::luau) unsafe fn schedule(
        &mut self,
        thread: Anchored,
        plan: Plan,
        values: c_int,
        by_script: bool,
    ) -> TaskId {
        let id = self.next_id();
        let is_ready = matches!(plan, Plan::Ready | Plan::NextSlice);
        match plan {
            Plan::Ready => self.turns.ready.push(id, is_handler(thread)),
            Plan::NextSlice => self.next_slice.push_back(id),
            Plan::Join { of, .. } => {
                self.joiners.entry(of.address()).or_default().push(id);
                of.get().notes().mark(Mark::Joined);
            }
            Plan::Wait | Plan::Message => {}
        }
        self.scheduled.insert(id, Task { thread, values, by_script, plan, is_ready });
        self.by_thread.insert(thread.address(), id);
        thread.get().notes().mark(Mark::Scheduled);
        id
    }

    /// Takes a thread from the scheduler. Its anchor and its values stay.
    pub(in crate::luau) fn unschedule(&mut self, thread: *mut lua_State) -> Option<(TaskId, Task)> {
        let id = self.by_thread.remove(&thread)?;
        let task = self.scheduled.remove(&id)?;
        if task.is_ready {
            self.turns.ready.remove(id);
            self.next_slice.retain(|&other| other != id);
        } else if let Plan::Join { of, .. } = task.plan {
            self.forget_joiner(of, id);
        }
        task.thread.get().notes().unmark(Mark::Scheduled);
        Some((id, task))
    }

    fn forget_joiner(&mut self, of: Anchored, id: TaskId) {
        let Some(joiners) = self.joiners.get_mut(&of.address()) else { return };
        joiners.retain(|&other| other != id);
        if joiners.is_empty() {
            self.joiners.remove(&of.address());
            of.get().notes().unmark(Mark::Joined);
        }
    }

    /// A slice begins. If the task that was broken when the last one ended is not to go on yet, it is put aside with its
    /// break chain.
    pub(super) fn begin_slice(&mut self, chain: &mut Vec<Anchored>) {
        let Some((task, thread)) = self.current else { return };
        let is_handler = is_handler(thread);
        if self.turns.has_others(is_handler) {
            self.current = None;
            self.turns.begin_slice(Broken { task, thread, chain: std::mem::take(chain), is_handler });
        }
    }

    /// Chooses the task whose turn it is. Returns how many values it is resumed with, and whether as by a script.
    pub(super) fn begin_turn(&mut self, chain: &mut Vec<Anchored>) -> Option<(c_int, bool)> {
        match self.turns.next()? {
            Turn::Broken(broken) => {
                *chain = broken.chain;
                self.current = Some((broken.task, broken.thread));
                Some((0, false))
            }
            Turn::Ready(id) => {
                let task = self.scheduled.remove(&id)?;
                self.by_thread.remove(&task.thread.address());
                task.thread.get().notes().unmark(Mark::Scheduled);
                self.current = Some((id, task.thread));
                Some((task.values, task.by_script))
            }
        }
    }

    /// Whether all threads that belong to the scheduler can be resumed, and all queues are right.
    fn is_consistent(&self) -> bool {
        let queued = self.turns.ready.len() + self.next_slice.len();
        let ready = self.scheduled.values().filter(|task| task.is_ready).count();
        let are_scheduled = self.scheduled.iter().all(|(id, task)| {
            let thread = task.thread.get();
            let is_suspended = thread.stack().coroutine() == Coroutine::Suspended;
            let is_marked = thread.notes().has(Mark::Scheduled);
            is_suspended && is_marked && self.by_thread.get(&thread.address()) == Some(id)
        });
        are_scheduled && queued == ready && self.by_thread.len() == self.scheduled.len()
    }

    /// What to do when no task is ready.
    pub(super) fn idle(&mut self) -> Next {
        debug_assert!(self.is_consistent(), "a thread has two owners, or none");
        if !self.next_slice.is_empty() {
            self.next_slice.drain(..).for_each(|id| self.turns.ready.push(id, false));
            Next::Yielded
        } else if self.connections.is_empty()
            && !self.scheduled.values().any(|task| task.plan.is_woken_from_outside())
        {
            Next::Returned // whoever is left, nobody can resume
        } else {
            Next::Wait
        }
    }

    /// Makes a task that waits ready. `false` if there is none with this number.
    pub(in crate::luau) fn wake(&mut self, id: TaskId) -> bool {
        let Some(task) = self.scheduled.get_mut(&id).filter(|task| !task.is_ready) else { return false };
        task.is_ready = true;
        let (plan, thread) = (task.plan, task.thread);
        if let Plan::Join { of, .. } = plan {
            self.forget_joiner(of, id);
        }
        self.turns.ready.push(id, is_handler(thread));
        true
    }

    pub(in crate::luau) fn is_waiting(&self, id: TaskId) -> bool {
        self.scheduled.get(&id).is_some_and(|task| !task.is_ready)
    }

    /// Takes those who wait for the end of a thread.
    pub(in crate::luau) fn take_joiners(&mut self, of: *mut lua_State) -> Vec<TaskId> {
        self.joiners.remove(&of).unwrap_or_default()
    }

    /// Makes one of them ready, with values that `put` puts on its stack and counts.
    pub(in crate::luau) fn wake_joiner(&mut self, id: TaskId, put: impl FnOnce(&mut Stack<'_>) -> c_int) {
        if let Some(task) = self.scheduled.get_mut(&id) {
            task.values = put(&mut task.thread.get().stack());
            task.is_ready = true;
            self.turns.ready.push(id, is_handler(task.thread));
        }
    }

    /// The task whose turn it was has ended with `status`, or yielded. Its stack is `stack`.
    pub(super) fn stopped(&mut self, stack: &mut Stack<'_>, status: c_int) -> Next {
        let Some((_, thread)) = self.current.take() else { return Next::Continue };
        let notes = thread.get().notes();
        if status == ffi::LUA_YIELD && notes.has(Mark::Scheduled) {
            return Next::Continue; // it waits
        }
        if status == ffi::LUA_YIELD && thread == self.root && !notes.has(Mark::Known) {
            stack.resize(0);
            // SAFETY: it has yielded, with nothing on its stack now. Roots are anchored.
            unsafe { self.schedule(thread, Plan::NextSlice, 0, false) };
            return Next::Continue;
        }
        let next = self.ended(stack, status);
        let is_handlers_own = status == ffi::LUA_OK && notes.has(Mark::Handler) && !notes.has(Mark::Known);
        if !(is_handlers_own && self.handlers.keep_idle(thread)) {
            self.release(stack);
        }
        next
    }

    /// A handler is a call, of which somebody is told how it ends.
    pub(in crate::luau) fn begin_call(&mut self, thread: *mut lua_State, purpose: Purpose) {
        self.handlers.begin_call(thread, purpose);
    }

    /// It has ended.
    pub(in crate::luau) fn take_call(&mut self, thread: *mut lua_State) -> Option<Purpose> {
        self.handlers.take_call(thread)
    }

    /// How many calls have not ended.
    pub(in crate::luau) fn calls(&self) -> usize {
        self.handlers.calls()
    }

    pub(in crate::luau) fn take_calls(&mut self) -> Vec<Purpose> {
        self.handlers.take_calls()
    }

    /// The thread of a handler that has returned, for another. It is anchored, and has the globals of the process.
    pub(in crate::luau) fn take_idle_handler(&mut self) -> Option<Anchored> {
        self.handlers.take_idle()
    }

    /// It was not used.
    pub(in crate::luau) fn keep_idle_handler(&mut self, thread: Anchored) {
        thread.get().stack().resize(0);
        self.handlers.keep_idle(thread);
    }

    /// A thread has ended with `status`, or has yielded to nobody: then it is suspended until somebody resumes it who
    /// has it.
    pub(in crate::luau) fn ended(&mut self, stack: &mut Stack<'_>, status: c_int) -> Next {
        let is_main = stack.thread() == self.root.address();
        match status {
            ffi::LUA_OK => {
                if is_main && stack.has_room(transfer::RESULT_SLOTS) {
                    self.results = transfer::values(stack).values;
                }
                // Values that are left on the stack of a thread that has ended could be resumed.
                stack.resize(0);
                Next::Continue
            }
            ffi::LUA_YIELD => {
                stack.resize(0); // nobody asks for them
                Next::Continue
            }
            _ if is_main => Next::Failed,
            _ if stack.own().notes().has(Mark::Reported) => Next::Continue,
            _ => Next::TaskFailed,
        }
    }

    /// The process ends, or starts again: nothing belongs to the scheduler any more.
    pub(super) fn disband(&mut self) {
        for task in std::mem::take(&mut self.scheduled).into_values() {
            task.take_values_off(&mut task.thread.get().stack());
            task.thread.get().notes().unmark(Mark::Scheduled);
        }
    }

    /// Lets go of a thread, unless somebody is told how it ends. The stack is its own, or another's of the same state.
    pub(in crate::luau) fn release(&self, task: &Stack<'_>) {
        if task.thread() == self.root.address() || self.handlers.is_call(task.thread()) {
            return;
        }
        let mut main = task.main_thread().stack();
        main.push_reference(self.anchors);
        main.push_address(task.thread(), Tag::Thread);
        if main.raw_get(-2) != Kind::NIL {
            main.push_address(task.thread(), Tag::Thread);
            main.push_nil();
            main.raw_set(-4); // there is an entry, so this takes no memory
        }
        main.pop(2);
    }
}
