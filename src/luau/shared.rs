//! What belongs to a Luau state and is reached from the functions that it calls.

use std::cell::UnsafeCell;

use mlua::ffi::{self, lua_Callbacks};

use super::context::Context;
use super::slice::Slice;
use super::stack::Coroutine;
use super::thread::OwnThread;

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

impl<'a> OwnThread<'a> {
    /// What Luau calls on its own. It lives as long as the state.
    #[inline]
    pub(super) fn callbacks(self) -> *mut lua_Callbacks {
        // SAFETY: by the contract of `new`.
        unsafe { ffi::lua_callbacks(self.address()) }
    }

    /// Changes what Luau calls on its own.
    pub(super) fn with_callbacks(self, f: impl FnOnce(&mut lua_Callbacks)) {
        // SAFETY: they live as long as the state, and nobody keeps a reference to them.
        f(unsafe { &mut *self.callbacks() })
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

    /// Ends what it is in the middle of, and empties its stack. Luau cannot go on with one that was reset by half, so it
    /// gets the memory that this takes. Does nothing if it runs.
    pub(super) fn reset(self) {
        let stack = self.stack();
        if stack.coroutine() == Coroutine::Running && stack.status() != ffi::LUA_BREAK {
            return;
        }
        let _guard = self.slice().grant_all_memory();
        // SAFETY: it is live and does not run.
        unsafe { ffi::lua_resetthread(self.address()) }
    }
}
