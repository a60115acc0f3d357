//! The tasks of a process that has, or had, more than its main chunk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::c_int;

use mlua::ffi::{self, lua_State};

use crate::luau::stack::{Coroutine, Reference, Stack};
use crate::luau::transfer;
use crate::value::Value;

/// The number of a task: 0 is the main chunk, and those that it starts count up.
pub(crate) type TaskId = u32;

/// The main chunk.
pub(crate) const MAIN: TaskId = 0;

/// A task that does not run now.
pub(in crate::luau) struct Task {
    pub(super) id: TaskId,
    pub(super) root: *mut lua_State,
    /// The nested coroutines of its break chain, innermost last.
    pub(super) chain: Vec<*mut lua_State>,
    /// Values on the stack of `root` with which it is resumed.
    pub(super) arguments: c_int,
    /// Whether it has not run: scripts can still reach its thread as that of a suspended coroutine.
    pub(super) is_new: bool,
}

impl Task {
    /// One that has not begun.
    ///
    /// # Safety
    ///
    /// `root` must be a thread that the process's [anchors](Tasks::anchors) have under the number, new or suspended, with
    /// so many arguments on its stack, above its function if it is new.
    pub(in crate::luau) unsafe fn new(id: TaskId, root: *mut lua_State, arguments: c_int) -> Self {
        Self { id, root, chain: Vec::new(), arguments, is_new: true }
    }

    pub(super) fn waiting(id: TaskId, root: *mut lua_State, chain: Vec<*mut lua_State>) -> Self {
        Self { id, root, chain, arguments: 0, is_new: false }
    }

    pub(in crate::luau) fn id(&self) -> TaskId {
        self.id
    }

    /// The coroutines of its break chain, innermost last, if it waits in a break. One that has not begun does not.
    pub(in crate::luau) fn into_chain(self) -> Option<Vec<*mut lua_State>> {
        (!self.is_new).then_some(self.chain)
    }
}

/// The tasks of a process that has, or had, more than its main chunk.
pub(in crate::luau) struct Tasks {
    /// The task whose turn it is.
    pub(super) current: Option<(TaskId, *mut lua_State)>,
    pub(super) ready: VecDeque<Task>,
    pub(super) waiting: BTreeMap<TaskId, Task>,
    /// Tasks that run for the first time, inside the `task.spawn` that made them, outermost first.
    pub(super) starting: Vec<(TaskId, *mut lua_State)>,
    /// Registry reference of the table that anchors their threads, and the functions of connections.
    pub(in crate::luau) anchors: Reference,
    pub(super) last_id: TaskId,
    /// The thread of the main chunk.
    pub(super) root: *mut lua_State,
    pub(super) main: MainChunk,
    /// What the main chunk has returned.
    pub(super) results: Vec<Value>,
    /// The thread of the task whose error ended the process.
    pub(super) failed: Option<*mut lua_State>,
    /// Connections to signals: handlers that will be tasks.
    pub(in crate::luau) connections: BTreeSet<TaskId>,
}

/// What the scheduler knows of the main chunk. A script that has its thread can do with it what it can do with others, so
/// after a yield Luau is asked what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MainChunk {
    /// It runs or waits, and belongs to the scheduler.
    Runs,
    /// It called `coroutine.yield`. If nobody else resumes it, it goes on in the next slice.
    Yielded,
    /// It has returned, failed inside a thread that has resumed it, or was closed.
    Ended,
}

/// What comes next when a thread has stopped.
pub(in crate::luau) enum Next {
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

/// Whether a task that has not begun can begin: its thread is suspended, and the arguments are still there.
fn is_untouched(stack: &Stack<'_>, arguments: c_int) -> bool {
    stack.coroutine() == Coroutine::Suspended && stack.top() == c_int::from(stack.has_not_run()) + arguments
}

impl Tasks {
    /// A number for a task or a connection. `None` if there have been four billion.
    pub(in crate::luau) fn next_id(&mut self) -> Option<TaskId> {
        self.last_id = self.last_id.checked_add(1)?;
        Some(self.last_id)
    }

    /// Tasks that have not ended.
    pub(in crate::luau) fn len(&self) -> usize {
        self.ready.len() + self.waiting.len() + self.starting.len() + usize::from(self.current.is_some())
    }

    /// The task whose turn it is.
    pub(super) fn next_ready(&mut self) -> Option<Task> {
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

    pub(in crate::luau) fn push_ready(&mut self, task: Task) {
        self.ready.push_back(task);
    }

    pub(in crate::luau) fn push_waiting(&mut self, task: Task) {
        self.waiting.insert(task.id, task);
    }

    /// A new task is about to run inside `task.spawn`. Returns what to resume, with how many arguments.
    pub(in crate::luau) fn begin(&mut self, task: &Task) -> (*mut lua_State, c_int) {
        self.starting.push((task.id, task.root));
        (task.root, task.arguments)
    }

    /// It waits, with the threads of its break, innermost first and itself last.
    pub(in crate::luau) fn started_waits(&mut self, broken: Vec<*mut lua_State>) {
        if let Some((id, root)) = self.starting.pop() {
            self.push_waiting(Task::waiting(id, root, broken.into_iter().rev().skip(1).collect()));
        }
    }

    /// It has ended with `status`, or yielded.
    pub(in crate::luau) fn started_stopped(&mut self, status: c_int) -> Option<Next> {
        let (id, root) = self.starting.pop()?;
        // SAFETY: it is anchored, and does not run any more.
        Some(self.ended(id, &mut unsafe { Stack::new(root) }, status))
    }

    /// Makes a task that waits ready. `false` if there is none with this number.
    pub(in crate::luau) fn wake(&mut self, id: TaskId) -> bool {
        let Some(task) = self.waiting.remove(&id) else { return false };
        self.ready.push_back(task);
        true
    }

    /// Takes out the task whose thread is `root`, if it does not run and is not the main chunk.
    pub(in crate::luau) fn remove(&mut self, root: *mut lua_State) -> Option<Task> {
        let is_it = |task: &Task| task.root == root && task.id != MAIN;
        if let Some(at) = self.ready.iter().position(is_it) {
            return self.ready.remove(at);
        }
        let id = self.waiting.values().find(|task| is_it(task))?.id;
        self.waiting.remove(&id)
    }

    pub(in crate::luau) fn is_waiting(&self, id: TaskId) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Whether `thread` is the root of a task that has not ended.
    pub(in crate::luau) fn contains(&self, thread: *mut lua_State) -> bool {
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
    pub(super) fn main_returned(&mut self, main: &mut Stack<'_>) {
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
