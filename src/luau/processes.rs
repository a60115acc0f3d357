//! What a process gets from the isolate beyond its slices, and gives it: arguments, replies, signals, results.

use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;

use mlua::ffi::{self, lua_State};

use super::threads::{MAIN, ProcessThread, Task, TaskId};
use super::{LuauState, Reply, transfer};
use crate::types::{ProcessIndex, ScriptError};
use crate::value::Value;

impl LuauState {
    /// Whether a task waits.
    pub(crate) fn is_waiting(&self, thread: ProcessIndex, task: TaskId) -> bool {
        let tasks = self.threads.get(thread.at()).and_then(ProcessThread::tasks);
        tasks.map_or(task == MAIN, |tasks| tasks.is_waiting(task))
    }

    /// Whether a connection to a signal has not ended.
    pub(crate) fn is_connected(&self, thread: ProcessIndex, connection: TaskId) -> bool {
        let tasks = self.threads.get(thread.at()).and_then(ProcessThread::tasks);
        tasks.is_some_and(|tasks| tasks.connections.contains(&connection))
    }

    /// Gives a process that has just started its name, if it has one of its own, and arguments.
    pub(crate) fn pass(
        &mut self,
        thread: ProcessIndex,
        category: u8,
        name: Option<Arc<str>>,
        arguments: &[Value],
    ) -> Result<(), ScriptError> {
        let root = self.threads[thread.at()].root;
        let table = self.protect(|state| {
            // SAFETY: the root holds its function and nothing else, and does not run. The rest is pushed
            // and popped in balance.
            unsafe {
                ffi::lua_setmemcat(state, c_int::from(category));
                ffi::lua_createtable(state, c_int::try_from(arguments.len()).unwrap_or(0), 0);
                for (i, value) in (1..).zip(arguments) {
                    transfer::push(root, value);
                    transfer::push(state, value);
                    ffi::lua_rawseti_(state, -2, i);
                }
                let table = ffi::lua_ref(state, -1);
                ffi::lua_pop(state, 1);
                table
            }
        });
        // SAFETY: only sets a number.
        unsafe { ffi::lua_setmemcat(self.main, 0) };
        self.threads[thread.at()].pass(name, arguments.len() as c_int, table?);
        Ok(())
    }

    /// Starts a task that runs the function of a connection. `false` if the process has no room for it.
    pub(crate) fn call_connection(
        &mut self,
        thread: ProcessIndex,
        category: u8,
        connection: TaskId,
        payload: &Value,
        task_limit: usize,
    ) -> bool {
        let Some(tasks) = self.threads[thread.at()].tasks_mut().filter(|tasks| tasks.len() < task_limit)
        else {
            return false;
        };
        if !tasks.connections.contains(&connection) {
            return false;
        }
        let Some(id) = tasks.next_id() else { return false };
        let anchors = tasks.anchors;
        let root = self.protect(|state| {
            // SAFETY: `anchors` is a reference to a table where `connection` has a function, if it has not
            // ended. Everything is pushed and popped in balance.
            unsafe {
                ffi::lua_setmemcat(state, c_int::from(category));
                ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, anchors);
                let root = ffi::lua_newthread(state);
                if ffi::lua_rawgeti_(state, -2, connection.cast_signed()) != ffi::LUA_TFUNCTION {
                    return None;
                }
                ffi::lua_getfenv(state, -1);
                ffi::lua_xmove(state, root, 1);
                ffi::lua_replace(root, ffi::LUA_GLOBALSINDEX);
                ffi::lua_xmove(state, root, 1);
                transfer::push(root, payload);
                ffi::lua_rawseti_(state, -2, id.cast_signed());
                Some(root)
            }
        });
        // SAFETY: only sets a number.
        unsafe { ffi::lua_setmemcat(self.main, 0) };
        let (Ok(Some(root)), Some(tasks)) = (root, self.threads[thread.at()].tasks_mut()) else {
            return false;
        };
        tasks.push_ready(Task { id, root, chain: Vec::new(), arguments: 1, is_new: true });
        true
    }

    /// The results of a process whose last slice ended as [`SliceEnd::Returned`](super::SliceEnd::Returned).
    pub(crate) fn results(&mut self, thread: ProcessIndex) -> Vec<Value> {
        let root = self.threads[thread.at()].root;
        // SAFETY: `root` is live and not running.
        if unsafe { ffi::lua_gettop(root) } == 0 {
            return Vec::new();
        }
        // SAFETY: as above; the slots are made first.
        let results = self.protect(|_| unsafe {
            ffi::lua_rawcheckstack(root, transfer::RESULT_SLOTS);
            transfer::values(root)
        });
        results.unwrap_or_default()
    }

    /// The error of a process whose last slice ended as [`SliceEnd::Failed`](super::SliceEnd::Failed).
    pub(crate) fn error(&self, thread: ProcessIndex) -> ScriptError {
        let failed = self.threads[thread.at()].failed();
        // SAFETY: it is anchored, not running, and has its error on top of its stack.
        unsafe {
            ScriptError { message: transfer::error_message(failed), traceback: transfer::traceback(failed) }
        }
    }

    /// Leaves a process nothing but its root, which is returned.
    pub(super) fn clear_tasks(&mut self, thread: ProcessIndex) -> *mut lua_State {
        let Some(process) = self.threads.get_mut(thread.at()) else { return ptr::null_mut() };
        for reference in process.clear().into_iter().flatten() {
            // SAFETY: a reference of this state; `lua_unref` does not throw.
            unsafe { ffi::lua_unref(self.main, reference) };
        }
        process.root
    }

    /// Lets a task that waits go on, with what it has waited for. `false` if the task has ended.
    pub(crate) fn wake(&mut self, process: ProcessIndex, task: TaskId, reply: Option<Reply>) -> bool {
        let is_there = match self.threads[process.at()].tasks_mut() {
            None => task == MAIN,
            Some(tasks) => tasks.wake(task),
        };
        if let Some(reply) = reply.filter(|_| is_there) {
            self.context().replies.insert(process, task, reply);
        }
        is_there
    }
}
