//! The threads of one process: its main chunk, and the coroutines that its script makes.
//!
//! # Who a thread belongs to
//!
//! A thread is in exactly one [state](super::slice::ThreadState), and so has one owner:
//!
//! - It runs, or waits for one that it has resumed, possibly in the break chain of its process. Nobody can resume,
//!   close or cancel it.
//! - It belongs to the scheduler of its process ([`Tasks`]): it waits for something there, or is ready and has its turn
//!   soon. Whoever resumes, closes, cancels or schedules it takes it from there first, and what it waited for is void.
//!   Luau tells us of each resume, whoever does it, before the thread runs (`callbacks.rs`).
//! - It is suspended. Whoever has it can resume it.
//! - It is dead.
//!
//! What waits yields. Whoever has resumed it goes on, and when its time comes, the scheduler resumes it. A main chunk
//! that yields before its script has asked for its thread belongs to the scheduler, too, until the next slice.
//!
//! The scheduler resumes one thread at a time, however many slices that takes, until that waits, yields or ends, then
//! the next. So a script is preempted by other processes, but not by its own tasks. The exception are *handlers*, tasks
//! that the game has started: they get slices of their own although another task is broken, and it goes on when they have
//! ended, wait, or are broken themselves ([`turns`]). Each broken task has a break chain of its own.

mod handlers;
mod task_id;
mod tasks;
#[cfg(test)]
mod tests;
mod turns;

use std::ffi::c_int;
use std::sync::Arc;

use mlua::ffi;

use super::notes::Mark;
use super::slice::fiber::Parked;
use super::stack::Reference;
use super::thread::{Anchored, OwnThread};
use crate::value::Value;

pub(crate) use handlers::Purpose;
pub(crate) use task_id::{MAIN, TaskId};
#[cfg(feature = "save")]
pub(super) use tasks::saved::{SavedBroken, SavedPlan, SavedTask, SavedTasks};
pub(super) use tasks::{Next, Plan, Tasks};

/// What is resumed next.
pub(super) struct Resumption {
    pub(super) thread: Anchored,
    /// Values on its stack.
    pub(super) arguments: c_int,
    /// Whether its wait returns them.
    pub(super) by_script: bool,
}

/// What is kept of a process between its slices.
pub(super) struct ProcessThread {
    /// `None` until the first process of this place starts, and after
    /// [`LuauState::retire`](super::LuauState::retire).
    pub(super) root: Option<Anchored>,
    /// Most processes never have one.
    more: Option<Box<ProcessExtras>>,
}

/// See [`ProcessThread::save`].
#[cfg(feature = "save")]
#[derive(Default)]
pub(super) struct SavedExtras {
    pub(super) chain: Vec<Anchored>,
    pub(super) arguments: c_int,
    pub(super) preludes: c_int,
    pub(super) arguments_table: Option<Reference>,
    pub(super) name: Option<Arc<str>>,
}

/// What processes with coroutines or tasks have.
#[derive(Default)]
struct ProcessExtras {
    /// The break chain of the task whose turn it is, without its first thread, innermost last.
    chain: Vec<Anchored>,
    tasks: Option<Box<Tasks>>,
    /// Values on the stack of a root whose main chunk has not run, above its function.
    arguments: c_int,
    /// Functions above those, which run before it.
    preludes: c_int,
    /// Registry reference of the table with the same values.
    arguments_table: Option<Reference>,
    name: Option<Arc<str>>,
    /// The C stack of a slice that stopped where it could not be broken.
    parked: Option<Box<Parked>>,
}

impl ProcessThread {
    pub(super) fn new() -> Self {
        Self { root: None, more: None }
    }

    /// Whether it is in the middle of a slice.
    #[inline]
    pub(super) fn is_parked(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.parked.is_some())
    }

    /// Keeps the C stack on which it goes on.
    pub(super) fn park_stack(&mut self, parked: Parked) {
        self.more.get_or_insert_default().parked = Some(Box::new(parked));
    }

    pub(super) fn take_parked_stack(&mut self) -> Option<Parked> {
        self.more.as_mut()?.parked.take().map(|parked| *parked)
    }

    /// Back to what a process is that never had more than its main chunk, if this one has no more.
    pub(super) fn trim(&mut self) {
        let is_needed = self.more.as_ref().is_some_and(|more| {
            let ProcessExtras { chain, tasks, arguments, preludes, arguments_table, name, parked } = &**more;
            let is_plain = chain.is_empty() && tasks.is_none() && parked.is_none();
            !is_plain || *arguments != 0 || *preludes != 0 || arguments_table.is_some() || name.is_some()
        });
        if !is_needed {
            self.more = None;
        }
    }

    /// The thread to resume, without arguments, if there never was another.
    #[inline]
    pub(super) fn only_thread(&self) -> Option<Anchored> {
        if self.more.is_none() { self.root } else { None }
    }

    /// A slice begins that is not the rest of one that was parked.
    pub(super) fn begin_slice(&mut self) {
        if let Some(ProcessExtras { chain, tasks: Some(tasks), .. }) = self.more.as_deref_mut() {
            tasks.begin_slice(chain);
        }
    }

    /// What to resume.
    pub(super) fn next(&mut self) -> Option<Resumption> {
        let mut next = Resumption { thread: self.root?, arguments: 0, by_script: false };
        let Some(more) = self.more.as_mut() else { return Some(next) };
        if more.preludes == 0 {
            next.arguments = std::mem::take(&mut more.arguments);
        }
        if let Some(tasks) = &mut more.tasks
            && tasks.current.is_none()
        {
            (next.arguments, next.by_script) = tasks.begin_turn(&mut more.chain)?;
        }
        next.thread = self.innermost()?;
        Some(next)
    }

    fn innermost(&self) -> Option<Anchored> {
        let Some(more) = &self.more else { return self.root };
        let current = more.tasks.as_ref().and_then(|tasks| tasks.current);
        more.chain.last().copied().or(current.map(|(_, root)| root)).or(self.root)
    }

    /// Puts a new break, innermost first and ending with the thread that was resumed, on the chain.
    pub(super) fn splice(&mut self, broken: &[Anchored]) {
        let innermost = self.innermost();
        for &thread in broken.iter().rev().filter(|&&thread| Some(thread) != innermost) {
            self.more.get_or_insert_default().chain.push(thread);
        }
    }

    /// The thread that was resumed has ended with `status`, or yielded: because it `waits` for something, or not.
    pub(super) fn stopped(&mut self, thread: OwnThread<'_>, status: c_int, waits: bool) -> Next {
        let (mut stack, notes) = (thread.stack(), thread.notes());
        if let Some(ProcessExtras { chain, tasks, preludes, arguments, .. }) = self.more.as_deref_mut() {
            if chain.pop().is_some() {
                // Its parent waits inside `coroutine.resume` or the like, whose continuation takes the result from it.
                return Next::Continue;
            }
            if *preludes > 0
                && status == ffi::LUA_OK
                && self.root.is_some_and(|root| root.address() == thread.address())
            {
                // What follows it is below what it has returned.
                *preludes -= 1;
                stack.resize(1 + *arguments + *preludes);
                return Next::Continue;
            }
            if let Some(tasks) = tasks {
                return tasks.stopped(&mut stack, status);
            }
        }
        match status {
            ffi::LUA_OK => Next::Returned,
            ffi::LUA_YIELD if waits => Next::Wait,
            ffi::LUA_YIELD if notes.has(Mark::Known) => {
                stack.resize(0);
                Next::Returned // nobody is left who could resume it
            }
            ffi::LUA_YIELD => Next::Yielded,
            _ => Next::Failed,
        }
    }

    /// What to do when no task is ready.
    pub(super) fn idle(&mut self) -> Next {
        self.tasks_mut().map_or(Next::Wait, Tasks::idle)
    }

    /// The task that runs.
    pub(super) fn running_task(&self) -> TaskId {
        self.tasks().and_then(|tasks| tasks.current).map_or(MAIN, |(id, _)| id)
    }

    pub(super) fn tasks(&self) -> Option<&Tasks> {
        self.more.as_ref()?.tasks.as_deref()
    }

    pub(super) fn tasks_mut(&mut self) -> Option<&mut Tasks> {
        self.more.as_mut()?.tasks.as_deref_mut()
    }

    /// Lets a process that runs its main chunk have tasks, anchored in the table with the registry
    /// reference `anchors`.
    pub(super) fn add_tasks(&mut self, anchors: Reference) {
        let Some(root) = self.root else { return };
        let tasks = Tasks::new(root, anchors);
        self.more.get_or_insert_default().tasks = Some(Box::new(tasks));
    }

    /// What the main chunk has returned, if others ran on after it.
    pub(super) fn take_results(&mut self) -> Option<Vec<Value>> {
        self.tasks_mut().map(|tasks| std::mem::take(&mut tasks.results))
    }

    /// See [`LuauState::set_arguments`](super::LuauState::set_arguments).
    pub(super) fn set_arguments(&mut self, name: Option<Arc<str>>, arguments: c_int, table: Reference) {
        let more = self.more.get_or_insert_default();
        (more.name, more.arguments, more.arguments_table) = (name, arguments, Some(table));
    }

    /// See [`LuauState::set_preludes`](super::LuauState::set_preludes).
    pub(super) fn set_preludes(&mut self, preludes: c_int) {
        self.more.get_or_insert_default().preludes = preludes;
    }

    pub(super) fn set_name(&mut self, name: Option<Arc<str>>) {
        self.more.get_or_insert_default().name = name;
    }

    /// Its name, if it is kept here.
    pub(super) fn name(&self) -> Option<Arc<str>> {
        self.more.as_ref()?.name.clone()
    }

    /// Registry reference of the table of its arguments.
    pub(super) fn arguments_table(&self) -> Option<Reference> {
        self.more.as_ref()?.arguments_table
    }

    /// What a process has beyond its root and its tasks.
    #[cfg(feature = "save")]
    pub(super) fn save(&self) -> Option<SavedExtras> {
        let ProcessExtras { chain, arguments, preludes, arguments_table, name, .. } =
            &**self.more.as_ref()?;
        Some(SavedExtras {
            chain: chain.clone(),
            arguments: *arguments,
            preludes: *preludes,
            arguments_table: *arguments_table,
            name: name.clone(),
        })
    }

    /// The opposite.
    #[cfg(feature = "save")]
    pub(super) fn restore(root: Anchored, saved: SavedExtras, tasks: Option<Tasks>) -> Self {
        let SavedExtras { chain, arguments, preludes, arguments_table, name } = saved;
        let tasks = tasks.map(Box::new);
        let more = ProcessExtras { chain, tasks, arguments, preludes, arguments_table, name, parked: None };
        let mut process = Self { root: Some(root), more: Some(Box::new(more)) };
        process.trim();
        process
    }

    /// Forgets all but the root. Returns the registry references to be given back.
    pub(super) fn clear(&mut self) -> Option<[Reference; 3]> {
        let more = self.more.take()?;
        let (anchors, failed) = more.tasks.map_or((None, None), |mut tasks| {
            tasks.disband();
            (Some(tasks.anchors), tasks.failed)
        });
        let references = [anchors, failed, more.arguments_table];
        Some(references.map(|reference| reference.unwrap_or(Reference::NONE)))
    }
}
