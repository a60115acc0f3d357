//! Loading what turns need before they come.
//!
//! Among hundreds of thousands of processes nothing of one is in the caches when its turn comes, and a slice is over
//! before the first of it would have been loaded. A heap with many turns looks ahead from each to later ones, those of
//! the heap that is next included. Where each of several heaps has few turns, they are [loaded
//! together](Heap::load_together).

use std::time::Duration;

use super::{Heap, SlotId};
use crate::runtime::luau::{LuauState, prefetch};

/// How many turns ahead a process's thread is prefetched.
const THREAD_AHEAD: usize = 24;

/// How many turns ahead its call frame and stack are: where they are stands in the thread.
const FRAME_AHEAD: usize = 14;

/// How many turns ahead its function is: where that is stands on the stack.
const FUNCTION_AHEAD: usize = 6;

/// With up to so many turns, a heap is over before what it looks ahead to could have been loaded.
const FEW_TURNS: usize = 8;

/// Fewer turns are over before it pays to look for all pages of a heap.
const MANY_TURNS: usize = 64;

/// Starts loading what turns need that come later. To be called in each turn, with those that come `next` in this heap,
/// and the heap that follows, if that is known.
#[inline]
pub(super) fn prefetch_next(state: &LuauState, next: &[SlotId], next_heap: Option<&Heap>) {
    // With all of them there at once there is nothing to check for each.
    match next.first_chunk::<{ THREAD_AHEAD + 1 }>() {
        Some(turns) => {
            state.prefetch_thread(turns[THREAD_AHEAD].thread());
            state.prefetch_frame(turns[FRAME_AHEAD].thread());
            state.prefetch_function(turns[FUNCTION_AHEAD].thread());
        }
        None => prefetch_last(state, next, next_heap),
    }
}

#[cold]
fn prefetch_last(state: &LuauState, next: &[SlotId], next_heap: Option<&Heap>) {
    let next_heap = next_heap.and_then(|heap| Some((heap.state.as_ref()?, heap.queue.upcoming())));
    let turn = |ahead: usize| match next.get(ahead) {
        Some(id) => Some((state, id.thread())),
        None => next_heap.and_then(|(state, turns)| Some((state, turns.get(ahead - next.len())?.thread()))),
    };
    if let Some((state, thread)) = turn(THREAD_AHEAD) {
        state.prefetch_thread(thread);
    }
    if let Some((state, thread)) = turn(FRAME_AHEAD) {
        state.prefetch_frame(thread);
    }
    if let Some((state, thread)) = turn(FUNCTION_AHEAD) {
        state.prefetch_function(thread);
    }
    if next.len() == THREAD_AHEAD
        && let Some((state, _)) = next_heap
    {
        state.prefetch_globals(); // once is enough
    }
}

impl Heap {
    /// Starts loading what passes over this heap and `later` ones begin with. To be called before each pass, with what
    /// it returned before the one that comes before, or `false`: whether that pass will look ahead to this one.
    pub(crate) fn look_ahead(&self, is_foreseen: bool, later: &[&mut Self]) -> bool {
        if !is_foreseen && let Some(state) = &self.state {
            let first = |count: usize| self.queue.upcoming().iter().take(count).map(|id| id.thread());
            first(THREAD_AHEAD + 1).for_each(|thread| state.prefetch_thread(thread));
            first(FRAME_AHEAD + 1).for_each(|thread| state.prefetch_frame(thread));
            first(FUNCTION_AHEAD + 1).for_each(|thread| state.prefetch_function(thread));
        }
        let [next, after_next @ ..] = later else { return false };
        if let Some(heap) = after_next.first() {
            prefetch(&**heap); // then it tells at once where its parts are
        }
        next.prefetch_parts();
        self.queue.upcoming().len() > THREAD_AHEAD
    }

    /// Whether passes over heaps like this one are to be [loaded together](Self::load_together).
    pub(crate) fn has_few_turns(&self) -> bool {
        self.queue.upcoming().len() <= FEW_TURNS
    }

    /// Starts loading what passes over these heaps need, which [have few turns](Self::has_few_turns). Where a thing is
    /// stands in one that was loaded before it: each step is taken for all heaps, before the next one reads what it has
    /// loaded.
    pub(crate) fn load_together(heaps: &[&mut Self]) {
        const STEPS: [fn(&Heap, &LuauState); 6] = [
            // Where the heap says.
            |heap, state| {
                state.prefetch_parts();
                heap.waiting.prefetch_looked_at();
                prefetch(heap.queue.upcoming());
            },
            // Where its parts say, and whose turn it is.
            |heap, state| {
                state.prefetch_globals();
                heap.each_turn(|id| {
                    prefetch(&heap.slots[id.slot]);
                    state.prefetch_process(id.thread());
                });
            },
            // Where slots and entries of threads say.
            |heap, state| {
                heap.each_turn(|id| {
                    prefetch(&heap.accounts[heap.slots[id.slot].place as usize]);
                    state.prefetch_thread(id.thread());
                });
            },
            // Where threads say.
            |heap, state| heap.each_turn(|id| state.prefetch_frames(id.thread())),
            // Meanwhile, where only Luau knows.
            |heap, state| heap.each_turn(|id| state.load_category(heap.slots[id.slot].category)),
            // Where frames and stacks say.
            |heap, state| heap.each_turn(|id| state.prefetch_functions(id.thread())),
        ];
        heaps.iter().for_each(|heap| prefetch(&**heap));
        for step in STEPS {
            for heap in heaps {
                heap.state.iter().for_each(|state| step(heap, state));
            }
        }
    }

    /// Starts loading what these heaps need to [wake](Self::wake) their processes, as [`Heap::load_together`] does.
    pub(crate) fn load_timers_together(heaps: &[&mut Self], now: Duration) {
        heaps.iter().for_each(|heap| prefetch(&**heap));
        for heap in heaps {
            heap.waiting.prefetch_soon();
            prefetch(heap.queue.end());
        }
        for heap in heaps {
            for id in heap.waiting.due(now.into()) {
                prefetch(&heap.slots[id.slot]);
                heap.state.iter().for_each(|state| state.prefetch_thread_entry(id.thread()));
            }
        }
    }

    fn each_turn(&self, f: impl Fn(SlotId)) {
        self.queue.upcoming().iter().take(FEW_TURNS).for_each(|&id| f(id));
    }

    /// Starts loading what all turns need of a heap.
    fn prefetch_parts(&self) {
        prefetch(self);
        if let Some(state) = &self.state {
            state.prefetch_parts();
            state.prefetch_threads();
        }
        prefetch(self.queue.upcoming());
        prefetch(self.slots.as_slice());
        prefetch(&self.accounts[..]);
        if let Some(state) = &self.state
            && self.queue.upcoming().len() > MANY_TURNS
        {
            state.prefetch_translations(); // last, since it needs one of the parts
        }
    }
}
