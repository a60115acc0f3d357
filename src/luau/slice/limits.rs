//! How a slice is ended before its quantum is used up, and its process killed.
//!
//! A process that went too far, in a place where it cannot be broken, is *marked for kill*: every safepoint throws an
//! error. A script can catch one, but not those that follow, so it finds its way back to code that can be broken.

use std::ffi::CStr;

use super::Slice;
use super::clock::Ticks;
use super::report::SliceEnd;

/// Ticks of the clock, a few hundred nanoseconds, that a safepoint takes at most in code without long
/// library calls.
const TICKS_OF_QUICK_SAFEPOINT: u64 = 1024;

/// Grants more fuel if the quantum is not used up and there is time left.
#[inline]
pub(super) fn may_go_on(slice: &Slice) -> bool {
    !slice.fuel.is_spent() && has_time(slice)
}

/// Grants more fuel of what is left of the quantum, if there is time left.
#[inline(never)]
fn has_time(slice: &Slice) -> bool {
    let now = Ticks::now();
    let began = slice.began.get().unwrap_or_else(|| {
        slice.began.set(Some(now));
        slice.fuel.begin_checks();
        now
    });
    let time = now.since(began);
    if time > slice.time_limit.get() {
        slice.fuel.end_soon();
        return false;
    }
    slice.fuel.grant(time < TICKS_OF_QUICK_SAFEPOINT * slice.fuel.used().unsigned_abs());
    true
}

/// What is thrown in a process that is marked for kill.
pub(super) const KILLED: &CStr = c"the process is being killed";

/// Grants memory until it is dropped.
pub(in super::super) struct MemoryGrant<'a>(&'a Slice);

impl Drop for MemoryGrant<'_> {
    fn drop(&mut self) {
        self.0.grants_all_memory.set(false);
    }
}

impl Slice {
    /// Grants memory whatever the limits, for an operation that must not fail in the middle.
    pub(in super::super) fn grant_all_memory(&self) -> MemoryGrant<'_> {
        self.grants_all_memory.set(true);
        MemoryGrant(self)
    }

    pub(in super::super) fn grants_all_memory(&self) -> bool {
        self.grants_all_memory.get()
    }

    /// Ends the slice at its next safepoint. `false` if none runs.
    pub(in super::super) fn end_soon(&self) -> bool {
        if self.is_running() {
            self.fuel.end_soon();
        }
        self.is_running()
    }

    /// Every safepoint throws from now on, until the process can be broken and killed. The first reason stays.
    pub(in super::super) fn mark_for_kill(&self, end: SliceEnd) {
        self.end_soon();
        if !self.is_marked_for_kill() {
            self.marked_for_kill.set(Some(end));
            self.took_slow_path.set(true);
        }
    }
}
