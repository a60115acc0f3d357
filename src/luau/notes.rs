//! What is noted on a thread: whose it is, and marks. Luau keeps one word for that with each.

use std::ptr;

use mlua::ffi::{self, lua_State};

/// A thing that may hold of a thread.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    /// It belongs to the scheduler of its process: see [`ThreadState`](super::slice::ThreadState).
    Scheduled = 1,
    /// It is suspended inside a function that waits.
    Waits = 2,
    /// It is a main chunk or a handler for whose thread its script has asked.
    Known = 3,
    /// Others wait for its end.
    Joined = 4,
    /// It is a handler: it runs a function that the game has called, or a signal.
    Handler = 5,
    /// It has failed, and the game has been told.
    Reported = 6,
}

impl Mark {
    /// One of the highest bits.
    const fn bit(self) -> usize {
        1 << (usize::BITS - self as u32)
    }
}

/// The bits of all marks.
const MARKS: usize = !(usize::MAX >> Mark::Reported as u32);

/// See the [module](self).
#[derive(Clone, Copy)]
pub(super) struct Notes(*mut lua_State);

impl Notes {
    /// # Safety
    ///
    /// `thread` must be live for as long as this is used, and of a state that
    /// [`LuauState::open`](super::LuauState::open) made.
    #[inline]
    pub(super) unsafe fn of(thread: *mut lua_State) -> Self {
        Self(thread)
    }

    #[inline]
    fn word(self) -> usize {
        // SAFETY: by the contract of `of`.
        unsafe { ffi::lua_getthreaddata(self.0) }.addr()
    }

    fn set_word(self, word: usize) {
        // SAFETY: by the contract of `of`. Nobody uses it as an address.
        unsafe { ffi::lua_setthreaddata(self.0, ptr::without_provenance_mut(word)) }
    }

    /// The number of its owner, 0 if none was set.
    pub(super) fn owner(self) -> usize {
        self.word() & !MARKS
    }

    pub(super) fn set_owner(self, owner: usize) {
        self.set_word(owner & !MARKS | self.word() & MARKS);
    }

    #[inline]
    pub(super) fn has(self, mark: Mark) -> bool {
        self.word() & mark.bit() != 0
    }

    /// Whether no mark is set.
    #[inline]
    pub(super) fn is_unmarked(self) -> bool {
        self.word() & MARKS == 0
    }

    /// Whether somebody may have to be told how it ends.
    #[inline]
    pub(super) fn is_awaited(self) -> bool {
        self.word() & (Mark::Joined.bit() | Mark::Handler.bit()) != 0
    }

    pub(super) fn mark(self, mark: Mark) {
        self.set_word(self.word() | mark.bit());
    }

    pub(super) fn unmark(self, mark: Mark) {
        self.set_word(self.word() & !mark.bit());
    }

    /// Takes all marks off a thread that starts again.
    pub(super) fn clear_marks(self) {
        self.set_word(self.owner());
    }
}
