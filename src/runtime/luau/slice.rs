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

use std::cell::Cell;
use std::ptr;
use std::time::{Duration, Instant};

use mlua::ffi::{self, lua_State};

use super::{Context, ProcessThread};

/// Deeper than Luau lets resumes nest (`LUAI_MAXCCALLS` is 200, plus an eighth for error handlers).
const MAX_NESTED_THREADS: usize = 256;

/// Safepoints between two looks at the clock once a process cannot be preempted.
const OVERDRAFT_CLOCK_INTERVAL: u32 = 32;

/// How a slice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SliceEnd {
    /// The quantum was used up.
    Preempted,
    /// The main chunk called `coroutine.yield`.
    Yielded,
    /// The main chunk returned; its results are on the thread's stack.
    Returned,
    /// An error left the main chunk; the error value is on the thread's stack.
    Failed,
    /// The process stayed in code that cannot be preempted past the overrun limit.
    Overrun,
}

/// What a slice did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceReport {
    pub(crate) end: SliceEnd,
    /// Safepoints passed.
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
    /// Safepoints left. Runs below zero while the process cannot be preempted.
    fuel: Cell<i64>,
    /// Safepoints passed without fuel, in code that cannot be preempted.
    overdraft: Cell<u32>,
    overdraft_began: Cell<Option<Instant>>,
    overrun_limit: Cell<Duration>,
    /// Past the overrun limit: every safepoint throws, until the process can be broken and killed.
    condemned: Cell<bool>,
    /// The thread that we resumed. Null between slices.
    bottom: Cell<*mut lua_State>,
    /// The coroutines that run on top of `bottom`, outermost first.
    running: ThreadStack,
    /// The break chain of the break under way, innermost first.
    broken: ThreadStack,
    context: Cell<*mut Context>,
}

thread_local! {
    static SLICE: Slice = const {
        Slice {
            fuel: Cell::new(0),
            overdraft: Cell::new(0),
            overdraft_began: Cell::new(None),
            overrun_limit: Cell::new(Duration::ZERO),
            condemned: Cell::new(false),
            bottom: Cell::new(ptr::null_mut()),
            running: ThreadStack::new(),
            broken: ThreadStack::new(),
            context: Cell::new(ptr::null_mut()),
        }
    };
}

/// Installs the callbacks that slices need in a state.
///
/// # Safety
///
/// `main` must be the main thread of a live state.
pub(super) unsafe fn install(main: *mut lua_State) {
    // SAFETY: `main` is live by the contract; the callbacks live as long as its state.
    let callbacks = unsafe { &mut *ffi::lua_callbacks(main) };
    callbacks.interrupt = Some(interrupt);
    callbacks.debuginterrupt = Some(parent_broke);
    callbacks.userthread = Some(thread_created);
}

/// Prepares this operating-system thread for slices of one state.
///
/// # Safety
///
/// `context` must point to a live [`Context`] that nothing else uses during any [`run`] before the
/// next call of this function on this thread.
pub(super) unsafe fn prepare(context: *mut Context, overrun_limit: Duration) {
    SLICE.with(|slice| {
        slice.context.set(context);
        slice.overrun_limit.set(overrun_limit);
    });
}

/// Runs one slice of `process`.
///
/// # Safety
///
/// [`prepare`] must have been called on this operating-system thread. `process.root` must be a live
/// thread of a state that [`install`] was called on, that is not running, holding either a function to
/// start (and no more) or what an earlier slice left there; `process.chain` must be what that slice
/// left.
pub(super) unsafe fn run(process: &mut ProcessThread, quantum: u32) -> SliceReport {
    SLICE.with(|slice| {
        slice.fuel.set(i64::from(quantum));
        // SAFETY: handed on from this function's contract.
        let end = unsafe { resume_innermost(slice, process) };
        slice.bottom.set(ptr::null_mut());
        if slice.fuel.get() <= 0 {
            slice.overdraft.set(0);
            slice.condemned.set(false);
        }
        SliceReport { end, safepoints: (i64::from(quantum) - slice.fuel.get()).unsigned_abs() }
    })
}

/// # Safety
///
/// As for [`run`].
unsafe fn resume_innermost(slice: &Slice, process: &mut ProcessThread) -> SliceEnd {
    loop {
        let thread = process.innermost();
        slice.bottom.set(thread);
        slice.running.clear();
        // SAFETY: `thread` is live: it is the process's root, which is anchored, or a coroutine that
        // its parent in the chain keeps alive. It can be resumed: it is new, has yielded or is
        // broken. `from` only passes the depth of C calls on (`resume_start` in ldo.cpp); a thread
        // that has broken still holds the depth it was first resumed at, so naming itself keeps
        // Luau's limit on nested resumes where it is in an uninterrupted run. Luau catches every
        // error inside `lua_resume`, and our callbacks do not panic.
        let status = unsafe { ffi::lua_resume_(thread, thread, 0) };
        if slice.condemned.get() {
            return SliceEnd::Overrun;
        }
        if status == ffi::LUA_BREAK {
            // Most of the time the thread that we resumed is the one that broke.
            if slice.broken.len.get() > 1 {
                process.splice(slice.broken.iter());
            }
            return SliceEnd::Preempted;
        }
        if process.pop_innermost() {
            // A coroutine yielded, returned or failed: its parent waits inside `coroutine.resume`
            // or a wrapped function, whose continuation takes the result from the coroutine.
            continue;
        }
        return match status {
            ffi::LUA_OK => SliceEnd::Returned,
            ffi::LUA_YIELD => SliceEnd::Yielded,
            _ => SliceEnd::Failed,
        };
    }
}

/// Luau's interrupt: called at every safepoint, and by the garbage collector with `gc >= 0`.
unsafe extern "C-unwind" fn interrupt(thread: *mut lua_State, gc: i32) {
    if gc >= 0 {
        return; // nothing may be thrown out of the collector
    }
    SLICE.with(|slice| {
        let fuel = slice.fuel.get() - 1;
        slice.fuel.set(fuel);
        if fuel <= 0 && !slice.bottom.get().is_null() {
            // SAFETY: Luau hands us the running thread.
            unsafe { out_of_fuel(slice, thread) }
        }
    });
}

/// # Safety
///
/// `thread` must be the thread that runs on this operating-system thread, at a safepoint. The frames
/// between it and Luau must hold nothing that needs dropping: this may throw.
#[inline]
unsafe fn out_of_fuel(slice: &Slice, thread: *mut lua_State) {
    // SAFETY: handed on from this function's contract.
    unsafe {
        if can_break(slice, thread) {
            slice.broken.clear();
            slice.broken.push(thread);
            ffi::lua_break(thread); // it runs and is yieldable, so this only marks it
        } else {
            overdraw(slice, thread);
        }
    }
}

/// Lets a process that cannot be broken run on for a while, then throws.
///
/// # Safety
///
/// As for [`out_of_fuel`].
#[cold]
unsafe fn overdraw(slice: &Slice, thread: *mut lua_State) {
    if !slice.condemned.get() {
        let overdraft = slice.overdraft.get() + 1;
        slice.overdraft.set(overdraft);
        if overdraft == 1 {
            slice.overdraft_began.set(Some(Instant::now()));
        }
        let look = overdraft.is_multiple_of(OVERDRAFT_CLOCK_INTERVAL);
        let spent = || slice.overdraft_began.get().map_or(Duration::ZERO, |began| began.elapsed());
        if !look || spent() <= slice.overrun_limit.get() {
            return;
        }
        slice.condemned.set(true);
    }
    // A script can catch this one, so it is thrown again at each safepoint until the process is back
    // in code that can be broken.
    // SAFETY: the interrupt may be called with a full stack, so a slot is made first.
    unsafe {
        ffi::lua_rawcheckstack(thread, 1);
        ffi::lua_pushliteral(thread, c"process overran its slice in code that cannot be preempted");
        ffi::lua_error(thread)
    }
}

/// Whether `thread` and every thread that waits for it can be broken. If a parent cannot, `lua_break`
/// would throw there and leave the child broken for ever.
///
/// # Safety
///
/// `thread` must be the running thread.
unsafe fn can_break(slice: &Slice, thread: *mut lua_State) -> bool {
    // SAFETY: all of these threads run, so they are live.
    unsafe {
        let bottom = slice.bottom.get();
        ffi::lua_isyieldable(thread) != 0
            && (thread == bottom || ffi::lua_isyieldable(bottom) != 0)
            && slice.running.iter().all(|parent| ffi::lua_isyieldable(parent) != 0)
    }
}

/// `debuginterrupt`: `parent` is about to break because the coroutine that it resumed has broken.
unsafe extern "C-unwind" fn parent_broke(parent: *mut lua_State, _: *mut ffi::lua_Debug) {
    SLICE.with(|slice| slice.broken.push(parent));
}

/// `userthread`: follows resumes in a state from the moment a script there makes a coroutine. Most
/// scripts never do, and every slice would pay for it.
unsafe extern "C-unwind" fn thread_created(parent: *mut lua_State, thread: *mut lua_State) {
    let in_slice = SLICE.with(|slice| !slice.bottom.get().is_null());
    if !parent.is_null() && in_slice {
        // SAFETY: `thread` is live, and so are its state's callbacks.
        let callbacks = unsafe { &mut *ffi::lua_callbacks(thread) };
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

/// Offset of `ci` and `base` in `lua_State` (lstate.h). Only what is prefetched depends on them: were
/// they wrong, slices would be slower and no more.
const STATE_BASE: usize = 16;
/// See [`STATE_BASE`].
const STATE_CI: usize = 32;

/// Starts loading the `lua_State` of a thread that will be resumed soon.
///
/// With hundreds of thousands of processes a slice waits for memory more than it computes.
pub(super) fn prefetch_thread(root: *const lua_State) {
    prefetch(root.cast());
    prefetch(root.wrapping_byte_add(64).cast());
}

/// Starts loading the call frame and the stack of a thread that will be resumed soon, and whose
/// `lua_State` was prefetched a while ago.
///
/// # Safety
///
/// `root` must be live.
pub(super) unsafe fn prefetch_frame(root: *const lua_State) {
    // SAFETY: both offsets, with a pointer's size, lie within a `lua_State`, which has 136 bytes and
    // consists of initialised words there. What is read is not dereferenced.
    let [ci, base] =
        [STATE_CI, STATE_BASE].map(|offset| unsafe { root.byte_add(offset).cast::<*const u8>().read() });
    prefetch(ci);
    prefetch(ci.wrapping_byte_add(40));
    // The function lies below the base, its locals above.
    prefetch(base.wrapping_byte_sub(16));
}

fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it may point anywhere.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Calls `f` with the context of the process that runs on this operating-system thread, if one does.
pub(super) fn with_context<R>(f: impl FnOnce(&mut Context) -> R) -> Option<R> {
    let context = SLICE.with(|slice| slice.context.get());
    let runs = SLICE.with(|slice| !slice.bottom.get().is_null());
    // SAFETY: during `run` it is live and used by nothing else, by the contract of `prepare`. The functions that call this are called by Luau one at a time, and none calls back into
    // Luau from `f`.
    (runs && !context.is_null()).then(|| f(unsafe { &mut *context }))
}
