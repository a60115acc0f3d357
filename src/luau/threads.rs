//! The threads of one process: its main chunk, its tasks, and the coroutines that run in them.
//!
//! A task is a thread of its own, with a break chain of its own. The tasks of a process take turns: one
//! runs until it waits or ends, however many slices that takes, then the next. So a script is preempted by
//! other processes, but never by its own tasks.

mod tasks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::c_int;
use std::sync::Arc;

use mlua::ffi::{self, lua_State};

use super::slice::fiber::Parked;
use super::stack::{Coroutine, Reference, Stack};
use crate::value::Value;

pub(crate) use tasks::{MAIN, TaskId};
pub(super) use tasks::{Next, Task, Tasks};

use tasks::MainChunk;

/// What is kept of a process between its slices.
pub(super) struct ProcessThread {
    /// Null until the first process of this place starts, and after
    /// [`LuauState::retire`](super::LuauState::retire).
    pub(super) root: *mut lua_State,
    /// Most processes never have one.
    more: Option<Box<ProcessExtras>>,
}

/// What processes with coroutines or tasks have.
#[derive(Default)]
struct ProcessExtras {
    /// The nested coroutines of the break chain of the task that runs, innermost last.
    chain: Vec<*mut lua_State>,
    tasks: Option<Box<Tasks>>,
    /// Values on the stack of a root that has not run, above its function.
    arguments: c_int,
    /// Registry reference of the table with the same values.
    arguments_table: Option<Reference>,
    name: Option<Arc<str>>,
    /// The C stack of a slice that stopped where it could not be broken.
    parked: Option<Box<Parked>>,
}

impl ProcessThread {
    pub(super) fn new() -> Self {
        Self { root: std::ptr::null_mut(), more: None }
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
            let ProcessExtras { chain, tasks, arguments, arguments_table, name, parked } = &**more;
            let is_plain = chain.is_empty() && tasks.is_none() && parked.is_none();
            !is_plain || *arguments != 0 || arguments_table.is_some() || name.is_some()
        });
        if !is_needed {
            self.more = None;
        }
    }

    /// The thread to resume, without arguments, if there never was another.
    #[inline]
    pub(super) fn only_thread(&self) -> Option<*mut lua_State> {
        self.more.is_none().then_some(self.root)
    }

    /// The thread to resume, and with how many arguments.
    pub(super) fn next(&mut self) -> Option<(*mut lua_State, c_int)> {
        let Some(more) = self.more.as_mut() else { return Some((self.root, 0)) };
        let mut arguments = std::mem::take(&mut more.arguments);
        if let Some(tasks) = &mut more.tasks
            && tasks.current.is_none()
        {
            let task = tasks.next_ready()?;
            tasks.current = Some((task.id, task.root));
            more.chain = task.chain;
            arguments = task.arguments;
        }
        Some((self.innermost(), arguments))
    }

    fn innermost(&self) -> *mut lua_State {
        let Some(more) = &self.more else { return self.root };
        let current = more.tasks.as_ref().and_then(|tasks| tasks.current);
        more.chain.last().copied().or(current.map(|(_, root)| root)).unwrap_or(self.root)
    }

    /// Puts a new break, innermost first and ending with the thread that was resumed, on the chain.
    pub(super) fn splice(&mut self, broken: &[*mut lua_State]) {
        let innermost = self.innermost();
        for &thread in broken.iter().rev().filter(|&&thread| thread != innermost) {
            self.more.get_or_insert_default().chain.push(thread);
        }
    }

    /// The thread that was resumed waits, with the chain that it has.
    pub(super) fn park(&mut self) -> Next {
        let Some(ProcessExtras { chain, tasks: Some(tasks), .. }) = self.more.as_deref_mut() else {
            return Next::Wait;
        };
        if let Some((id, root)) = tasks.starting.pop() {
            // It waits on its own: the thread that started it goes on.
            let at = chain.iter().rposition(|&thread| thread == root).unwrap_or(chain.len());
            let chain = chain.drain(at..).skip(1).collect();
            tasks.push_waiting(Task::waiting(id, root, chain));
        } else if let Some((id, root)) = tasks.current.take() {
            let chain = std::mem::take(chain);
            tasks.push_waiting(Task::waiting(id, root, chain));
        }
        Next::Continue
    }

    /// The thread that was resumed has ended with `status`, or yielded.
    ///
    /// # Safety
    ///
    /// `thread` must be that thread.
    pub(super) unsafe fn stopped(&mut self, thread: *mut lua_State, status: c_int) -> Next {
        let more = self.more.as_deref_mut();
        let without_tasks = match status {
            ffi::LUA_OK => Next::Returned,
            ffi::LUA_YIELD => Next::Yielded,
            _ => Next::Failed,
        };
        let Some(ProcessExtras { chain, tasks, .. }) = more else { return without_tasks };
        let is_nested = chain.pop().is_some();
        let Some(tasks) = tasks else {
            // A coroutine yielded, returned or failed: its parent waits inside `coroutine.resume` or a
            // wrapped function, whose continuation takes the result from the coroutine.
            return if is_nested { Next::Continue } else { without_tasks };
        };
        let ended = match tasks.starting.last() {
            Some(&(_, root)) if root == thread => tasks.starting.pop(),
            _ if is_nested => return Next::Continue,
            _ => tasks.current.take(),
        };
        // SAFETY: by the contract. It was anchored when it started, and does not run any more.
        let mut stack = unsafe { Stack::new(thread) };
        let Some((id, _)) = ended.filter(|&(id, _)| id != MAIN) else {
            match status {
                ffi::LUA_OK => tasks.main_returned(&mut stack),
                ffi::LUA_YIELD => tasks.main = MainChunk::Yielded,
                _ => return Next::Failed,
            }
            return Next::Continue;
        };
        tasks.ended(id, &mut stack, status)
    }

    /// What to do when no task is ready.
    pub(super) fn idle(&mut self) -> Next {
        let root = self.root;
        let Some(ProcessExtras { tasks: Some(tasks), .. }) = self.more.as_deref_mut() else {
            return Next::Wait;
        };
        // SAFETY: the root is anchored, and nothing of the process runs. It is only looked at.
        let main = unsafe { Stack::new(root) };
        if tasks.main == MainChunk::Yielded && main.coroutine() == Coroutine::Dead {
            tasks.main = MainChunk::Ended;
        }
        // Otherwise it goes on inside another thread, which has resumed it and waits.
        if tasks.main == MainChunk::Yielded && main.coroutine() == Coroutine::Suspended {
            tasks.main = MainChunk::Runs;
            tasks.ready.push_back(Task::waiting(MAIN, root, Vec::new()));
            Next::Yielded
        } else if tasks.waiting.is_empty() && tasks.connections.is_empty() {
            Next::Returned
        } else {
            Next::Wait
        }
    }

    /// The task that runs.
    pub(super) fn running_task(&self) -> TaskId {
        self.tasks()
            .map_or(MAIN, |tasks| tasks.starting.last().copied().or(tasks.current).map_or(MAIN, |(id, _)| id))
    }

    /// The thread of the innermost task that runs for the first time.
    pub(super) fn starting(&self) -> Option<*mut lua_State> {
        self.tasks()?.starting.last().map(|&(_, root)| root)
    }

    pub(super) fn tasks(&self) -> Option<&Tasks> {
        self.more.as_ref()?.tasks.as_deref()
    }

    pub(super) fn tasks_mut(&mut self) -> Option<&mut Tasks> {
        self.more.as_mut()?.tasks.as_deref_mut()
    }

    /// Lets a process that runs its main chunk have tasks, anchored in the table with the registry
    /// reference `anchors`.
    pub(super) fn add_tasks(&mut self, anchors: Reference) -> &mut Tasks {
        let tasks = Tasks {
            current: Some((MAIN, self.root)),
            ready: VecDeque::new(),
            waiting: BTreeMap::new(),
            starting: Vec::new(),
            anchors,
            last_id: MAIN,
            root: self.root,
            main: MainChunk::Runs,
            results: Vec::new(),
            failed: None,
            connections: BTreeSet::new(),
        };
        self.more.get_or_insert_default().tasks.insert(Box::new(tasks))
    }

    /// The thread with the error that ended the process.
    pub(super) fn failed(&self) -> *mut lua_State {
        self.tasks().and_then(|tasks| tasks.failed).unwrap_or(self.root)
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

    /// Forgets all but the root. Returns the registry references to be given back.
    pub(super) fn clear(&mut self) -> Option<[Reference; 2]> {
        let more = self.more.take()?;
        let anchors = more.tasks.map(|tasks| tasks.anchors);
        Some([anchors, more.arguments_table].map(|reference| reference.unwrap_or(Reference::NONE)))
    }
}
