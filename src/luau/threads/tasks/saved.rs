//! The tasks of a process as they are saved, and back.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;

use mlua::ffi::lua_State;

use super::{Plan, Task, TaskId, Tasks};
use crate::luau::notes::{Mark, Notes};
use crate::luau::stack::Reference;
use crate::value::Value;

/// A thread that belongs to the scheduler.
#[derive(Clone, Copy, Debug)]
pub(in crate::luau) struct SavedTask<T> {
    pub(in crate::luau) id: TaskId,
    pub(in crate::luau) thread: T,
    pub(in crate::luau) values: c_int,
    pub(in crate::luau) by_script: bool,
    pub(in crate::luau) is_ready: bool,
    pub(in crate::luau) plan: SavedPlan<T>,
}

/// What it is there for.
#[derive(Clone, Copy, Debug)]
pub(in crate::luau) enum SavedPlan<T> {
    Ready,
    NextSlice,
    Wait,
    Message,
    Join { of: T, has_timeout: bool },
}

/// All of it. `T` names a thread.
#[derive(Clone, Debug)]
pub(in crate::luau) struct SavedTasks<T> {
    pub(in crate::luau) current: Option<(TaskId, T)>,
    pub(in crate::luau) scheduled: Vec<SavedTask<T>>,
    pub(in crate::luau) ready: Vec<TaskId>,
    pub(in crate::luau) next_slice: Vec<TaskId>,
    pub(in crate::luau) last_id: TaskId,
    pub(in crate::luau) connections: Vec<TaskId>,
}

type Thread = *mut lua_State;

impl Tasks {
    pub(in crate::luau) fn save(&self) -> SavedTasks<Thread> {
        let task = |(&id, task): (&TaskId, &Task)| {
            let Task { thread, values, by_script, is_ready, plan } = *task;
            let plan = match plan {
                Plan::Ready => SavedPlan::Ready,
                Plan::NextSlice => SavedPlan::NextSlice,
                Plan::Wait => SavedPlan::Wait,
                Plan::Message => SavedPlan::Message,
                Plan::Join { of, has_timeout } => SavedPlan::Join { of, has_timeout },
            };
            SavedTask { id, thread, values, by_script, is_ready, plan }
        };
        SavedTasks {
            current: self.current,
            scheduled: self.scheduled.iter().map(task).collect(),
            ready: self.ready.iter().copied().collect(),
            next_slice: self.next_slice.iter().copied().collect(),
            last_id: self.last_id,
            connections: self.connections.iter().copied().collect(),
        }
    }

    /// What the main chunk has returned.
    pub(in crate::luau) fn results(&self) -> &[Value] {
        &self.results
    }

    /// Of a process that runs `root`, anchored in the table with the registry reference `anchors`, where all threads are.
    ///
    /// # Safety
    ///
    /// As for [`Tasks::schedule`], for each of the threads. Those that are joined must be on the stacks of those who join
    /// them. Each number must be there once, and in the queues be those that are ready.
    pub(in crate::luau) unsafe fn restore(
        saved: SavedTasks<Thread>,
        root: Thread,
        anchors: Reference,
        results: Vec<Value>,
    ) -> Self {
        let mut tasks = Self::new(root, anchors);
        tasks.current = saved.current;
        tasks.last_id = saved.last_id;
        tasks.ready = VecDeque::from(saved.ready);
        tasks.next_slice = VecDeque::from(saved.next_slice);
        tasks.connections = saved.connections.into_iter().collect();
        tasks.results = results;
        let mut scheduled = BTreeMap::new();
        for SavedTask { id, thread, values, by_script, is_ready, plan } in saved.scheduled {
            let plan = match plan {
                SavedPlan::Ready => Plan::Ready,
                SavedPlan::NextSlice => Plan::NextSlice,
                SavedPlan::Wait => Plan::Wait,
                SavedPlan::Message => Plan::Message,
                SavedPlan::Join { of, has_timeout } => {
                    if !is_ready {
                        tasks.joiners.entry(of).or_default().push(id);
                        // SAFETY: by the contract it is live.
                        unsafe { Notes::of(of) }.mark(Mark::Joined);
                    }
                    Plan::Join { of, has_timeout }
                }
            };
            scheduled.insert(id, Task { thread, values, by_script, plan, is_ready });
            tasks.by_thread.insert(thread, id);
            // SAFETY: by the contract it is live.
            unsafe { Notes::of(thread) }.mark(Mark::Scheduled);
        }
        tasks.scheduled = scheduled;
        tasks
    }
}
