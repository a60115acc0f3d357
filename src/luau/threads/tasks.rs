//! What the scheduler has of a process that has, or had, more than its main chunk.

#[cfg(feature = "save")]
pub(in crate::luau) mod saved;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::c_int;

use bevy::platform::collections::HashMap;
use mlua::ffi::{self, lua_State};

use crate::luau::notes::{Mark, Notes};
use crate::luau::stack::{Coroutine, Reference, Stack, Tag};
use crate::luau::transfer;
use crate::value::Value;

/// The number of a task: of one stay of a thread in the scheduler, or of a connection.
pub(crate) type TaskId = u32;

/// The main chunk while it never had company.
pub(crate) const MAIN: TaskId = 0;

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
    Join { of: *mut lua_State, has_timeout: bool },
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
    pub(in crate::luau) thread: *mut lua_State,
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
    pub(super) current: Option<(TaskId, *mut lua_State)>,
    /// Threads that belong to the scheduler. All of them carry [`Mark::Scheduled`], and no others.
    scheduled: BTreeMap<TaskId, Task>,
    by_thread: HashMap<*mut lua_State, TaskId>,
    ready: VecDeque<TaskId>,
    next_slice: VecDeque<TaskId>,
    /// Those who wait for the end of a thread, which carries [`Mark::Joined`].
    joiners: HashMap<*mut lua_State, Vec<TaskId>>,
    /// Registry reference of the table that anchors threads, by their addresses, and the functions of connections.
    pub(in crate::luau) anchors: Reference,
    last_id: TaskId,
    /// The thread of the main chunk, which is anchored elsewhere.
    root: *mut lua_State,
    /// What the main chunk has returned.
    pub(super) results: Vec<Value>,
    /// The thread of the task whose error ended the process.
    pub(in crate::luau) failed: Option<Reference>,
    /// Connections to signals: handlers that will be tasks.
    pub(in crate::luau) connections: BTreeSet<TaskId>,
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
    pub(super) fn new(root: *mut lua_State, anchors: Reference) -> Self {
        Self {
            current: Some((MAIN, root)),
            scheduled: BTreeMap::new(),
            by_thread: HashMap::default(),
            ready: VecDeque::new(),
            next_slice: VecDeque::new(),
            joiners: HashMap::default(),
            anchors,
            last_id: MAIN,
            root,
            results: Vec::new(),
            failed: None,
            connections: BTreeSet::new(),
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

    /// Threads that belong to the scheduler, and the one whose turn it is.
    pub(in crate::luau) fn len(&self) -> usize {
        self.scheduled.len() + usize::from(self.current.is_some())
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
        thread: *mut lua_State,
        plan: Plan,
        values: c_int,
        by_script: bool,
    ) -> TaskId {
        let id = self.next_id();
        let is_ready = matches!(plan, Plan::Ready | Plan::NextSlice);
        match plan {
            Plan::Ready => self.ready.push_back(id),
            Plan::NextSlice => self.next_slice.push_back(id),
            Plan::Join { of, .. } => {
                self.joiners.entry(of).or_default().push(id);
                // SAFETY: who joins a thread has it on its stack.
                unsafe { Notes::of(of) }.mark(Mark::Joined);
            }
            Plan::Wait | Plan::Message => {}
        }
        self.scheduled.insert(id, Task { thread, values, by_script, plan, is_ready });
        self.by_thread.insert(thread, id);
        // SAFETY: by the contract.
        unsafe { Notes::of(thread) }.mark(Mark::Scheduled);
        id
    }

    /// Takes a thread from the scheduler. Its anchor and its values stay.
    pub(in crate::luau) fn unschedule(&mut self, thread: *mut lua_State) -> Option<(TaskId, Task)> {
        let id = self.by_thread.remove(&thread)?;
        let task = self.scheduled.remove(&id)?;
        if task.is_ready {
            for queue in [&mut self.ready, &mut self.next_slice] {
                queue.retain(|&other| other != id);
            }
        } else if let Plan::Join { of, .. } = task.plan {
            self.forget_joiner(of, id);
        }
        // SAFETY: it is anchored.
        unsafe { Notes::of(thread) }.unmark(Mark::Scheduled);
        Some((id, task))
    }

    fn forget_joiner(&mut self, of: *mut lua_State, id: TaskId) {
        let Some(joiners) = self.joiners.get_mut(&of) else { return };
        joiners.retain(|&other| other != id);
        if joiners.is_empty() {
            self.joiners.remove(&of);
            // SAFETY: the one who does not join it any more has it on its stack.
            unsafe { Notes::of(of) }.unmark(Mark::Joined);
        }
    }

    /// The task whose turn it is.
    pub(super) fn next_ready(&mut self) -> Option<(TaskId, Task)> {
        let id = self.ready.pop_front()?;
        let task = self.scheduled.remove(&id)?;
        self.by_thread.remove(&task.thread);
        // SAFETY: it is anchored.
        unsafe { Notes::of(task.thread) }.unmark(Mark::Scheduled);
        Some((id, task))
    }

    /// Whether all threads that belong to the scheduler can be resumed, and all queues are right.
    fn is_consistent(&self) -> bool {
        let queued = self.ready.len() + self.next_slice.len();
        let ready = self.scheduled.values().filter(|task| task.is_ready).count();
        let are_scheduled = self.scheduled.iter().all(|(id, task)| {
            // SAFETY: it is anchored. It is only looked at.
            let is_suspended = unsafe { Stack::new(task.thread) }.coroutine() == Coroutine::Suspended;
            // SAFETY: as above.
            let is_marked = unsafe { Notes::of(task.thread) }.has(Mark::Scheduled);
            is_suspended && is_marked && self.by_thread.get(&task.thread) == Some(id)
        });
        are_scheduled && queued == ready && self.by_thread.len() == self.scheduled.len()
    }

    /// What to do when no task is ready.
    pub(super) fn idle(&mut self) -> Next {
        debug_assert!(self.is_consistent(), "a thread has two owners, or none");
        if !self.next_slice.is_empty() {
            self.ready.append(&mut self.next_slice);
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
        let plan = task.plan;
        if let Plan::Join { of, .. } = plan {
            self.forget_joiner(of, id);
        }
        self.ready.push_back(id);
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
    pub(in crate::luau) fn wake_joiner(&mut self, id: TaskId, put: impl FnOnce(*mut lua_State) -> c_int) {
        if let Some(task) = self.scheduled.get_mut(&id) {
            task.values = put(task.thread);
            task.is_ready = true;
            self.ready.push_back(id);
        }
    }

    /// The task whose turn it was has ended with `status`, or yielded. Its stack is `stack`.
    pub(super) fn stopped(&mut self, stack: &mut Stack<'_>, status: c_int) -> Next {
        let Some((_, thread)) = self.current.take() else { return Next::Continue };
        // SAFETY: it is anchored.
        let notes = unsafe { Notes::of(thread) };
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
        self.release(stack);
        next
    }

    /// A thread has ended with `status`, or has yielded to nobody: then it is suspended until somebody resumes it who
    /// has it.
    pub(in crate::luau) fn ended(&mut self, stack: &mut Stack<'_>, status: c_int) -> Next {
        let is_main = stack.thread() == self.root;
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
            _ => Next::TaskFailed,
        }
    }

    /// The process ends, or starts again: nothing belongs to the scheduler any more.
    pub(super) fn disband(&mut self) {
        for task in std::mem::take(&mut self.scheduled).into_values() {
            // SAFETY: it is anchored, and does not run.
            task.take_values_off(&mut unsafe { Stack::new(task.thread) });
            // SAFETY: as above.
            unsafe { Notes::of(task.thread) }.unmark(Mark::Scheduled);
        }
    }

    /// Lets go of a thread, which is anchored. The stack is its own, or another's of the same state.
    pub(in crate::luau) fn release(&self, task: &Stack<'_>) {
        if task.thread() == self.root {
            return;
        }
        // SAFETY: the main thread lives as long as its state, and does not run while processes do.
        let mut main = unsafe { Stack::new(task.main_thread()) };
        main.push_reference(self.anchors);
        main.push_address(task.thread(), Tag::Thread);
        main.push_nil();
        main.raw_set(-3); // there is an entry, so this takes no memory
        main.pop(1);
    }
}
