//! A thread that runs, and what may be done to it from inside.

use std::ffi::{CStr, c_int};
use std::ops::Deref;

use mlua::ffi::{self, lua_State};

use crate::luau::thread::OwnThread;

/// A thread of a process that runs, or waits for one that it has resumed.
///
/// What throws does so as Luau's functions do: it passes through our frames like a panic and drops what they hold.
#[derive(Clone, Copy)]
pub(in super::super) struct Running<'a>(OwnThread<'a>);

/// The same, where it runs a C function that has a continuation: it can be left there.
#[derive(Clone, Copy)]
pub(in super::super) struct Leavable<'a>(Running<'a>);

impl<'a> Running<'a> {
    /// # Safety
    ///
    /// `thread` must be live, of a state that we opened, and run or wait for one that it has resumed, for as long as
    /// this is used.
    #[inline]
    pub(in super::super) unsafe fn new(thread: *mut lua_State) -> Self {
        // SAFETY: by the contract.
        Self(unsafe { OwnThread::new(thread) })
    }

    /// # Safety
    ///
    /// It must run a C function with a continuation, which returns at once what it is given to return.
    #[inline]
    pub(in super::super) unsafe fn leavable(self) -> Leavable<'a> {
        Leavable(self)
    }

    /// Whether no frame of C keeps it from being left.
    #[inline]
    pub(super) fn is_yieldable(self) -> bool {
        // SAFETY: by the contract of `new`.
        unsafe { ffi::lua_isyieldable(self.address()) != 0 }
    }

    /// Calls inside calls.
    pub(super) fn depth(self) -> u32 {
        // SAFETY: by the contract of `new`.
        unsafe { ffi::lua_stackdepth(self.address()) }.unsigned_abs()
    }

    /// Leaves it at the next opportunity. Throws where it is not [yieldable](Self::is_yieldable). Returns what a C function
    /// has to return that breaks.
    pub(super) fn break_here(self) -> c_int {
        // SAFETY: by the contract of `new`.
        unsafe { ffi::lua_break(self.address()) }
    }

    /// Leaves it: who has resumed it goes on. Otherwise as [`break_here`](Self::break_here).
    pub(super) fn yield_here(self) -> c_int {
        // SAFETY: by the contract of `new`.
        unsafe { ffi::lua_yield(self.address(), 0) }
    }

    /// Throws an error.
    pub(super) fn throw(self, message: &CStr) -> ! {
        self.stack().throw_text(message)
    }
}

impl<'a> Deref for Running<'a> {
    type Target = OwnThread<'a>;

    #[inline]
    fn deref(&self) -> &OwnThread<'a> {
        &self.0
    }
}

impl<'a> Deref for Leavable<'a> {
    type Target = Running<'a>;

    #[inline]
    fn deref(&self) -> &Running<'a> {
        &self.0
    }
}
