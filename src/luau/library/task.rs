//! `task.spawn`, `task.defer`, `task.delay`, `task.cancel`: more than one thing at a time in one process.

use std::ffi::{CStr, c_int};
use std::time::Duration;

use mlua::ffi::{self, lua_State};

use super::host::push_error;
use super::system::script_name;
use super::wait::seconds;
use crate::luau::Request;
use crate::luau::shared::{with_context, with_outcome};
use crate::luau::slice::{
    LimitViolation, break_with_child, is_marked_for_kill, mark_for_kill, take_wait, with_process,
};
use crate::luau::threads::{Next, Task, TaskId, Tasks};

/// `task.spawn(function or thread, ...)`: runs it until it waits or ends, then goes on. Returns the thread.
pub(super) unsafe extern "C-unwind" fn spawn(state: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; nothing here needs dropping where Luau may throw.
    unsafe {
        let New { id, thread, arguments } = new_task(state, c"task.spawn", 1);
        with_tasks(state, |tasks| tasks.begin(id, thread));
        let status = ffi::lua_resume_(thread, state, arguments);
        if status == ffi::LUA_BREAK {
            let Some(broken) = take_wait(state) else { return break_with_child(state) };
            // Innermost first, and the task itself last.
            let chain = broken.into_iter().rev().skip(1).collect();
            with_tasks(state, |tasks| {
                if let Some((id, root)) = tasks.take_started() {
                    tasks.push_waiting(Task { id, root, chain, arguments: 0, is_new: false });
                }
            });
        } else {
            let ended = with_tasks(state, |tasks| {
                tasks.take_started().map(|(id, root)| tasks.ended(id, root, status))
            });
            if matches!(ended, Some(Some(Next::Failed))) && !is_marked_for_kill(state) {
                mark_for_kill(state, LimitViolation::TaskFailed);
            }
        }
        ffi::lua_settop(state, 1);
    }
    1
}

/// The continuation of [`spawn`], called when a task that was preempted there has gone on to wait or end.
pub(super) unsafe extern "C-unwind" fn spawned(state: *mut lua_State, _: c_int) -> c_int {
    // SAFETY: the thread is there since `new_task`.
    unsafe { ffi::lua_settop(state, 1) };
    1
}

/// `task.defer(function or thread, ...)`: runs it when the running task, and those that are ready before it,
/// have waited or ended. Returns the thread.
pub(super) unsafe extern "C-unwind" fn defer(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        let New { id, thread: root, arguments } = new_task(state, c"task.defer", 1);
        with_tasks(state, |tasks| {
            tasks.push_ready(Task { id, root, chain: Vec::new(), arguments, is_new: true });
        });
    }
    1
}

/// `task.delay(seconds, function or thread, ...)`: runs it after that much virtual time. Returns the thread.
pub(super) unsafe extern "C-unwind" fn delay(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`.
    unsafe {
        let time = Duration::from_secs_f64(seconds(state, 1, "task.delay"));
        if ffi::lua_gettop(state) > 0 {
            ffi::lua_remove(state, 1);
        }
        let New { id, thread: root, arguments } = new_task(state, c"task.delay", 2);
        with_tasks(state, |tasks| {
            tasks.push_waiting(Task { id, root, chain: Vec::new(), arguments, is_new: true });
        });
        with_outcome(state, |context| context.requests.push((id, Request::Sleep(time))));
    }
    1
}

/// `task.cancel(thread)`: ends a task that does not run, wherever it waits, or closes a coroutine.
pub(super) unsafe extern "C-unwind" fn cancel(state: *mut lua_State) -> c_int {
    // SAFETY: as for `spawn`; the threads of a task that does not run are anchored by it and not active.
    unsafe {
        let thread = ffi::lua_tothread(state, 1);
        if thread.is_null() {
            fail(
                state,
                c"task.cancel",
                format_args!("argument 1: expected thread, got {}", type_name(state, 1)),
            );
        }
        let is_root = with_process(state, |process| process.root == thread).unwrap_or(true);
        let status = ffi::lua_costatus(state, thread);
        let runs = status == ffi::LUA_CORUN || status == ffi::LUA_CONOR;
        let removed = with_tasks(state, |tasks| tasks.remove(thread)).flatten();
        if let Some(task) = &removed {
            with_outcome(state, |context| context.requests.push((task.id, Request::Cancel)));
            with_tasks(state, |tasks| tasks.release(state, task.id));
        }
        // A task that waits does so in a break, which looks as if it ran. One that has not begun may: its
        // script has resumed its thread itself.
        if let Some(task) = removed.filter(|task| !task.is_new) {
            for &nested in task.chain.iter().rev() {
                ffi::lua_resetthread(nested);
            }
            ffi::lua_resetthread(thread);
            return 0;
        }
        if is_root || runs {
            fail(state, c"task.cancel", "cannot cancel a thread that runs, or the main chunk");
        }
        ffi::lua_resetthread(thread);
    }
    0
}

/// A task that has not begun.
struct New {
    id: TaskId,
    thread: *mut lua_State,
    /// Values on its stack, above its function if it has one.
    arguments: c_int,
}

/// Makes a task of the function or the suspended thread at stack index 1 and the arguments after it, and
/// leaves its thread there and nothing else. For its caller that is the argument at `position`.
///
/// # Safety
///
/// `state` must be the running thread, in a C function. Throws.
unsafe fn new_task(state: *mut lua_State, function: &'static CStr, position: u32) -> New {
    // SAFETY: the stack is as the comments say; each value is moved to where there is room for it.
    unsafe {
        let kind = ffi::lua_type(state, 1);
        if kind != ffi::LUA_TFUNCTION && kind != ffi::LUA_TTHREAD {
            let got = type_name(state, 1);
            fail(
                state,
                function,
                format_args!("argument {position}: expected function or thread, got {got}"),
            );
        }
        make_tasks(state);
        let (count, limit) = (
            with_tasks(state, |tasks| tasks.len()).unwrap_or_default(),
            with_context(state, |context| context.task_limit).unwrap_or_default(),
        );
        if count >= limit {
            fail(state, function, format_args!("this process has {count} tasks, of {limit}"));
        }
        let arguments = ffi::lua_gettop(state) - 1;
        let (thread, moved) = if kind == ffi::LUA_TFUNCTION {
            let thread = ffi::lua_newthread(state);
            ffi::lua_insert(state, 1); // thread, function, arguments
            (thread, arguments + 1)
        } else {
            let thread = ffi::lua_tothread(state, 1);
            if ffi::lua_costatus(state, thread) != ffi::LUA_COSUS
                || with_tasks(state, |tasks| tasks.contains(thread)) == Some(true)
            {
                fail(state, function, "the thread is not suspended: it runs, waits, has ended or is a task");
            }
            (thread, arguments)
        };
        if ffi::lua_checkstack(thread, moved) == 0 {
            fail(state, function, "too many arguments");
        }
        let id = next_id(state, function);
        ffi::lua_xmove(state, thread, moved);
        if let Some(anchors) = with_tasks(state, |tasks| &raw const *tasks) {
            (*anchors).anchor(state, id, 1);
        }
        New { id, thread, arguments }
    }
}

/// The number of a new task or connection.
///
/// # Safety
///
/// As for [`fail`].
pub(super) unsafe fn next_id(state: *mut lua_State, function: &CStr) -> TaskId {
    // SAFETY: by the contract.
    unsafe {
        with_tasks(state, Tasks::next_id).flatten().unwrap_or_else(|| {
            fail(state, function, format_args!("this process has had {} tasks", TaskId::MAX))
        })
    }
}

/// Makes sure that the running process can have tasks.
///
/// # Safety
///
/// `state` must be the running thread, with room for a value. May throw.
pub(super) unsafe fn make_tasks(state: *mut lua_State) {
    // SAFETY: by the contract.
    unsafe {
        if with_process(state, |process| process.tasks().is_none()) == Some(true) {
            ffi::lua_createtable(state, 0, 0);
            let anchors = ffi::lua_ref(state, -1);
            ffi::lua_pop(state, 1);
            with_process(state, |process| {
                // The main chunk may end before its tasks do.
                let name = process.name().or_else(|| script_name(process.root));
                process.set_name(name);
                process.add_tasks(anchors);
            });
        }
    }
}

/// Calls `f` with the tasks of the process that runs, if it has any.
///
/// # Safety
///
/// As for [`with_process`].
pub(super) unsafe fn with_tasks<R>(state: *mut lua_State, f: impl FnOnce(&mut Tasks) -> R) -> Option<R> {
    // SAFETY: by the contract.
    unsafe { with_process(state, |process| process.tasks_mut().map(f)).flatten() }
}

/// What there is at a stack index, for error messages: a type.
///
/// # Safety
///
/// `state` must be the running thread.
pub(super) unsafe fn type_name<'a>(state: *mut lua_State, index: c_int) -> std::borrow::Cow<'a, str> {
    // SAFETY: Luau's type names are literals, one for each type and "no value".
    unsafe { CStr::from_ptr(ffi::lua_typename(state, ffi::lua_type(state, index))).to_string_lossy() }
}

/// Throws an error with the position of the call.
///
/// # Safety
///
/// `state` must be the running thread, in a C function; the frames between it and Luau must hold nothing
/// that needs dropping.
pub(super) unsafe fn fail(state: *mut lua_State, function: &CStr, message: impl std::fmt::Display) -> ! {
    // SAFETY: by the contract; the message is dropped before the error is thrown.
    unsafe {
        push_error(state, &function.to_string_lossy(), &message.to_string());
        ffi::lua_error(state)
    }
}
