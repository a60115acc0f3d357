//! Loading what turns need before it is their turn.
//!
//! Among hundreds of thousands of processes nothing of one is in the caches when its turn comes, and a slice is over
//! before the first of it would have been loaded. In an isolate with many turns each turn prefetches for later ones,
//! those of the next isolate included. Isolates with few turns are prefetched in [batches](Isolate::prefetch_batch).

use std::time::Duration;

use super::Isolate;
use super::keys::ProcessKey;
use crate::luau::{LuauState, prefetch};
use crate::types::ProcessIndex;

/// How many turns ahead a process's thread is prefetched.
const THREAD_AHEAD: usize = 24;

/// How many turns ahead its call frame and stack are: where they are stands in the thread.
const FRAME_AHEAD: usize = 14;

/// How many turns ahead its function is: where that is stands on the stack.
const FUNCTION_AHEAD: usize = 6;

/// With up to so many turns, an isolate is done before what it prefetches has been loaded.
const FEW_TURNS: usize = 8;

/// With fewer turns, it does not pay to load the TLB entries of all pages of an isolate.
const MANY_TURNS: usize = 64;

/// Starts loading what later turns need. To be called in each turn, with the turns that follow in this isolate, and
/// the next isolate, if that is known.
#[inline]
pub(super) fn prefetch_next(state: &LuauState, turns: &[ProcessKey], next: Option<&Isolate>) {
    // With all of them there at once there is nothing to check for each.
    match turns.first_chunk::<{ THREAD_AHEAD + 1 }>() {
        Some(turns) => {
            state.prefetch_thread(turns[THREAD_AHEAD].index);
            state.prefetch_frame(turns[FRAME_AHEAD].index);
            state.prefetch_function(turns[FUNCTION_AHEAD].index);
        }
        None => prefetch_last(state, turns, next),
    }
}

#[cold]
fn prefetch_last(state: &LuauState, turns: &[ProcessKey], next: Option<&Isolate>) {
    let next = next.and_then(|isolate| Some((isolate.luau()?, isolate.processes.queue.upcoming())));
    let turn = |ahead: usize| match turns.get(ahead) {
        Some(process) => Some((state, process.index)),
        None => next.and_then(|(state, next)| Some((state, next.get(ahead - turns.len())?.index))),
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
    if turns.len() == THREAD_AHEAD
        && let Some((state, _)) = next
    {
        state.prefetch_globals(); // once is enough
    }
}

impl Isolate {
    fn luau(&self) -> Option<&LuauState> {
        self.state.as_ref().map(|state| &state.luau)
    }

    /// Starts loading what passes over this isolate and `later` ones begin with. To be called before each pass. Returns
    /// whether this pass will prefetch for the next one, which is to be told so as `is_prefetched`.
    pub(crate) fn prefetch_ahead(&self, is_prefetched: bool, later: &[&mut Self]) -> bool {
        if !is_prefetched && let Some(state) = self.luau() {
            let first = |count: usize| self.turns().iter().take(count).map(|process| process.index);
            first(THREAD_AHEAD + 1).for_each(|thread| state.prefetch_thread(thread));
            first(FRAME_AHEAD + 1).for_each(|thread| state.prefetch_frame(thread));
            first(FUNCTION_AHEAD + 1).for_each(|thread| state.prefetch_function(thread));
        }
        let [next, after_next @ ..] = later else { return false };
        if let Some(isolate) = after_next.first() {
            prefetch(&**isolate); // its parts are prefetched in the next call
        }
        next.prefetch_parts();
        self.turns().len() > THREAD_AHEAD
    }

    /// Whether this isolate is to be prefetched in a [batch](Self::prefetch_batch).
    pub(crate) fn has_few_turns(&self) -> bool {
        self.turns().len() <= FEW_TURNS
    }

    /// Starts loading what passes over these isolates need, which [have few turns](Self::has_few_turns). The address
    /// of each thing stands in one that was loaded before it. So each step is taken for all isolates, before the next
    /// step reads what it has loaded.
    pub(crate) fn prefetch_batch(isolates: &[&mut Self]) {
        const STEPS: [fn(&Isolate, &LuauState); 6] = [
            // What the isolate points to.
            |isolate, state| {
                state.prefetch_parts();
                isolate.waits.prefetch_insertion();
                prefetch(isolate.turns());
            },
            // What its parts point to, and the processes whose turn it is.
            |isolate, state| {
                state.prefetch_globals();
                isolate.each_turn(|process| {
                    prefetch(&isolate.processes[process]);
                    state.prefetch_process(process);
                });
            },
            // What the processes point to.
            |isolate, state| {
                isolate.each_turn(|process| {
                    prefetch(isolate.vms.account(isolate.processes[process].vm));
                    state.prefetch_thread(process);
                });
            },
            // What the threads point to.
            |isolate, state| isolate.each_turn(|process| state.prefetch_frames(process)),
            // Meanwhile, what only Luau can find.
            |isolate, state| {
                isolate.each_turn(|process| state.load_category(isolate.processes[process].category));
            },
            // What frames and stacks point to.
            |isolate, state| isolate.each_turn(|process| state.prefetch_functions(process)),
        ];
        isolates.iter().for_each(|isolate| prefetch(&**isolate));
        for step in STEPS {
            for isolate in isolates {
                isolate.luau().iter().for_each(|state| step(isolate, state));
            }
        }
    }

    /// Starts loading what these isolates need to [wake](Self::wake) their processes, as [`Isolate::prefetch_batch`]
    /// does.
    pub(crate) fn prefetch_timers(isolates: &[&mut Self], now: Duration) {
        isolates.iter().for_each(|isolate| prefetch(&**isolate));
        for isolate in isolates {
            isolate.waits.prefetch_soon();
            prefetch(isolate.processes.queue.end());
        }
        for isolate in isolates {
            for ProcessKey { index, .. } in isolate.waits.soon(now.into()) {
                prefetch(&isolate.processes[index]);
                isolate.luau().iter().for_each(|state| state.prefetch_thread_entry(index));
            }
        }
    }

    /// The turns that are left of the current pass.
    fn turns(&self) -> &[ProcessKey] {
        self.processes.queue.upcoming()
    }

    fn each_turn(&self, f: impl Fn(ProcessIndex)) {
        self.turns().iter().take(FEW_TURNS).for_each(|process| f(process.index));
    }

    /// Starts loading what all turns need of an isolate.
    fn prefetch_parts(&self) {
        prefetch(self);
        if let Some(state) = self.luau() {
            state.prefetch_parts();
            state.prefetch_threads();
        }
        prefetch(self.turns());
        prefetch(&self.processes.records[..]);
        prefetch(&self.vms.accounts[..]);
        if let Some(state) = self.luau()
            && self.turns().len() > MANY_TURNS
        {
            state.prefetch_tlb(); // last, since it needs one of the parts
        }
    }
}
