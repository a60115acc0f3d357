//! What belongs to a Luau state and is reached from the functions that it calls.

use std::cell::UnsafeCell;
use std::marker::PhantomData;

use mlua::ffi::{self, lua_Callbacks, lua_State};

use super::context::Context;
use super::notes::Notes;
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

    /// Where the VM of the process is that runs.
    ///
    /// # Safety
    ///
    /// Nobody may have a mutable reference to the context.
    pub(super) unsafe fn running_vm(&self) -> usize {
        // SAFETY: by the contract.
        let context = unsafe { &*self.context.get() };
        context.callers[context.index.at()].vm.at()
    }
}

/// A thread of a state that we opened.
#[derive(Clone, Copy)]
pub(super) struct OwnThread<'a> {
    thread: *mut lua_State,
    lifetime: PhantomData<&'a Shared>,
}

impl<'a> OwnThread<'a> {
    /// # Safety
    ///
    /// `thread` must be live for `'a`, and belong to a state that [`LuauState::open`](super::LuauState::open) made.
    #[inline]
    pub(super) unsafe fn new(thread: *mut lua_State) -> Self {
        Self { thread, lifetime: PhantomData }
    }

    #[inline]
    pub(super) fn address(self) -> *mut lua_State {
        self.thread
    }

    /// What Luau calls on its own. It lives as long as the state.
    #[inline]
    pub(super) fn callbacks(self) -> *mut lua_Callbacks {
        // SAFETY: by the contract of `new`.
        unsafe { ffi::lua_callbacks(self.thread) }
    }

    /// What belongs to its state.
    #[inline]
    pub(super) fn shared(self) -> &'a Shared {
        // SAFETY: the callbacks live as long as their state, and nobody has a mutable reference to them.
        let shared = unsafe { (*self.callbacks()).userdata }.cast::<Shared>();
        // SAFETY: `open` puts one there before anything else is done with the state. What changes in it is in cells.
        unsafe { &*shared }
    }

    /// The slice of its state.
    #[inline]
    pub(super) fn slice(self) -> &'a Slice {
        &self.shared().slice
    }

    /// What is noted on it.
    #[inline]
    pub(super) fn notes(self) -> Notes {
        // SAFETY: by the contract of `new`.
        unsafe { Notes::of(self.thread) }
    }
}
