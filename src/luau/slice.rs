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
//!
//! The state of a slice belongs to the Luau state whose slice it is, and is reached through it: slices of several
//! states may run on one operating-system thread at a time, one inside a host function that another has called.

mod batch;
mod callbacks;
mod charges;
mod clock;
mod coroutines;
pub(super) mod fiber;
mod fuel;
mod limits;
mod park;
mod report;
mod resume;
mod running;
mod suspension;
mod thread_stack;
mod thread_state;

use std::cell::{Cell, RefCell};
use std::ptr;

use mlua::ffi::lua_State;

use super::thread::Anchored;
use super::threads::ProcessThread;
use fiber::Yielder;
use fuel::Fuel;
use thread_stack::ThreadStack;

pub(crate) use batch::Batch;
pub(super) use batch::run_batch;
pub(super) use callbacks::{follow_resumes, install};
pub(super) use park::end as end_parked;
pub(crate) use report::{LimitViolation, SliceEnd, SliceLimits, SliceReport};
pub(super) use resume::run_aside;
pub(super) use running::Running;
pub(super) use thread_state::ThreadState;

/// The slice that runs in a Luau state, or the last one that did.
///
/// What all slices touch comes first, in two cache lines.
#[repr(C, align(64))]
pub(crate) struct Slice {
    fuel: Fuel,
    /// The thread that we resumed. Null between slices.
    bottom: Cell<*mut lua_State>,
    /// Whether more happened in the slice than safepoints that were passed. While this is unset, the slice [is at
    /// rest](Slice::is_at_rest).
    took_slow_path: Cell<bool>,
    /// Whether it left something that our callers must deal with, apart from how it ended.
    has_outcome: Cell<bool>,
    /// The thread that we resumed yields because it waits for something.
    waits: Cell<bool>,
    /// A thread that waits goes on because a script has resumed it.
    woken_by_script: Cell<bool>,
    call_depth_limit: Cell<u32>,
    /// Whether the process was parked when the slice began.
    was_parked: Cell<bool>,
    /// The process that runs, or is [ready](Slice::ready) to. Valid during its slice.
    process: Cell<*mut ProcessThread>,
    /// Of the fiber that runs. Null if the slice does not run on one.
    yielder: Cell<*const Yielder>,
    /// When the first look at the clock was.
    began: Cell<Option<clock::Ticks>>,
    /// Ticks of the clock that it may take from then on.
    time_limit: Cell<u64>,
    /// The process goes no further: every safepoint throws until it can be broken. This is how the slice ends then.
    marked_for_kill: Cell<Option<SliceEnd>>,
    /// The coroutines that run on top of `bottom`, outermost first.
    running: ThreadStack,
    /// The break chain of the break under way, innermost first. `bottom` alone may be left out.
    broken: ThreadStack,
    /// What a slice that has ended leaves that was parked before.
    report: Cell<Option<SliceReport>>,
    /// How many processes are parked, by VM.
    parked: RefCell<Vec<u32>>,
    /// How many there may be of the VM whose process runs.
    parked_limit: Cell<u32>,
    /// The index of the VM of the process that parks, or was parked.
    parked_vm: Cell<usize>,
    /// Coroutines that scripts made and that have not been collected, by VM.
    coroutines: RefCell<Vec<u32>>,
    /// Whether memory is granted whatever the limits.
    grants_all_memory: Cell<bool>,
    /// How many there may be of a VM.
    coroutine_limit: Cell<u32>,
    /// Whether what is allocated belongs to the state, and so to none of its VMs.
    charges_state: Cell<bool>,
}

/// How the process that is ready goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// With its only thread.
    Only(Anchored),
    /// With whichever thread is next.
    Any,
    /// Where it is parked.
    Parked,
}

impl Slice {
    pub(super) fn new() -> Self {
        Self {
            fuel: Fuel::new(),
            bottom: Cell::new(ptr::null_mut()),
            took_slow_path: Cell::new(false),
            has_outcome: Cell::new(false),
            waits: Cell::new(false),
            woken_by_script: Cell::new(false),
            call_depth_limit: Cell::new(u32::MAX),
            was_parked: Cell::new(false),
            process: Cell::new(ptr::null_mut()),
            yielder: Cell::new(ptr::null()),
            began: Cell::new(None),
            time_limit: Cell::new(u64::MAX),
            marked_for_kill: Cell::new(None),
            running: ThreadStack::default(),
            broken: ThreadStack::default(),
            report: Cell::new(None),
            parked: RefCell::new(Vec::new()),
            parked_limit: Cell::new(u32::MAX),
            parked_vm: Cell::new(0),
            coroutines: RefCell::new(Vec::new()),
            grants_all_memory: Cell::new(false),
            coroutine_limit: Cell::new(0),
            charges_state: Cell::new(false),
        }
    }

    /// What the slices that follow may use.
    pub(super) fn set_limits(&self, limits: SliceLimits) {
        self.time_limit.set(limits.time.map_or(u64::MAX, clock::Ticks::count));
        self.fuel.set_timed(limits.time.is_some());
    }

    /// Whether the slices that follow look at the clock at each safepoint.
    pub(super) fn watch(&self, is_watched: bool) {
        self.fuel.set_watched(is_watched);
    }

    /// How deep calls may nest in the slices that follow, how many processes of their VM may be parked, and how many
    /// coroutines there may be.
    pub(super) fn set_vm_limits(&self, call_depth: u32, parked: u32, coroutines: u32) {
        self.call_depth_limit.set(call_depth);
        self.parked_limit.set(parked);
        self.coroutine_limit.set(coroutines);
    }

    /// Makes a process ready for a slice.
    ///
    /// # Safety
    ///
    /// `process.root` must be a live thread of the state whose slice this is, holding either a function to start (and no
    /// more) or what an earlier slice left there; the rest of `process` must be what that slice left. Until its slice is
    /// over only functions that Luau calls may use `process` and the context.
    #[inline(always)]
    pub(super) unsafe fn ready(&self, process: *mut ProcessThread, quantum: u32) -> Turn {
        self.process.set(process);
        let turn = self.with_kept_process(|process| match process.only_thread() {
            Some(thread) => Turn::Only(thread),
            None if process.is_parked() => Turn::Parked,
            None => Turn::Any,
        });
        // The safepoint at which a thread breaks is passed at the start of the next slice. That at which it parks is not.
        self.fuel.refill(i64::from(quantum) + i64::from(!matches!(turn, Turn::Parked)));
        turn
    }

    #[inline]
    pub(super) fn is_running(&self) -> bool {
        !self.bottom.get().is_null()
    }

    pub(super) fn is_marked_for_kill(&self) -> bool {
        self.marked_for_kill.get().is_some()
    }

    /// The thread that waits for the one that has broken breaks as well.
    fn parent_breaks(&self, parent: *mut lua_State) {
        self.broken.push(parent);
        self.took_slow_path.set(true);
    }

    /// It leaves something to be dealt with after it.
    pub(super) fn flag_outcome(&self) {
        self.took_slow_path.set(true);
        self.has_outcome.set(true);
    }

    /// Calls `f` with the process that runs, if one does.
    pub(super) fn with_process<R>(&self, f: impl FnOnce(&mut ProcessThread) -> R) -> Option<R> {
        self.is_running().then(|| self.with_process_of_slice(f))
    }

    /// Calls `f` with the process that is ready to run, or whose slice is over.
    #[inline(always)]
    fn with_kept_process<R>(&self, f: impl FnOnce(&mut ProcessThread) -> R) -> R {
        debug_assert!(!self.is_running(), "a slice runs");
        self.with_process_of_slice(f)
    }

    /// The same at any time between [`Slice::ready`] and the end of the slice.
    #[inline(always)]
    fn with_process_of_slice<R>(&self, f: impl FnOnce(&mut ProcessThread) -> R) -> R {
        // SAFETY: it is valid by the contract of `ready`, and used only between resumes of it, and by functions that
        // Luau calls one at a time. Nothing that is done with it in `f` calls Luau back or resumes it.
        f(unsafe { &mut *self.process.get() })
    }

    /// Whether the next slice can begin.
    fn is_at_rest(&self) -> bool {
        self.began.get().is_none()
            && !self.is_marked_for_kill()
            && !self.waits.get()
            && self.running.is_empty()
            && !self.has_outcome.get()
    }

    /// Forgets what happened in a slice that is over.
    fn rest(&self) {
        self.began.set(None);
        self.marked_for_kill.set(None);
        self.waits.set(false);
        self.woken_by_script.set(false);
        self.running.clear();
        self.took_slow_path.set(false);
        self.has_outcome.set(false);
    }
}
