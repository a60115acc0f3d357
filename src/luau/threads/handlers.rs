//! Which tasks of a process are handlers: those that the game has started.

use std::sync::Arc;

use bevy::platform::collections::HashMap;
use mlua::ffi::lua_State;

use super::task_id::TaskId;
use crate::luau::thread::Anchored;
use crate::types::CallId;

/// Threads of handlers that have returned which a process keeps. To make one takes longer than most handlers run.
const MAX_IDLE: usize = 16;

/// Who is told how a handler ends.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// The game, of the call with this number, of a function with this name.
    Call(CallId, Arc<str>),
    /// Nobody, but that the function, which is anchored so, can be called again with those of all other processes.
    CallOfAll(TaskId),
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Handlers {
    /// Those whose ends somebody is told, by their threads. These stay anchored until then.
    calls: HashMap<*mut lua_State, Purpose>,
    /// Threads that have returned and that only we have. They are anchored, with empty stacks.
    idle: Vec<Anchored>,
}

impl Handlers {
    pub(super) fn begin_call(&mut self, thread: *mut lua_State, purpose: Purpose) {
        self.calls.insert(thread, purpose);
    }

    pub(super) fn is_call(&self, thread: *mut lua_State) -> bool {
        !self.calls.is_empty() && self.calls.contains_key(&thread)
    }

    /// A call has ended.
    pub(super) fn take_call(&mut self, thread: *mut lua_State) -> Option<Purpose> {
        self.calls.remove(&thread)
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Takes the calls that have not ended, in their order as far as it is known.
    pub(super) fn take_calls(&mut self) -> Vec<Purpose> {
        let mut calls: Vec<Purpose> = self.calls.drain().map(|(_, purpose)| purpose).collect();
        calls.sort_by_key(|purpose| match purpose {
            Purpose::Call(id, _) => Some(*id),
            Purpose::CallOfAll(_) => None,
        });
        calls
    }

    pub(super) fn take_idle(&mut self) -> Option<Anchored> {
        self.idle.pop()
    }

    /// Keeps a thread that has returned. `false` if there are enough.
    pub(super) fn keep_idle(&mut self, thread: Anchored) -> bool {
        let has_room = self.idle.len() < MAX_IDLE;
        if has_room {
            self.idle.push(thread);
        }
        has_room
    }
}
