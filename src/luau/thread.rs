//! The threads of a state: how they are found, kept, looked at and resumed.

use std::ffi::c_int;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use mlua::ffi::{self, lua_State};

use super::notes::Notes;
use super::stack::Stack;

/// A thread of a state that we opened.
///
/// Luau keeps it alive for as long as nothing is collected. That happens only where the whole state is borrowed
/// ([`control_collector`](super::LuauState::control_collector)), so never while somebody has a [`Stack`] of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnThread<'a> {
    thread: NonNull<lua_State>,
    lifetime: PhantomData<&'a lua_State>,
}

impl<'a> OwnThread<'a> {
    /// # Safety
    ///
    /// `thread` must be live for `'a`, and belong to a state that [`LuauState::open`](super::LuauState::open) made.
    #[inline]
    pub(super) unsafe fn new(thread: *mut lua_State) -> Self {
        // SAFETY: what is live is somewhere.
        Self { thread: unsafe { NonNull::new_unchecked(thread) }, lifetime: PhantomData }
    }

    #[inline]
    pub(super) fn address(self) -> *mut lua_State {
        self.thread.as_ptr()
    }

    /// To be kept for as long as something anchors it.
    ///
    /// # Safety
    ///
    /// Something must keep the thread alive for as long as what this returns, or a copy of it, is used.
    #[inline]
    pub(super) unsafe fn anchored(self) -> Anchored {
        // SAFETY: by the contract.
        unsafe { Anchored::new(self.address()) }
    }

    /// Its stack, to be used for one thing at a time, between which the thread does not run.
    #[inline]
    pub(super) fn stack(self) -> Stack<'a> {
        // SAFETY: it is live by the contract of `new`. Whatever changes it meanwhile, a stack finds out anew what is there.
        unsafe { Stack::new(self.address()) }
    }

    /// What is noted on it.
    #[inline]
    pub(super) fn notes(self) -> Notes {
        // SAFETY: by the contract of `new`.
        unsafe { Notes::of(self.address()) }
    }

    /// Resumes it with so many values of its stack. `from` passes the depth of C calls on. Returns its status when it has
    /// stopped. What cannot be resumed gets an error on top of its stack.
    #[inline]
    pub(super) fn resume(self, from: Option<Self>, arguments: c_int) -> c_int {
        let arguments = if arguments > 0 { arguments.min(self.stack().top()) } else { 0 };
        let from = from.map_or(ptr::null_mut(), Self::address);
        // SAFETY: both are live by the contract of `new`, and there are so many values. Luau refuses threads that run or
        // have ended. It catches every error inside, and our callbacks do not panic.
        unsafe { ffi::lua_resume_(self.address(), from, arguments) }
    }
}

/// A thread that something keeps alive for whoever has this: a root by its anchor, a task by the table of its process, a
/// thread of a break chain by the one below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchored(NonNull<lua_State>);

impl Anchored {
    /// # Safety
    ///
    /// `thread` must be of a state that [`LuauState::open`](super::LuauState::open) made. Something must keep it alive for
    /// as long as this or a copy is used.
    #[inline]
    pub(super) unsafe fn new(thread: *mut lua_State) -> Self {
        // SAFETY: what is live is somewhere.
        Self(unsafe { NonNull::new_unchecked(thread) })
    }

    #[inline]
    pub(super) fn address(self) -> *mut lua_State {
        self.0.as_ptr()
    }

    #[inline]
    pub(super) fn get(&self) -> OwnThread<'_> {
        OwnThread { thread: self.0, lifetime: PhantomData }
    }
}

impl<'s> Stack<'s> {
    /// The thread whose stack this is.
    #[inline]
    pub(super) fn own(&self) -> OwnThread<'s> {
        // SAFETY: by the contract of `Stack::new`.
        unsafe { OwnThread::new(self.thread()) }
    }

    /// The main thread of the state.
    pub(super) fn main_thread(&self) -> OwnThread<'s> {
        // SAFETY: it lives as long as its state.
        unsafe { OwnThread::new(self.main_address()) }
    }

    /// The thread at an index.
    pub(super) fn thread_at(&self, index: i32) -> Option<OwnThread<'s>> {
        // SAFETY: Luau has it on a stack, and nothing is collected while somebody has a stack.
        self.thread_address(index).map(|thread| unsafe { OwnThread::new(thread) })
    }

    /// Pushes a new thread.
    pub(super) fn push_thread(&mut self) -> OwnThread<'s> {
        // SAFETY: as above.
        unsafe { OwnThread::new(self.push_new_thread()) }
    }
}
