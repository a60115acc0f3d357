//! A thread that runs, and what may be done to it from inside.

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;

use mlua::ffi::{self, lua_State};

/// A thread of a process that runs, or waits for one that it has resumed.
///
/// What throws does so as Luau's functions do: it passes through our frames like a panic and drops what they hold.
#[derive(Clone, Copy)]
pub(super) struct Running<'a> {
    thread: *mut lua_State,
    lifetime: PhantomData<&'a ()>,
}

impl Running<'_> {
    /// # Safety
    ///
    /// `thread` must be live, and run or wait for one that it has resumed, for as long as this is used.
    #[inline]
    pub(super) unsafe fn new(thread: *mut lua_State) -> Self {
        Self { thread, lifetime: PhantomData }
    }

    #[inline]
    pub(super) fn address(self) -> *mut lua_State {
        self.thread
    }

    /// Whether no frame of C keeps it from being left.
    #[inline]
    pub(super) fn is_yieldable(self) -> bool {
        // SAFETY: by the contract of `new`.
        unsafe { ffi::lua_isyieldable(self.thread) != 0 }
    }

    /// Calls inside calls.
    pub(super) fn depth(self) -> u32 {
        // SAFETY: by the contract of `new`.
        unsafe { ffi::lua_stackdepth(self.thread) }.unsigned_abs()
    }

    /// Leaves it at the next opportunity. Throws where it is not [yieldable](Self::is_yieldable). Returns what a C function
    /// has to return that breaks.
    pub(super) fn break_here(self) -> c_int {
        // SAFETY: by the contract of `new`.
        unsafe { ffi::lua_break(self.thread) }
    }

    /// Throws an error.
    pub(super) fn throw(self, message: &CStr) -> ! {
        // SAFETY: by the contract of `new`. Its stack may be full, so a slot is made first.
        unsafe { ffi::lua_rawcheckstack(self.thread, 1) };
        // SAFETY: there is room.
        unsafe { ffi::lua_pushstring(self.thread, message.as_ptr()) };
        // SAFETY: the error is on top.
        unsafe { ffi::lua_error(self.thread) }
    }
}
