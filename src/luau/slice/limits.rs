//! What a slice does when its fuel is used up, and how one that goes too far is stopped.
//!
//! A process that cannot be preempted where it is (in a metamethod, in a callback of a library function) runs
//! on for a while and is then *marked for kill*: every safepoint throws an error. A script can catch one, but
//! not those that follow, so it finds its way back to code that can be broken, where it is killed.

use std::ffi::c_int;
use std::time::Duration;

use cpu_time::ThreadTime;
use mlua::ffi::{self, lua_State};

use super::Slice;
use super::clock::Ticks;
use super::report::LimitViolation;
use super::suspension::can_break;

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
/// `thread` must be the running thread of the state whose `slice` it is, at a safepoint. The frames between it and Luau
/// must hold nothing that needs dropping: this may throw.
#[inline(never)]
pub(super) unsafe fn out_of_fuel(slice: &Slice, thread: *mut lua_State) {
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
    !slice.fuel.is_spent() && has_time(slice)
}

/// Grants more fuel of what is left of the quantum, if there is time left.
#[inline(never)]
fn has_time(slice: &Slice) -> bool {
    let now = Ticks::now();
    let began = slice.began.get().unwrap_or_else(|| {
        slice.began.set(Some(now));
        slice.fuel.begin_checks();
        slice.took_slow_path.set(true);
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

/// Whether a process whose slice is over and that cannot be broken here is marked for kill, or has to be now.
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

impl Slice {
    /// Ends the slice at its next safepoint. `false` if none runs.
    pub(in super::super) fn end_soon(&self) -> bool {
        if self.is_running() {
            self.fuel.end_soon();
        }
        self.is_running()
    }

    /// Every safepoint throws from now on, until the process can be broken and killed. The first reason stays.
    pub(in super::super) fn mark_for_kill(&self, violation: LimitViolation) {
        self.end_soon();
        if !self.is_marked_for_kill() {
            self.marked_for_kill.set(Some(violation));
            self.took_slow_path.set(true);
        }
    }
}
