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

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr;
use std::time::Duration;

use mlua::ffi::{self, lua_State};

use super::Context;
use super::threads::{Next, ProcessThread};

pub(super) use charge::{charge, charge_block, charge_later};
pub(super) use limits::{condemn, end_soon};

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
    pub(crate) end: SliceEnd,
    /// Safepoints passed, and [charged](charge()).
    pub(crate) safepoints: u64,
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
    /// The break chain of the break under way, innermost first.
    broken: ThreadStack,
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

/// Runs one slice of `process`.
///
/// # Safety
///
/// [`prepare`] must have been called on this operating-system thread. `process.root` must be a live
/// thread of a state that [`install`] was called on, that is not running, holding either a function to
/// start (and no more) or what an earlier slice left there; the rest of `process` must be what that slice
/// left. During the call only functions that Luau calls may use `process`.
#[inline]
pub(super) unsafe fn run(process: *mut ProcessThread, quantum: u32) -> SliceReport {
    let slice = current();
    // The safepoint at which it breaks is passed at the start of the next slice.
    let quantum = i64::from(quantum) + 1;
    let first_look = slice.first_look.get();
    // The shortest slices are over before it is worth looking at the clock.
    let fuel = if quantum > first_look + 1 { first_look } else { quantum };
    slice.fuel.set(fuel);
    slice.granted.set(fuel);
    slice.quantum.set(quantum);
    slice.next_look.set(first_look);
    // SAFETY: by the contract, nothing of the process runs yet. From here on it does: it may want its context.
    slice.bottom.set(unsafe { (*process).root });
    // SAFETY: handed on from this function's contract.
    let end = unsafe { resume_innermost(slice, process) };
    slice.bottom.set(ptr::null_mut());
    slice.began.set(None);
    slice.overdraft.set(None);
    let at_break = i64::from(end == SliceEnd::Preempted);
    SliceReport { end, safepoints: (slice.used() - at_break) as u64 }
}

/// # Safety
///
/// As for [`run`].
#[inline]
unsafe fn resume_innermost(slice: &Slice, process: *mut ProcessThread) -> SliceEnd {
    loop {
        // SAFETY: nothing of the process runs.
        let outcome = match unsafe { (*process).next() } {
            // SAFETY: as above.
            None => unsafe { (*process).idle() },
            Some((thread, arguments)) => {
                slice.bottom.set(thread);
                slice.running.clear();
                // SAFETY: `thread` is live: it is the root of the process or of a task, which are
                // anchored, or a coroutine that its parent in the chain keeps alive. It can be resumed:
                // it is new, has yielded or is broken. `from` only passes the depth of C calls on
                // (`resume_start` in ldo.cpp); a thread that has broken still holds the depth it was
                // first resumed at, so naming itself keeps Luau's limit on nested resumes where it is
                // in an uninterrupted run. Luau catches every error inside `lua_resume`, and our
                // callbacks do not panic.
                let status = unsafe { ffi::lua_resume_(thread, thread, arguments) };
                // Most of the time the thread that we resumed is the one that broke, at the end of its quantum.
                let is_single = slice.broken.len.get() <= 1;
                if status == ffi::LUA_BREAK && is_single && !slice.waits.get() && !slice.is_condemned() {
                    return SliceEnd::Preempted;
                }
                // SAFETY: by the contract; it is the one that was resumed.
                match unsafe { stopped(slice, process, thread, status) } {
                    Ok(next) => next,
                    Err(end) => return end,
                }
            }
        };
        return match outcome {
            Next::Continue => continue,
            Next::Yielded => SliceEnd::Yielded,
            Next::Wait => SliceEnd::Waiting,
            Next::Returned => SliceEnd::Returned,
            Next::Failed => SliceEnd::Failed,
        };
    }
}

/// What follows when the thread that was resumed has stopped with `status`. `Err` is the end of the slice.
///
/// # Safety
///
/// As for [`run`]; `thread` must be the thread of `process` that was resumed.
#[inline(never)]
unsafe fn stopped(
    slice: &Slice,
    process: *mut ProcessThread,
    thread: *mut lua_State,
    status: c_int,
) -> Result<Next, SliceEnd> {
    match slice.condemned.take() {
        None => {}
        Some(Excess::TaskFailed) => return Err(SliceEnd::Failed),
        Some(Excess::Exit) => return Err(SliceEnd::Exited),
        Some(excess) => return Err(SliceEnd::Exceeded(excess)),
    }
    // SAFETY: nothing of the process runs any more.
    let process = unsafe { &mut *process };
    if status != ffi::LUA_BREAK {
        // SAFETY: by the contract.
        return Ok(unsafe { process.stopped(thread, status) });
    }
    if slice.broken.len.get() > 1 {
        process.splice(slice.broken.iter());
    }
    if slice.waits.replace(false) { Ok(process.park()) } else { Err(SliceEnd::Preempted) }
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
/// `thread` must be the running thread.
unsafe fn can_break(slice: &Slice, thread: *mut lua_State) -> bool {
    let bottom = slice.bottom.get();
    // SAFETY: all of these threads run, so they are live.
    let is_yieldable = |thread| unsafe { ffi::lua_isyieldable(thread) != 0 };
    // Nothing runs on top of the thread that runs.
    is_yieldable(thread)
        && (thread == bottom || (is_yieldable(bottom) && slice.running.iter().all(is_yieldable)))
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
    SLICE.with(|slice| slice.broken.push(parent));
    // SAFETY: by the contract.
    unsafe { ffi::lua_break(parent) }
}

/// Whether the process that runs on this operating-system thread is to be killed.
pub(super) fn is_condemned() -> bool {
    SLICE.with(Slice::is_condemned)
}

/// `debuginterrupt`: `parent` is about to break because the coroutine that it resumed has broken.
unsafe extern "C-unwind" fn parent_broke(parent: *mut lua_State, _: *mut ffi::lua_Debug) {
    SLICE.with(|slice| slice.broken.push(parent));
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
        if thread != slice.bottom.get() {
            slice.running.push(thread);
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
