//! Loading what turns need before they come: those of this heap's processes, then those of the heap that is next.
//!
//! Among hundreds of thousands of processes nothing of one is in the caches when its turn comes, and a slice is over
//! before the first of it would have been loaded.

use super::{Heap, SlotId};
use crate::runtime::luau::{LuauState, prefetch};

/// How many turns ahead a process's thread is prefetched.
const THREAD_AHEAD: usize = 24;

/// How many turns ahead its call frame and stack are: where they are stands in the thread.
const FRAME_AHEAD: usize = 12;

/// How many turns ahead its function is: where that is stands on the stack.
const FUNCTION_AHEAD: usize = 4;

/// Starts loading what the first turns need.
pub(super) fn prefetch_first(state: &LuauState, upcoming: &[SlotId]) {
    (0..=THREAD_AHEAD).rev().for_each(|before| prefetch_turns(state, upcoming, before));
}

/// Starts loading what turns need that come later. To be called in each turn, with those that come `next` in this heap,
/// and the heap that follows, if that is known.
#[inline]
pub(super) fn prefetch_next(state: &LuauState, next: &[SlotId], next_heap: Option<&Heap>) {
    // With all of them there at once there is nothing to check for each.
    match next.first_chunk::<{ THREAD_AHEAD + 1 }>() {
        Some(turns) => prefetch_turns(state, turns, 0),
        None => prefetch_last(state, next, next_heap),
    }
}

#[cold]
fn prefetch_last(state: &LuauState, next: &[SlotId], next_heap: Option<&Heap>) {
    prefetch_turns(state, next, 0);
    if let Some(heap) = next_heap {
        heap.prefetch_soon(next.len());
    }
}

/// Starts loading what some of `turns` need, when so many others come `before` them.
#[inline]
fn prefetch_turns(state: &LuauState, turns: &[SlotId], before: usize) {
    let thread = |ahead: usize| Some(turns.get(ahead.checked_sub(before)?)?.thread());
    state.prefetch(thread(THREAD_AHEAD), thread(FRAME_AHEAD), thread(FUNCTION_AHEAD));
}

impl Heap {
    /// Starts loading what a pass over this heap begins with, for when it is the next.
    pub(super) fn prefetch(&self) {
        prefetch(self);
        prefetch(self.queue.upcoming());
        prefetch(self.slots.as_slice());
        prefetch(&self.accounts[..]);
        if let Some(state) = &self.state {
            state.prefetch_parts();
        }
    }

    /// Starts loading what the first turns need, when so many turns of another heap come `before` them.
    fn prefetch_soon(&self, before: usize) {
        let Some(state) = &self.state else { return };
        if before == THREAD_AHEAD {
            state.prefetch_globals(); // once is enough
        }
        prefetch_turns(state, self.queue.upcoming(), before);
    }
}
