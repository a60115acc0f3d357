//! The threads of one process: its main chunk, its tasks, and the coroutines that run in them.
//!
//! A task is a thread of its own, with a break chain of its own. The tasks of a process take turns: one
//! runs until it waits or ends, however many slices that takes, then the next. So a script is preempted by
//! other processes, but never by its own tasks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::c_int;
use std::sync::Arc;

use mlua::ffi::{self, lua_State};

use super::slice::Parked;
use super::stack::{Coroutine, Reference, Stack};
use super::transfer;
use crate::value::Value;

/// The number of a task: 0 is the main chunk, and those that it starts count up.
pub(crate) type TaskId = u32;

/// The main chunk.
pub(crate) const MAIN: TaskId = 0;

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

/// A task that does not run now.
pub(super) struct Task {
    id: TaskId,
    root: *mut lua_State,
    /// See [`ProcessExtras::chain`].
    chain: Vec<*mut lua_State>,
    /// Values on the stack of `root` with which it is resumed.
    arguments: c_int,
    /// Whether it has not run: scripts can still reach its thread as that of a suspended coroutine.
    is_new: bool,
}

impl Task {
    /// One that has not begun.
    ///
    /// # Safety
    ///
    /// `root` must be a thread that the process's [anchors](Tasks::anchors) have under the number, new or suspended, with
    /// so many arguments on its stack, above its function if it is new.
    pub(super) unsafe fn new(id: TaskId, root: *mut lua_State, arguments: c_int) -> Self {
        Self { id, root, chain: Vec::new(), arguments, is_new: true }
    }

    fn waiting(id: TaskId, root: *mut lua_State, chain: Vec<*mut lua_State>) -> Self {
        Self { id, root, chain, arguments: 0, is_new: false }
    }

    pub(super) fn id(&self) -> TaskId {
        self.id
    }

    /// The coroutines of its break chain, innermost last, if it waits in a break. One that has not begun does not.
    pub(super) fn into_chain(self) -> Option<Vec<*mut lua_State>> {
        (!self.is_new).then_some(self.chain)
    }
}

/// The tasks of a process that has, or had, more than its main chunk.
pub(super) struct Tasks {
    /// The task whose turn it is.
    current: Option<(TaskId, *mut lua_State)>,
    ready: VecDeque<Task>,
    waiting: BTreeMap<TaskId, Task>,
    /// Tasks that run for the first time, inside the `task.spawn` that made them, outermost first.
    starting: Vec<(TaskId, *mut lua_State)>,
    /// Registry reference of the table that anchors their threads, and the functions of connections.
    pub(super) anchors: Reference,
    last_id: TaskId,
    /// The thread of the main chunk.
    root: *mut lua_State,
    main: MainChunk,
    /// What the main chunk has returned.
    results: Vec<Value>,
    /// The thread of the task whose error ended the process.
    failed: Option<*mut lua_State>,
    /// Connections to signals: handlers that will be tasks.
    pub(super) connections: BTreeSet<TaskId>,
}

/// What the scheduler knows of the main chunk. A script that has its thread can do with it what it can do with others, so
/// after a yield Luau is asked what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MainChunk {
    /// It runs or waits, and belongs to the scheduler.
    Runs,
    /// It called `coroutine.yield`. If nobody else resumes it, it goes on in the next slice.
    Yielded,
    /// It has returned, failed inside a thread that has resumed it, or was closed.
    Ended,
}

/// What comes next when a thread has stopped.
pub(super) enum Next {
    /// The next thread of the process.
    Continue,
    /// The main chunk yielded, and nothing else is ready.
    Yielded,
    /// Everything waits.
    Wait,
    /// Everything has ended.
    Returned,
    Failed,
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

/// Whether a task that has not begun can begin: its thread is suspended, and the arguments are still there.
fn is_untouched(stack: &Stack<'_>, arguments: c_int) -> bool {
    stack.coroutine() == Coroutine::Suspended && stack.top() == c_int::from(stack.has_not_run()) + arguments
}

impl Tasks {
    /// A number for a task or a connection. `None` if there have been four billion.
    pub(super) fn next_id(&mut self) -> Option<TaskId> {
        self.last_id = self.last_id.checked_add(1)?;
        Some(self.last_id)
    }

    /// Tasks that have not ended.
    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.waiting.len() + self.starting.len() + usize::from(self.current.is_some())
    }

    /// The task whose turn it is.
    fn next_ready(&mut self) -> Option<Task> {
        loop {
            let task = self.ready.pop_front()?;
            // SAFETY: it is anchored. It is only looked at.
            let stack = unsafe { Stack::new(task.root) };
            if !task.is_new || is_untouched(&stack, task.arguments) {
                return Some(task);
            }
            // Its script has resumed or closed it in the meantime, as a coroutine.
            self.release(&stack, task.id);
        }
    }

    pub(super) fn push_ready(&mut self, task: Task) {
        self.ready.push_back(task);
    }

    pub(super) fn push_waiting(&mut self, task: Task) {
        self.waiting.insert(task.id, task);
    }

    /// A new task is about to run inside `task.spawn`. Returns what to resume, with how many arguments.
    pub(super) fn begin(&mut self, task: &Task) -> (*mut lua_State, c_int) {
        self.starting.push((task.id, task.root));
        (task.root, task.arguments)
    }

    /// It waits, with the threads of its break, innermost first and itself last.
    pub(super) fn started_waits(&mut self, broken: Vec<*mut lua_State>) {
        if let Some((id, root)) = self.starting.pop() {
            self.push_waiting(Task::waiting(id, root, broken.into_iter().rev().skip(1).collect()));
        }
    }

    /// It has ended with `status`, or yielded.
    pub(super) fn started_stopped(&mut self, status: c_int) -> Option<Next> {
        let (id, root) = self.starting.pop()?;
        // SAFETY: it is anchored, and does not run any more.
        Some(self.ended(id, &mut unsafe { Stack::new(root) }, status))
    }

    /// Makes a task that waits ready. `false` if there is none with this number.
    pub(super) fn wake(&mut self, id: TaskId) -> bool {
        let Some(task) = self.waiting.remove(&id) else { return false };
        self.ready.push_back(task);
        true
    }

    /// Takes out the task whose thread is `root`, if it does not run and is not the main chunk.
    pub(super) fn remove(&mut self, root: *mut lua_State) -> Option<Task> {
        let is_it = |task: &Task| task.root == root && task.id != MAIN;
        if let Some(at) = self.ready.iter().position(is_it) {
            return self.ready.remove(at);
        }
        let id = self.waiting.values().find(|task| is_it(task))?.id;
        self.waiting.remove(&id)
    }

    pub(super) fn is_waiting(&self, id: TaskId) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Whether `thread` is the root of a task that has not ended.
    pub(super) fn contains(&self, thread: *mut lua_State) -> bool {
        let roots = self.ready.iter().chain(self.waiting.values()).map(|task| task.root);
        let running = self.starting.iter().chain(&self.current).map(|&(_, root)| root);
        roots.chain(running).any(|root| root == thread)
    }

    /// A task has ended with `status`, or its root, of which the stack is, has yielded: then it is a coroutine like any
    /// other, to be resumed by whoever has it.
    pub(super) fn ended(&mut self, id: TaskId, stack: &mut Stack<'_>, status: c_int) -> Next {
        if status != ffi::LUA_OK && status != ffi::LUA_YIELD {
            self.failed = Some(stack.thread());
            return Next::Failed;
        }
        if stack.thread() == self.root && status == ffi::LUA_OK {
            self.main_returned(stack);
        }
        stack.resize(0); // nobody asks for its results
        self.release(stack, id);
        Next::Continue
    }

    /// The main chunk has returned. Its results are copied, so that it looks as dead as it is: values that are left on a
    /// stack could be resumed.
    fn main_returned(&mut self, main: &mut Stack<'_>) {
        self.main = MainChunk::Ended;
        if main.has_room(transfer::RESULT_SLOTS) {
            self.results = transfer::values(main).values;
        }
        main.resize(0);
    }

    /// Lets go of the thread of a task, which the stack is of.
    fn release(&self, task: &Stack<'_>, id: TaskId) {
        // SAFETY: the main thread lives as long as its state, and does not run while processes do.
        let mut main = unsafe { Stack::new(task.main_thread()) };
        main.push_reference(self.anchors);
        main.push_nil();
        main.raw_set_element(-2, id.cast_signed()); // there is an entry, so this takes no memory
        main.pop(1);
    }
}
