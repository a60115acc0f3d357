//! Loading what turns need before they come.
//!
//! Among hundreds of thousands of processes nothing of one is in the caches when its turn comes, and a slice is over
//! before the first of it would have been loaded. An isolate with many turns looks ahead from each to later ones, those of
//! the isolate that is next included. Where each of several isolates has few turns, they are [loaded
//! together](Isolate::prefetch_batch).

use std::time::Duration;

use super::{Isolate, SlotId};
use crate::luau::{LuauState, prefetch};

/// How many turns ahead a process's thread is prefetched.
const THREAD_AHEAD: usize = 24;

/// How many turns ahead its call frame and stack are: where they are stands in the thread.
const FRAME_AHEAD: usize = 14;

/// How many turns ahead its function is: where that is stands on the stack.
const FUNCTION_AHEAD: usize = 6;

/// With up to so many turns, an isolate is over before what it looks ahead to could have been loaded.
const FEW_TURNS: usize = 8;

/// Fewer turns are over before it pays to look for all pages of an isolate.
const MANY_TURNS: usize = 64;

/// Starts loading what turns need that come later. To be called in each turn, with those that come `next` in this isolate,
/// and the isolate that follows, if that is known.
#[inline]
pub(super) fn prefetch_next(state: &LuauState, next: &[SlotId], next_heap: Option<&Isolate>) {
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
fn prefetch_last(state: &LuauState, next: &[SlotId], next_heap: Option<&Isolate>) {
    let next_heap = next_heap.and_then(|isolate| Some((isolate.state.as_ref()?, isolate.queue.upcoming())));
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

impl Isolate {
    /// Starts loading what passes over this isolate and `later` ones begin with. To be called before each pass, with what
    /// it returned before the one that comes before, or `false`: whether that pass will look ahead to this one.
    pub(crate) fn prefetch_ahead(&self, is_prefetched: bool, later: &[&mut Self]) -> bool {
        if !is_prefetched && let Some(state) = &self.state {
            let first = |count: usize| self.queue.upcoming().iter().take(count).map(|id| id.thread());
            first(THREAD_AHEAD + 1).for_each(|thread| state.prefetch_thread(thread));
            first(FRAME_AHEAD + 1).for_each(|thread| state.prefetch_frame(thread));
            first(FUNCTION_AHEAD + 1).for_each(|thread| state.prefetch_function(thread));
        }
        let [next, after_next @ ..] = later else { return false };
        if let Some(isolate) = after_next.first() {
            prefetch(&**isolate); // then it tells at once where its parts are
        }
        next.prefetch_parts();
        self.queue.upcoming().len() > THREAD_AHEAD
    }

    /// Whether passes over isolates like this one are to be [loaded together](Self::prefetch_batch).
    pub(crate) fn has_few_turns(&self) -> bool {
        self.queue.upcoming().len() <= FEW_TURNS
    }

    /// Starts loading what passes over these isolates need, which [have few turns](Self::has_few_turns). Where a thing is
    /// stands in one that was loaded before it: each step is taken for all isolates, before the next one reads what it has
    /// loaded.
    pub(crate) fn prefetch_batch(isolates: &[&mut Self]) {
        const STEPS: [fn(&Isolate, &LuauState); 6] = [
            // Where the isolate says.
            |isolate, state| {
                state.prefetch_parts();
                isolate.waiting.prefetch_looked_at();
                prefetch(isolate.queue.upcoming());
            },
            // Where its parts say, and whose turn it is.
            |isolate, state| {
                state.prefetch_globals();
                isolate.each_turn(|id| {
                    prefetch(&isolate.slots[id.slot]);
                    state.prefetch_process(id.thread());
                });
            },
            // Where slots and entries of threads say.
            |isolate, state| {
                isolate.each_turn(|id| {
                    prefetch(&isolate.accounts[isolate.slots[id.slot].place as usize]);
                    state.prefetch_thread(id.thread());
                });
            },
            // Where threads say.
            |isolate, state| isolate.each_turn(|id| state.prefetch_frames(id.thread())),
            // Meanwhile, where only Luau knows.
            |isolate, state| isolate.each_turn(|id| state.load_category(isolate.slots[id.slot].category)),
            // Where frames and stacks say.
            |isolate, state| isolate.each_turn(|id| state.prefetch_functions(id.thread())),
        ];
        isolates.iter().for_each(|isolate| prefetch(&**isolate));
        for step in STEPS {
            for isolate in isolates {
                isolate.state.iter().for_each(|state| step(isolate, state));
            }
        }
    }

    /// Starts loading what these isolates need to [wake](Self::wake) their processes, as [`Isolate::prefetch_batch`] does.
    pub(crate) fn prefetch_timers(isolates: &[&mut Self], now: Duration) {
        isolates.iter().for_each(|isolate| prefetch(&**isolate));
        for isolate in isolates {
            isolate.waiting.prefetch_soon();
            prefetch(isolate.queue.end());
        }
        for isolate in isolates {
            for id in isolate.waiting.due(now.into()) {
                prefetch(&isolate.slots[id.slot]);
                isolate.state.iter().for_each(|state| state.prefetch_thread_entry(id.thread()));
            }
        }
    }

    fn each_turn(&self, f: impl Fn(SlotId)) {
        self.queue.upcoming().iter().take(FEW_TURNS).for_each(|&id| f(id));
    }

    /// Starts loading what all turns need of an isolate.
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
            state.prefetch_tlb(); // last, since it needs one of the parts
        }
    }
}
