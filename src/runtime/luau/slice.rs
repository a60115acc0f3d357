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

mod charge;
mod clock;
mod limits;
mod resume;

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr;
use std::time::Duration;

use mlua::ffi::{self, lua_State};

use super::Context;
use super::threads::ProcessThread;

pub(super) use charge::{charge, charge_block, charge_later};
pub(super) use limits::{condemn, end_soon};
pub(super) use resume::run;

use limits::{Overdraft, out_of_fuel};

/// Deeper than Luau lets resumes nest (`LUAI_MAXCCALLS` is 200, plus an eighth for error handlers).
const MAX_NESTED_THREADS: usize = 256;

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
    Exceeded(Excess),
}

/// What a process used too much of, and how much it had used then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
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
    pub(crate) news: Option<SliceEnd>,
}

/// A stack of threads in thread-local memory that needs no destructor.
struct ThreadStack {
    len: Cell<usize>,
    threads: [Cell<*mut lua_State>; MAX_NESTED_THREADS],
}

impl ThreadStack {
    const fn new() -> Self {
        Self { len: Cell::new(0), threads: [const { Cell::new(ptr::null_mut()) }; MAX_NESTED_THREADS] }
    }

    fn clear(&self) {
        self.len.set(0);
    }

    /// Counts threads past the array's end without storing them; Luau cannot nest that deep.
    fn push(&self, thread: *mut lua_State) {
        let len = self.len.get();
        debug_assert!(len < MAX_NESTED_THREADS, "resumes nested deeper than Luau allows");
        if let Some(place) = self.threads.get(len) {
            place.set(thread);
        }
        self.len.set(len + 1);
    }

    fn pop(&self) {
        self.len.set(self.len.get().saturating_sub(1));
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = *mut lua_State> {
        let len = self.len.get().min(MAX_NESTED_THREADS);
        self.threads[..len].iter().map(Cell::get)
    }
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
    condemned: Cell<Option<Excess>>,
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
    is_eventful: Cell<bool>,
    /// Whether it left something that our callers must deal with, apart from how it ended.
    has_news: Cell<bool>,
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

    fn is_condemned(&self) -> bool {
        self.condemned.get().is_some()
    }

    /// Unless it is already.
    fn condemn(&self, excess: Excess) {
        if !self.is_condemned() {
            self.condemned.set(Some(excess));
            self.is_eventful.set(true);
        }
    }

    /// The thread that waits for the one that has broken breaks as well.
    fn parent_breaks(&self, parent: *mut lua_State) {
        self.broken.push(parent);
        self.is_eventful.set(true);
    }

    /// Whether the next slice can begin.
    fn is_at_rest(&self) -> bool {
        let is_clear = self.began.get().is_none() && self.overdraft.get().is_none() && !self.is_condemned();
        is_clear && !self.waits.get() && self.running.len.get() == 0 && !self.has_news.get()
    }

    /// Forgets what happened in a slice that is over.
    fn rest(&self) {
        self.began.set(None);
        self.overdraft.set(None);
        self.condemned.set(None);
        self.waits.set(false);
        self.running.clear();
        self.is_eventful.set(false);
        self.has_news.set(false);
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
            condemned: Cell::new(None),
            waits: Cell::new(false),
            bottom: Cell::new(ptr::null_mut()),
            running: ThreadStack::new(),
            broken: ThreadStack::new(),
            is_eventful: Cell::new(false),
            has_news: Cell::new(false),
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

/// Installs the callbacks that slices need in a state.
///
/// # Safety
///
/// `main` must be the main thread of a live state, and `context` outlive that.
pub(super) unsafe fn install(main: *mut lua_State, context: *mut Context) {
    // SAFETY: `main` is live by the contract; the callbacks live as long as its state.
    let callbacks = unsafe { &mut *ffi::lua_callbacks(main) };
    callbacks.interrupt = Some(interrupt);
    callbacks.debuginterrupt = Some(parent_broke);
    callbacks.userthread = Some(thread_created_or_freed);
    callbacks.userdata = context.cast();
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

/// Luau's interrupt: called at every safepoint, and by the garbage collector with `gc >= 0`.
unsafe extern "C-unwind" fn interrupt(thread: *mut lua_State, gc: i32) {
    if gc >= 0 {
        return; // nothing may be thrown out of the collector
    }
    let slice = current();
    let fuel = slice.fuel.get() - 1;
    slice.fuel.set(fuel);
    if fuel <= 0 {
        // SAFETY: Luau hands us the running thread.
        unsafe { out_of_fuel(thread) }
    }
}

/// Whether `thread` and every thread that waits for it can be broken. If a parent cannot, `lua_break`
/// would throw there and leave the child broken for ever.
///
/// # Safety
///
/// `thread` must be the thread that runs in `slice`, on this operating-system thread.
#[inline]
unsafe fn can_break(slice: &Slice, thread: *mut lua_State) -> bool {
    // SAFETY: it runs, so it is live. Nothing runs on top of it.
    let is_yieldable = unsafe { ffi::lua_isyieldable(thread) != 0 };
    // SAFETY: by the contract.
    is_yieldable && (thread == slice.bottom.get() || unsafe { can_break_parents(slice) })
}

/// Whether all threads can be broken that wait for another to end.
///
/// # Safety
///
/// `slice` must be that of this operating-system thread, and run.
#[cold]
unsafe fn can_break_parents(slice: &Slice) -> bool {
    // SAFETY: by the contract all of these threads run, so they are live.
    let is_yieldable = |thread| unsafe { ffi::lua_isyieldable(thread) != 0 };
    is_yieldable(slice.bottom.get()) && slice.running.iter().all(is_yieldable)
}

/// Whether the process that runs on this operating-system thread can be suspended here.
///
/// # Safety
///
/// `thread` must be the running thread.
pub(super) unsafe fn can_suspend(thread: *mut lua_State) -> bool {
    // A task that runs inside `task.spawn` waits alone.
    let alone = with_process(|process| process.starting()).flatten();
    SLICE.with(|slice| {
        if !slice.is_running() {
            return false;
        }
        for parent in slice.running.iter().rev() {
            // SAFETY: it runs, so it is live.
            if unsafe { ffi::lua_isyieldable(parent) } == 0 {
                return false;
            }
            if alone == Some(parent) {
                return true;
            }
        }
        // SAFETY: by the contract, and both run.
        unsafe { ffi::lua_isyieldable(thread) != 0 && ffi::lua_isyieldable(slice.bottom.get()) != 0 }
    })
}

/// Ends the slice that runs on this operating-system thread: the process waits. Returns what the calling C
/// function has to return; its continuation is called when the process is resumed.
///
/// # Safety
///
/// `thread` must be the running thread, in a C function with a continuation, and [`can_suspend`] it.
pub(super) unsafe fn suspend(thread: *mut lua_State) -> c_int {
    SLICE.with(|slice| {
        slice.waits.set(true);
        slice.is_eventful.set(true);
        slice.broken.clear();
        slice.broken.push(thread);
        // SAFETY: by the contract; it can be broken, so this does not throw.
        unsafe { ffi::lua_break(thread) }
    })
}

/// Ends the slice of a process that is condemned: at once where it can be broken, otherwise by an error.
/// Returns what the calling C function has to return.
///
/// # Safety
///
/// `thread` must be the running thread, in a C function with a continuation. The frames between it and
/// Luau must hold nothing that needs dropping: this may throw.
pub(super) unsafe fn stop(thread: *mut lua_State) -> c_int {
    SLICE.with(|slice| {
        // SAFETY: by the contract.
        unsafe {
            if can_break(slice, thread) {
                slice.broken.clear();
                slice.broken.push(thread);
                ffi::lua_break(thread)
            } else {
                ffi::lua_pushliteral(thread, c"process was ended in code that cannot be preempted");
                ffi::lua_error(thread)
            }
        }
    })
}

/// What the task that was started on this operating-system thread did: `Some` if it waits, with the threads of
/// its break, innermost first.
pub(super) fn take_wait() -> Option<Vec<*mut lua_State>> {
    SLICE.with(|slice| slice.waits.replace(false).then(|| slice.broken.iter().collect()))
}

/// The running C function breaks because the task that it started has broken.
///
/// # Safety
///
/// `parent` must be the running thread, in a C function with a continuation, and be able to break.
pub(super) unsafe fn break_with_child(parent: *mut lua_State) -> c_int {
    SLICE.with(|slice| slice.parent_breaks(parent));
    // SAFETY: by the contract.
    unsafe { ffi::lua_break(parent) }
}

/// The slice that runs on this operating-system thread leaves something to be dealt with after it.
pub(super) fn note_news() {
    SLICE.with(|slice| {
        slice.is_eventful.set(true);
        slice.has_news.set(true);
    });
}

/// Whether the process that runs on this operating-system thread is to be killed.
pub(super) fn is_condemned() -> bool {
    SLICE.with(Slice::is_condemned)
}

/// `debuginterrupt`: `parent` is about to break because the coroutine that it resumed has broken.
unsafe extern "C-unwind" fn parent_broke(parent: *mut lua_State, _: *mut ffi::lua_Debug) {
    SLICE.with(|slice| slice.parent_breaks(parent));
}

/// `userthread`: counts the coroutines that scripts make, and follows resumes in a state from the moment
/// the first is made. Most scripts never do, and every slice would pay for it.
unsafe extern "C-unwind" fn thread_created_or_freed(parent: *mut lua_State, thread: *mut lua_State) {
    // SAFETY: `thread` is live, and so are its state's callbacks.
    let callbacks = unsafe { &mut *ffi::lua_callbacks(thread) };
    if parent.is_null() {
        // SAFETY: as above.
        let owner = unsafe { ffi::lua_getthreaddata(thread) }.addr();
        // SAFETY: `install` put it there. This is called by the collector, which does not run during
        // slices, so nothing else uses it.
        let context = unsafe { &mut *callbacks.userdata.cast::<Context>() };
        if let Some(count) = owner.checked_sub(1).and_then(|place| context.coroutines.get_mut(place)) {
            *count -= 1;
        }
        return;
    }
    let counted = with_context(|context| {
        let place = context.caller().place as usize;
        if place >= context.coroutines.len() {
            context.coroutines.resize(place + 1, 0);
        }
        context.coroutines[place] += 1;
        if context.coroutines[place] > context.coroutine_limit {
            limits::end_soon();
            note_news();
        }
        place + 1
    });
    if let Some(owner) = counted {
        // SAFETY: as above; it is only a number.
        unsafe { ffi::lua_setthreaddata(thread, ptr::without_provenance_mut(owner)) };
        callbacks.preresume = Some(before_resume);
        callbacks.postresume = Some(after_resume);
    }
}

unsafe extern "C-unwind" fn before_resume(thread: *mut lua_State) {
    SLICE.with(|slice| {
        if slice.is_running() && thread != slice.bottom.get() {
            slice.running.push(thread);
            slice.is_eventful.set(true);
        }
    });
}

unsafe extern "C-unwind" fn after_resume(thread: *mut lua_State) {
    SLICE.with(|slice| {
        if thread != slice.bottom.get() {
            slice.running.pop();
        }
    });
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
