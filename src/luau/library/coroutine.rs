//! The functions of `coroutine` that must know of the scheduler. Luau tells us of resumes by itself.

use super::call::{Call, Entry, Returned};
use super::{Replacement, replacement};
use crate::luau::slice::ThreadState;

pub(super) const REPLACEMENTS: &[Replacement] = &[
    replacement(c"coroutine", Entry::new(c"close", close)),
    replacement(c"coroutine", Entry::new(c"running", running)),
];

/// `coroutine.close(thread)`: also what it waits for ends.
fn close(mut call: Call<'_>) -> Returned<'_> {
    if matches!(call.thread_state(1), Some(ThreadState::Scheduled | ThreadState::Suspended)) {
        call.prepare_close(1);
    }
    Ok(call.original_results_with_all_memory())
}

/// `coroutine.running()`: from now on, somebody may resume the main chunk.
fn running(mut call: Call<'_>) -> Returned<'_> {
    call.note_that_known();
    Ok(call.original_results())
}
