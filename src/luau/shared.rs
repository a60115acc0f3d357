//! What belongs to a Luau state and is reached from the functions that it calls.

use std::cell::UnsafeCell;

use mlua::ffi::{self, lua_State};

use super::Context;
use super::slice::{self, Slice};

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

/// Calls `f` with the context of the process that runs, if one does.
///
/// # Safety
///
/// As for [`slice::of`]. `f` must not call into Luau where that may call one of our functions.
pub(super) unsafe fn with_context<R>(state: *mut lua_State, f: impl FnOnce(&mut Context) -> R) -> Option<R> {
    // SAFETY: by the contract; see `slice::of`.
    let shared = unsafe { &*(*ffi::lua_callbacks(state)).userdata.cast::<Shared>() };
    // SAFETY: during a slice nobody else uses it but functions that Luau calls one at a time, of which none calls back into
    // Luau from `f`.
    shared.slice.is_running().then(|| f(unsafe { &mut *shared.context.get() }))
}

/// As [`with_context`], for what somebody must deal with after the slice.
///
/// # Safety
///
/// As for [`with_context`].
pub(super) unsafe fn with_outcome<R>(state: *mut lua_State, f: impl FnOnce(&mut Context) -> R) -> Option<R> {
    // SAFETY: by the contract.
    unsafe {
        slice::flag_outcome(state);
        with_context(state, f)
    }
}
