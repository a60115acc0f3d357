//! Stacks of their own on which slices run, so that code which cannot be preempted otherwise can be left where it is.

use std::cell::RefCell;
use std::io;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use mlua::ffi::lua_State;

/// Bytes of a stack. Only the pages that are used take memory. Luau's deepest nesting needs 384 KiB where it is
/// optimised.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 4 << 20 } else { 1 << 20 };

/// Stacks that each operating-system thread keeps for its next fibers.
const MAX_POOLED: usize = 64;

/// Why a fiber hands control back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// It stopped in the middle of a slice, in code that cannot be preempted otherwise. It is resumed when the process
    /// has its next slice.
    Parked,
    /// It wants a process that is parked on another fiber to have its slice.
    ResumeParked,
}

/// By which a fiber hands control back.
pub(super) type Yielder = corosensei::Yielder<(), Event>;

/// A function that can stop in the middle, with the stack on which it runs.
pub(super) struct Fiber(Coroutine<(), Event, ()>);

// SAFETY: what is on its stack while it is not running are frames of Luau, which is not tied to an operating-system thread,
// and of our own code, which keeps nothing there that is: addresses in the Luau state, and plain data.
unsafe impl Send for Fiber {}

/// A process in the middle of a slice.
pub(in super::super) struct Parked {
    pub(super) fiber: Fiber,
    pub(super) yielder: *const Yielder,
    /// The thread that was resumed.
    pub(super) bottom: *mut lua_State,
    /// The coroutines that run on top of it, outermost first.
    pub(super) running: Vec<*mut lua_State>,
    /// The index of its VM.
    pub(super) vm: usize,
}

thread_local! {
    /// Only used between slices, never across one.
    static POOL: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

impl Fiber {
    /// A fiber that will run `f`.
    ///
    /// # Errors
    ///
    /// When there is no memory for its stack.
    ///
    /// # Safety
    ///
    /// What `f` borrows must live until the fiber has returned.
    pub(super) unsafe fn new(f: impl FnOnce(&Yielder)) -> io::Result<Self> {
        let pooled = POOL.with_borrow_mut(Vec::pop);
        let stack = pooled.map_or_else(|| DefaultStack::new(STACK_BYTES), Ok)?;
        // SAFETY: by the contract. It is never dropped before it has returned.
        Ok(Self(unsafe { Coroutine::with_stack_unchecked(stack, |yielder, ()| f(yielder)) }))
    }

    /// Runs it until it hands control back. `None` if it has returned: then it must be [given back](Self::give_back).
    pub(super) fn resume(&mut self) -> Option<Event> {
        match self.0.resume(()) {
            CoroutineResult::Yield(event) => Some(event),
            CoroutineResult::Return(()) => None,
        }
    }

    /// Keeps the stack of a fiber that has returned for the next one.
    pub(super) fn give_back(self) {
        let stack = self.0.into_stack();
        POOL.with_borrow_mut(|pool| {
            if pool.len() < MAX_POOLED {
                pool.push(stack);
            }
        });
    }
}
