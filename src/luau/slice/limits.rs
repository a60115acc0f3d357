//! What a slice does when its fuel is used up, and how one that goes too far is stopped.
//!
//! A process that cannot be preempted where it is (in a metamethod, in a callback of a library function) runs
//! on for a while and is then *condemned*: every safepoint throws an error. A script can catch one, but
//! not those that follow, so it finds its way back to code that can be broken, where it is killed.

use std::ffi::c_int;
use std::time::Duration;

use cpu_time::ThreadTime;
use mlua::ffi::{self, lua_State};

use super::clock::Ticks;
use super::suspension::can_break;
use super::{LimitViolation, SAFEPOINTS_BEFORE_LOOK, SLICE, Slice, current};

/// Ticks of the clock, a few hundred nanoseconds, that a safepoint takes at most in code without long
/// library calls.
const TICKS_OF_QUICK_SAFEPOINT: u64 = 1024;

/// A slice that is over, in code that cannot be preempted.
#[derive(Clone, Copy)]
pub(super) struct Overdraft {
    began: Ticks,
    /// A busy machine may stop our thread for a while. That is not held against the process.
    processor_time: Option<ThreadTime>,
}

impl Overdraft {
    fn begin() -> Self {
        Self { began: Ticks::now(), processor_time: ThreadTime::try_now().ok() }
    }

    /// How long it has lasted, if that is longer than `limit`.
    fn longer_than(self, limit: Duration) -> Option<Duration> {
        if Ticks::now().since(self.began) < Ticks::count(limit) {
            return None;
        }
        let time = self.processor_time.map_or(limit, |began| began.elapsed());
        (time >= limit).then_some(time)
    }
}

/// At the end of the fuel: more of it, or the end of the slice.
///
/// # Safety
///
/// `thread` must be the thread that runs on this operating-system thread, at a safepoint. The frames
/// between it and Luau must hold nothing that needs dropping: this may throw.
#[inline(never)]
pub(super) unsafe fn out_of_fuel(thread: *mut lua_State) {
    let slice = current();
    if !slice.is_running() || may_go_on(slice) {
        return;
    }
    // SAFETY: handed on from this function's contract.
    unsafe {
        if can_break(slice, thread) {
            let depth = ffi::lua_stackdepth(thread).unsigned_abs();
            if depth > slice.call_depth_limit.get() {
                slice.mark_for_kill(LimitViolation::CallDepth(depth));
            }
            slice.broken.clear();
            if thread != slice.bottom.get() {
                slice.broken.push(thread);
            }
            ffi::lua_break(thread); // it runs and is yieldable, so this only marks it
        } else {
            overdraw(slice, thread);
        }
    }
}

/// Grants more fuel if the quantum is not used up and there is time left.
#[inline]
pub(super) fn may_go_on(slice: &Slice) -> bool {
    let left = slice.quantum.get() - slice.used();
    left > 0 && has_time(slice, left)
}

/// Grants more fuel, of so much that is left, if there is time left.
#[inline(never)]
fn has_time(slice: &Slice, left: i64) -> bool {
    let used = slice.used();
    let now = Ticks::now();
    let began = slice.began.get().unwrap_or_else(|| {
        slice.began.set(Some(now));
        slice.next_look.set(slice.first_look.get());
        slice.took_slow_path.set(true);
        now
    });
    if now.since(began) > slice.time_limit.get() {
        slice.quantum.set(used);
        return false;
    }
    // Looks at the clock cost a tight loop a tenth of its time: fewer for code that is quick so far.
    let is_quick = now.since(began) < TICKS_OF_QUICK_SAFEPOINT * used.unsigned_abs();
    let (next_look, longest) = (slice.next_look.get(), slice.safepoints_per_look.get());
    let next_look = if is_quick { next_look.saturating_mul(2).min(longest) } else { SAFEPOINTS_BEFORE_LOOK };
    slice.next_look.set(next_look);
    let fuel = left.min(next_look);
    slice.fuel.set(fuel);
    slice.granted.set(used + fuel);
    true
}

/// Lets a process that cannot be broken run on for a while, then throws.
///
/// # Safety
///
/// As for [`out_of_fuel`].
#[cold]
pub(super) unsafe fn overdraw(slice: &Slice, thread: *mut lua_State) {
    if !is_overdrawn(slice) {
        return;
    }
    // SAFETY: the interrupt may be called with a full stack, so a slot is made first.
    unsafe {
        ffi::lua_rawcheckstack(thread, 1 as c_int);
        ffi::lua_pushliteral(thread, c"process was killed in code that cannot be preempted");
        ffi::lua_error(thread)
    }
}

/// Whether a process whose slice is over and that cannot be broken here is condemned, or has to be now.
#[cold]
pub(super) fn is_overdrawn(slice: &Slice) -> bool {
    if !slice.is_marked_for_kill() {
        let overdraft = slice.overdraft.get().unwrap_or_else(Overdraft::begin);
        slice.overdraft.set(Some(overdraft));
        slice.took_slow_path.set(true);
        let Some(time) = overdraft.longer_than(slice.overrun_limit.get()) else { return false };
        slice.mark_for_kill(LimitViolation::Overrun(time));
    }
    true
}

/// Ends the slice that runs on this operating-system thread at its next safepoint. `false` if there is
/// none.
pub(in super::super) fn end_soon() -> bool {
    SLICE.with(|slice| {
        if slice.is_running() {
            let used = slice.used();
            let fuel = slice.fuel.get().min(0);
            slice.fuel.set(fuel);
            slice.granted.set(used + fuel);
            slice.quantum.set(used.min(slice.quantum.get()));
        }
        slice.is_running()
    })
}

/// Condemns the process that runs on this operating-system thread, unless it is already.
pub(in super::super) fn mark_for_kill(excess: LimitViolation) {
    end_soon();
    SLICE.with(|slice| slice.mark_for_kill(excess));
}
