//! The tasks of a process as they are saved, and back.

use std::ffi::c_int;

use super::{Broken, Plan, Task, TaskId, Tasks, Turns, is_handler};
use crate::luau::notes::Mark;
use crate::luau::stack::Reference;
use crate::luau::thread::Anchored;
use crate::value::Value;

/// A thread that belongs to the scheduler. `T` names a thread.
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

/// A task that is broken and does not have its turn.
#[derive(Clone, Debug)]
pub(in crate::luau) struct SavedBroken<T> {
    pub(in crate::luau) task: TaskId,
    pub(in crate::luau) thread: T,
    pub(in crate::luau) chain: Vec<T>,
    pub(in crate::luau) is_handler: bool,
}

/// All of it. Of calls of the game nobody will be told how they end.
#[derive(Clone, Debug)]
pub(in crate::luau) struct SavedTasks<T> {
    pub(in crate::luau) current: Option<(TaskId, T)>,
    pub(in crate::luau) scheduled: Vec<SavedTask<T>>,
    pub(in crate::luau) ready: Vec<TaskId>,
    pub(in crate::luau) broken: Vec<SavedBroken<T>>,
    /// See [`Turns`].
    pub(in crate::luau) choices: [bool; 3],
    pub(in crate::luau) next_slice: Vec<TaskId>,
    pub(in crate::luau) last_id: TaskId,
    pub(in crate::luau) connections: Vec<TaskId>,
}

impl<T: Copy> SavedTasks<T> {
    /// The same, with other names of threads.
    pub(in crate::luau) fn map<U>(&self, name: impl Fn(T) -> U) -> SavedTasks<U> {
        let task = |task: &SavedTask<T>| SavedTask {
            id: task.id,
            thread: name(task.thread),
            values: task.values,
            by_script: task.by_script,
            is_ready: task.is_ready,
            plan: match task.plan {
                SavedPlan::Ready => SavedPlan::Ready,
                SavedPlan::NextSlice => SavedPlan::NextSlice,
                SavedPlan::Wait => SavedPlan::Wait,
                SavedPlan::Message => SavedPlan::Message,
                SavedPlan::Join { of, has_timeout } => SavedPlan::Join { of: name(of), has_timeout },
            },
        };
        let broken = |broken: &SavedBroken<T>| SavedBroken {
            task: broken.task,
            thread: name(broken.thread),
            chain: broken.chain.iter().map(|&thread| name(thread)).collect(),
            is_handler: broken.is_handler,
        };
        SavedTasks {
            current: self.current.map(|(id, thread)| (id, name(thread))),
            scheduled: self.scheduled.iter().map(task).collect(),
            ready: self.ready.clone(),
            broken: self.broken.iter().map(broken).collect(),
            choices: self.choices,
            next_slice: self.next_slice.clone(),
            last_id: self.last_id,
            connections: self.connections.clone(),
        }
    }
}

impl Tasks {
    pub(in crate::luau) fn save(&self) -> SavedTasks<Anchored> {
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
        let (ready, broken, choices) = self.turns.save();
        let broken = broken.map(|Broken { task, thread, chain, is_handler }| SavedBroken {
            task: *task,
            thread: *thread,
            chain: chain.clone(),
            is_handler: *is_handler,
        });
        SavedTasks {
            current: self.current,
            scheduled: self.scheduled.iter().map(task).collect(),
            ready,
            broken: broken.collect(),
            choices,
            next_slice: self.next_slice.iter().copied().collect(),
            last_id: self.last_id,
            connections: self.connections.iter().copied().collect(),
        }
    }

    /// What the main chunk has returned.
    pub(in crate::luau) fn results(&self) -> &[Value] {
        &self.results
    }

    /// Of a process that runs `root`, anchored in the table with the registry reference `anchors`, where all threads are,
    /// which have their marks.
    ///
    /// # Safety
    ///
    /// As for [`Tasks::schedule`], for each of the threads. Those that are joined must be on the stacks of those who join
    /// them.
    pub(in crate::luau) unsafe fn restore(
        saved: SavedTasks<Anchored>,
        root: Anchored,
        anchors: Reference,
        results: Vec<Value>,
    ) -> Self {
        let mut tasks = Self::new(root, anchors);
        tasks.current = saved.current;
        tasks.last_id = saved.last_id;
        tasks.next_slice = saved.next_slice.into_iter().collect();
        tasks.connections = saved.connections.into_iter().collect();
        tasks.results = results;
        for SavedTask { id, thread, values, by_script, is_ready, plan } in saved.scheduled {
            let plan = match plan {
                SavedPlan::Ready => Plan::Ready,
                SavedPlan::NextSlice => Plan::NextSlice,
                SavedPlan::Wait => Plan::Wait,
                SavedPlan::Message => Plan::Message,
                SavedPlan::Join { of, has_timeout } => {
                    if !is_ready {
                        tasks.joiners.entry(of.address()).or_default().push(id);
                        of.get().notes().mark(Mark::Joined);
                    }
                    Plan::Join { of, has_timeout }
                }
            };
            tasks.scheduled.insert(id, Task { thread, values, by_script, plan, is_ready });
            tasks.by_thread.insert(thread.address(), id);
            thread.get().notes().mark(Mark::Scheduled);
        }
        let is_ready_handler =
            |id: &TaskId| tasks.scheduled.get(id).is_some_and(|task| is_handler(task.thread));
        let ready: Vec<(TaskId, bool)> = saved.ready.iter().map(|id| (*id, is_ready_handler(id))).collect();
        let broken = saved.broken.into_iter().map(|SavedBroken { task, thread, chain, is_handler }| Broken {
            task,
            thread,
            chain,
            is_handler,
        });
        tasks.turns = Turns::restore(&ready, broken.collect(), saved.choices);
        tasks
    }
}
