//! What a slice does when its fuel is used up: it breaks the running thread, or where that is not possible, parks the C
//! stack.
//!
//! In a metamethod, a callback of a library function or the steps of a string pattern there are frames of C between the
//! running code and the thread that was resumed, and `lua_break` would throw. There the [fiber](super::fiber) on which the
//! slice runs is left as it is, kept with the process, and resumed in its next slice, on whichever worker.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Slice;
use super::fiber::{Event, Fiber, Parked, Yielder};
use super::limits::{KILLED, may_go_on};
use super::report::{LimitViolation, SliceEnd, SliceReport};
use super::running::Running;

/// Processes that are parked at a time, of all isolates. Each takes two mappings, of which the operating system allows
/// a program 65,530.
const MAX_PARKED: u32 = 16_384;

static PARKED: AtomicU32 = AtomicU32::new(0);

/// At the end of the fuel, at a safepoint: more of it, or the end of the slice. This may throw.
#[inline(never)]
pub(super) fn out_of_fuel(slice: &Slice, thread: Running<'_>) {
    if !slice.is_running() || may_go_on(slice) {
        return;
    }
    if slice.can_break(thread) {
        let depth = thread.depth();
        if depth > slice.call_depth_limit.get() {
            slice.mark_for_kill(SliceEnd::Exceeded(LimitViolation::CallDepth(depth)));
        }
        if slice.took_slow_path.get() {
            slice.begin_break(thread);
        }
        debug_assert!(
            thread.address() == slice.bottom.get() || !slice.broken.is_empty(),
            "it can be found again"
        );
        thread.break_here(); // it runs and is yieldable, so this only marks it
    } else {
        park(slice, thread);
    }
}

impl Running<'_> {
    /// Passes so many safepoints in a C function. If that ends the slice, the process is parked there. Throws if it is to
    /// be killed, or cannot be parked.
    #[inline]
    pub(in super::super) fn pass_safepoints(self, safepoints: u64) {
        if self.ends_slice(safepoints) {
            park(self.slice(), self);
        }
    }

    /// The same where the process need not be parked: it goes on if it cannot.
    #[inline]
    pub(in super::super) fn pass_safepoints_or_owe(self, safepoints: u64) {
        if self.ends_slice(safepoints) {
            park_or_go_on(self.slice(), self);
        }
    }

    #[inline]
    fn ends_slice(self, safepoints: u64) -> bool {
        let slice = self.slice();
        safepoints > 0 && slice.is_running() && slice.fuel.charge(safepoints) && !may_go_on(slice)
    }
}

/// As [`park`], but goes on where the process cannot be parked.
#[cold]
fn park_or_go_on(slice: &Slice, thread: Running<'_>) {
    if slice.is_marked_for_kill() || parking_place(slice, thread).is_ok() {
        park(slice, thread);
    }
}

/// Stops here until the next slice of the process, or throws if it is to be killed.
#[cold]
fn park(slice: &Slice, thread: Running<'_>) {
    if !slice.is_marked_for_kill() {
        match parking_place(slice, thread) {
            // SAFETY: it is that of the fiber that runs, so it lives.
            Ok(yielder) => unsafe { (*yielder).suspend(Event::Parked) },
            Err(violation) => slice.mark_for_kill(SliceEnd::Exceeded(violation)),
        }
    }
    // Not what was found before: the process may have been killed while it was parked.
    if slice.is_marked_for_kill() {
        thread.throw(KILLED);
    }
}

/// By which the running fiber can be left, if the process may be parked.
fn parking_place(slice: &Slice, thread: Running<'_>) -> Result<*const Yielder, LimitViolation> {
    if slice.was_parked.get() {
        return Ok(slice.yielder.get()); // and has been counted
    }
    // SAFETY: nothing else uses the context at a safepoint.
    let vm = unsafe { thread.shared().running_vm() };
    slice.parked_vm.set(vm);
    let of_vm = (slice.parked.borrow().get(vm).copied().unwrap_or_default(), slice.parked_limit.get());
    let of_all = (PARKED.load(Ordering::Relaxed), MAX_PARKED);
    for (used, limit) in [of_vm, of_all] {
        if used >= limit {
            return Err(LimitViolation::Parked { limit, used: used + 1 });
        }
    }
    match slice.yielder.get() {
        yielder if yielder.is_null() => Err(LimitViolation::Parked { limit: of_all.0, used: of_all.0 + 1 }),
        yielder => Ok(yielder),
    }
}

/// What is to be kept of the process whose slice stopped on `fiber`.
pub(super) fn keep(slice: &Slice, fiber: Fiber) -> (Parked, SliceReport) {
    let vm = slice.parked_vm.get();
    if !slice.was_parked.get() {
        PARKED.fetch_add(1, Ordering::Relaxed);
        let mut parked = slice.parked.borrow_mut();
        if parked.len() <= vm {
            parked.resize(vm + 1, 0);
        }
        parked[vm] += 1;
    }
    let parked = Parked {
        fiber,
        yielder: slice.yielder.replace(ptr::null()),
        bottom: slice.bottom.replace(ptr::null_mut()),
        running: slice.running.take(),
        vm,
    };
    // The safepoint at which it parks is not passed again.
    let outcome = slice.has_outcome.get().then_some(SliceEnd::Preempted);
    let report = SliceReport { safepoints: slice.fuel.used() as u64, outcome };
    slice.rest();
    (parked, report)
}

/// What has become of a parked process after its slice.
pub(super) enum Resumed {
    ParkedAgain(Parked, SliceReport),
    /// It was broken where that is possible, or has ended.
    Left(SliceReport),
}

/// Runs a slice of a process that is parked, with the fuel that there is.
pub(super) fn resume(slice: &Slice, parked: Parked) -> Resumed {
    let Parked { mut fiber, yielder, bottom, running, vm } = parked;
    slice.yielder.set(yielder);
    slice.bottom.set(bottom);
    slice.running.put(running);
    slice.took_slow_path.set(true);
    slice.was_parked.set(true);
    slice.parked_vm.set(vm);
    let event = fiber.resume();
    let resumed = match event {
        Some(_) => {
            let (parked, report) = keep(slice, fiber);
            Resumed::ParkedAgain(parked, report)
        }
        None => {
            fiber.give_back();
            slice.yielder.set(ptr::null());
            slice.parked.borrow_mut()[vm] -= 1;
            PARKED.fetch_sub(1, Ordering::Relaxed);
            Resumed::Left(slice.report.take().expect("it leaves one"))
        }
    };
    slice.was_parked.set(false);
    resumed
}

/// Ends a process that is parked: every safepoint throws until its C stack is gone. A script may catch an error, but not
/// the next one.
pub(in super::super) fn end(slice: &Slice, parked: Parked) {
    slice.mark_for_kill(SliceEnd::Exited);
    let mut resumed = resume(slice, parked);
    while let Resumed::ParkedAgain(parked, _) = resumed {
        debug_assert!(false, "it parks although it is to be killed");
        slice.mark_for_kill(SliceEnd::Exited);
        resumed = resume(slice, parked);
    }
}

impl Running<'_> {
    /// Calls `f` on the stack of the operating-system thread: it may need a deep one.
    #[inline]
    pub(in super::super) fn on_thread_stack<R>(self, f: impl FnOnce() -> R) -> R {
        let yielder = self.slice().yielder.get();
        if yielder.is_null() {
            return f();
        }
        let f = SameThread(f);
        // SAFETY: it is that of the running fiber, so it lives.
        unsafe { (*yielder).on_parent_stack(move || f.call()) }
    }
}

/// What stays on its operating-system thread, whatever its type says: only the stack is another.
struct SameThread<F>(F);

// SAFETY: `on_parent_stack` runs it on the thread that calls it. The bound is there so that it does not get hold of a
// yielder, which is not handed to it.
unsafe impl<F> Send for SameThread<F> {}

impl<F: FnOnce() -> R, R> SameThread<F> {
    fn call(self) -> R {
        (self.0)()
    }
}
