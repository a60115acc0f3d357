//! What belongs to a Luau state and is reached from the functions that it calls.

use std::cell::UnsafeCell;

use mlua::ffi::{self, lua_State};

use super::context::Context;
use super::slice::Slice;

/// Luau's `callbacks.userdata`. It begins with the [`Slice`], which is all that the interrupt needs.
#[repr(C)]
pub(super) struct Shared {
    pub(super) slice: Slice,
    /// Used by whoever borrows the state, and during a slice by functions that Luau calls.
    pub(super) context: UnsafeCell<Context>,
}

impl Shared {
    pub(super) fn new(context: Context) -> Self {
        Self { slice: Slice::new(), context: UnsafeCell::new(context) }
    }
}

/// What belongs to the state of a thread.
///
/// # Safety
///
/// `thread` must be live, and belong to a state that [`LuauState::open`](super::LuauState::open) made, which must live for
/// as long as the result is used.
#[inline]
pub(super) unsafe fn of<'a>(thread: *mut lua_State) -> &'a Shared {
    // SAFETY: by the contract.
    let callbacks = unsafe { ffi::lua_callbacks(thread) };
    // SAFETY: the callbacks live as long as their state, and nobody has a mutable reference to them.
    let shared = unsafe { (*callbacks).userdata }.cast::<Shared>();
    // SAFETY: `open` puts one there before anything else is done with the state. What changes in it is in cells.
    unsafe { &*shared }
}
