//! One slice of one process: resume, interrupt, break chain, kill.
//!
//! Luau calls the interrupt at every safepoint (loop back-edge, call, return). It counts the slice's
//! fuel down and breaks the running thread when none is left. `lua_break` is used, not `lua_yield`:
//! a broken coroutine reports "normal" to scripts, so nobody but us can resume or close it.
//!
//! When a nested coroutine breaks, `coroutine.resume` breaks its caller as well
//! (`interruptThread` in `lcorolib.cpp`), and so on down to the thread that we resumed. The threads
//! on that way are the process's *break chain*. The next slice resumes the innermost; when that one
//! ends, by a yield, a return or an error, its parent is resumed and finds the result where it would
//! have found it without the break.

mod callbacks;
mod charge;
mod clock;
mod limits;
mod resume;
mod suspension;
mod thread_stack;

use std::cell::Cell;
use std::ptr;
use std::time::Duration;

use mlua::ffi::lua_State;

use super::Context;
use super::threads::ProcessThread;

pub(super) use callbacks::install;
pub(super) use charge::{charge, charge_block, charge_later};
pub(super) use limits::{end_soon, mark_for_kill};
pub(super) use resume::run;
pub(super) use suspension::{break_with_child, can_suspend, stop, suspend, take_wait};

use limits::Overdraft;
use thread_stack::ThreadStack;

/// Safepoints between two looks at the clock. A single library call on the largest objects takes a
/// few hundred microseconds, so a slice cannot hold up its tick for long before it is noticed.
///
/// The first looks come sooner: where each safepoint stands for a millisecond, it shows at once.
const SAFEPOINTS_PER_LOOK: i64 = 32;

/// Safepoints before the first look. Then twice as many each time.
const SAFEPOINTS_BEFORE_LOOK: i64 = 2;

/// More safepoints than a slice can pass.
const NEVER: i64 = 1 << 40;

/// How deep calls may nest in the slices that follow on this operating-system thread.
pub(super) fn limit_call_depth(limit: u32) {
    current().call_depth_limit.set(limit);
}

/// How a slice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SliceEnd {
    /// The quantum was used up.
    Preempted,
    /// The main chunk called `coroutine.yield`.
    Yielded,
    /// It [was suspended](suspend) by a function that waits.
    Waiting,
    /// The main chunk returned; its results are on the thread's stack.
    Returned,
    /// An error left the main chunk; the error value is on the thread's stack.
    Failed,
    /// It called `process.exit`; the results are in [`Context::exit_results`].
    Exited,
    /// The process went over a limit.
    Exceeded(LimitViolation),
}

/// What a process used too much of, and how much it had used then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitViolation {
    /// Time after its slice, in code that cannot be preempted.
    Overrun(Duration),
    /// Bytes that its slice would have added, of which the last were refused.
    Memory(usize),
    /// Calls inside calls.
    CallDepth(u32),
    /// Nothing: a host function that it called panicked. [`Context::host_panic`] says more.
    HostPanic,
    /// Nothing: an error left one of its tasks.
    TaskFailed,
    /// Nothing: it called `process.exit`.
    Exit,
}

/// How much a slice may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceLimits {
    /// Time on the clock, after which it ends as if its quantum were used up.
    pub(crate) time: Option<Duration>,
    /// Processor time after its end in code that cannot be preempted, until the process is killed.
    pub(crate) overrun: Duration,
}

/// What a slice did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceReport {
    /// Safepoints passed, and [charged](charge()).
    pub(crate) safepoints: u64,
    /// How it ended, if it was not preempted or left something behind: it may have printed, asked for something, or used
    /// too much. Most slices have no news.
    pub(crate) outcome: Option<SliceEnd>,
}

/// The slice that runs on this operating-system thread.
///
/// Thread-local, because the interrupt gets nothing but a `lua_State` and must cost next to nothing.
struct Slice {
    /// Safepoints left until the next look at the clock, or the end. Runs below zero while the process
    /// cannot be preempted.
    fuel: Cell<i64>,
    /// All fuel that the slice has had so far.
    granted: Cell<i64>,
    /// All fuel that it can have.
    quantum: Cell<i64>,
    /// When the first look at the clock was.
    began: Cell<Option<clock::Ticks>>,
    /// Ticks of the clock that it may take from then on.
    time_limit: Cell<u64>,
    safepoints_per_look: Cell<i64>,
    /// Safepoints before the first look in each slice.
    first_look: Cell<i64>,
    /// Safepoints before the next look.
    next_look: Cell<i64>,
    overdraft: Cell<Option<Overdraft>>,
    overrun_limit: Cell<Duration>,
    call_depth_limit: Cell<u32>,
    /// Over a limit: every safepoint throws, until the process can be broken and killed.
    marked_for_kill: Cell<Option<LimitViolation>>,
    /// The break under way is one by [`suspend`].
    waits: Cell<bool>,
    /// The thread that we resumed. Null between slices.
    bottom: Cell<*mut lua_State>,
    /// The coroutines that run on top of `bottom`, outermost first.
    running: ThreadStack,
    /// The break chain of the break under way, innermost first. `bottom` alone may be left out.
    broken: ThreadStack,
    /// Whether more happened in the slice than safepoints that were passed. While this is unset, the slice [is at
    /// rest](Slice::is_at_rest).
    took_slow_path: Cell<bool>,
    /// Whether it left something that our callers must deal with, apart from how it ended.
    has_outcome: Cell<bool>,
    context: Cell<*mut Context>,
}

impl Slice {
    /// Safepoints passed, with the one at which it broke.
    fn used(&self) -> i64 {
        self.granted.get() - self.fuel.get()
    }

    fn is_running(&self) -> bool {
        !self.bottom.get().is_null()
    }

    fn is_marked_for_kill(&self) -> bool {
        self.marked_for_kill.get().is_some()
    }

    /// Unless it is already.
    fn mark_for_kill(&self, excess: LimitViolation) {
        if !self.is_marked_for_kill() {
            self.marked_for_kill.set(Some(excess));
            self.took_slow_path.set(true);
        }
    }

    /// The thread that waits for the one that has broken breaks as well.
    fn parent_breaks(&self, parent: *mut lua_State) {
        self.broken.push(parent);
        self.took_slow_path.set(true);
    }

    /// Whether the next slice can begin.
    fn is_at_rest(&self) -> bool {
        let is_clear =
            self.began.get().is_none() && self.overdraft.get().is_none() && !self.is_marked_for_kill();
        is_clear && !self.waits.get() && self.running.is_empty() && !self.has_outcome.get()
    }

    /// Forgets what happened in a slice that is over.
    fn rest(&self) {
        self.began.set(None);
        self.overdraft.set(None);
        self.marked_for_kill.set(None);
        self.waits.set(false);
        self.running.clear();
        self.took_slow_path.set(false);
        self.has_outcome.set(false);
    }
}

thread_local! {
    static SLICE: Slice = const {
        Slice {
            fuel: Cell::new(0),
            granted: Cell::new(0),
            quantum: Cell::new(0),
            began: Cell::new(None),
            time_limit: Cell::new(u64::MAX),
            safepoints_per_look: Cell::new(NEVER),
            first_look: Cell::new(NEVER),
            next_look: Cell::new(NEVER),
            overdraft: Cell::new(None),
            overrun_limit: Cell::new(Duration::ZERO),
            call_depth_limit: Cell::new(u32::MAX),
            marked_for_kill: Cell::new(None),
            waits: Cell::new(false),
            bottom: Cell::new(ptr::null_mut()),
            running: ThreadStack::new(),
            broken: ThreadStack::new(),
            took_slow_path: Cell::new(false),
            has_outcome: Cell::new(false),
            context: Cell::new(ptr::null_mut()),
        }
    };
}

/// The slice of this operating-system thread. `SLICE.with` is the same, but where much happens inside, it is a call
/// through a pointer.
#[inline(always)]
fn current() -> &'static Slice {
    // SAFETY: it has no destructor, so it is there for as long as the thread is, and `Slice` is not `Sync`, so the
    // reference stays on the thread.
    unsafe { &*SLICE.with(ptr::from_ref) }
}

/// Prepares this operating-system thread for slices of one state.
///
/// # Safety
///
/// `context` must point to a live [`Context`] that nothing else uses during any [`run`] before the
/// next call of this function on this thread.
pub(super) unsafe fn prepare(context: *mut Context, limits: SliceLimits) {
    SLICE.with(|slice| {
        slice.context.set(context);
        slice.time_limit.set(limits.time.map_or(u64::MAX, clock::Ticks::count));
        slice.safepoints_per_look.set(limits.time.map_or(NEVER, |_| SAFEPOINTS_PER_LOOK));
        slice.first_look.set(limits.time.map_or(NEVER, |_| SAFEPOINTS_BEFORE_LOOK));
        slice.overrun_limit.set(limits.overrun);
    });
}

/// The slice that runs on this operating-system thread leaves something to be dealt with after it.
pub(super) fn flag_outcome() {
    SLICE.with(|slice| {
        slice.took_slow_path.set(true);
        slice.has_outcome.set(true);
    });
}

/// Whether the process that runs on this operating-system thread is to be killed.
pub(super) fn is_marked_for_kill() -> bool {
    SLICE.with(Slice::is_marked_for_kill)
}

/// Calls `f` with the context of the process that runs on this operating-system thread, if one does.
pub(super) fn with_context<R>(f: impl FnOnce(&mut Context) -> R) -> Option<R> {
    let context = SLICE.with(|slice| slice.context.get());
    let runs = SLICE.with(|slice| !slice.bottom.get().is_null());
    // SAFETY: during `run` it is live and used by nothing else, by the contract of `prepare`. The functions that
    // call this are called by Luau one at a time, and none calls back into Luau from `f`.
    (runs && !context.is_null()).then(|| f(unsafe { &mut *context }))
}

/// Calls `f` with the process that runs on this operating-system thread, if one does.
pub(super) fn with_process<R>(f: impl FnOnce(&mut ProcessThread) -> R) -> Option<R> {
    // SAFETY: it is valid during the slice, and nothing else uses it while functions of the process run.
    with_context(|context| context.process).map(|process| f(unsafe { &mut *process }))
}
