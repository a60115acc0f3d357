//! Slices one after the other, on one fiber for as long as nobody parks.
//!
//! A fiber for each slice would cost 15 to 20 ns. So a loop over many slices runs on a fiber. When a process parks, the
//! fiber is left with it, in the middle of that loop, and the rest of the batch runs on another one. When the slice that
//! was parked ends, the loop below it finds that the batch is not its own any more, leaves its report, and returns.
//!
//! What the loop needs from slice to slice lives outside the fiber, and no reference to it is held during a slice.

use std::ops::ControlFlow;
use std::ptr::{self, NonNull};

use super::fiber::{Event, Fiber, Yielder};
use super::park::{self, Resumed};
use super::report::SliceReport;
use super::resume::{run, run_only};
use super::{Slice, Turn};
use crate::luau::threads::ProcessThread;

/// Says whose slices a batch has, all of one Luau state, and takes what they leave.
///
/// Each slice that begins also ends before the next begins, whatever fibers they run on.
pub(crate) trait Batch {
    /// The state of its slices.
    fn slice(&self) -> &Slice;

    /// Makes the next slice ready. `None` ends the batch.
    fn next_turn(&mut self) -> Option<Turn>;

    /// Takes note of what that slice did.
    fn after_slice(&mut self, report: SliceReport) -> ControlFlow<()>;
}

/// A batch that runs, as [`run_batch`] and the fiber have it. No reference to it is held during a slice.
struct Handle<B: Batch>(*mut B);

impl<B: Batch> Clone for Handle<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Batch> Copy for Handle<B> {}

impl<B: Batch> Handle<B> {
    /// # Safety
    ///
    /// `batch` must be there for as long as this is used, and be used through copies of this only, none of which is used
    /// inside what another one calls.
    unsafe fn new(batch: *mut B) -> Self {
        Self(batch)
    }

    /// Nothing that `f` calls may run a slice.
    #[inline(always)]
    fn with<R>(self, f: impl FnOnce(&mut B) -> R) -> R {
        // SAFETY: by the contract of `new`.
        f(unsafe { &mut *self.0 })
    }
}

/// Runs slices until the batch ends.
pub(in super::super) fn run_batch<B: Batch>(batch: &mut B) {
    let slice = NonNull::from(batch.slice());
    // SAFETY: it lives as long as its Luau state, which the batch has, and what changes in it is in cells.
    let slice = unsafe { slice.as_ref() };
    // SAFETY: the batch outlives the fiber, unless that is left with a parked process: then it does not use it any more.
    // Nothing below calls into the batch from inside it.
    let batch = unsafe { Handle::new(ptr::from_mut(batch)) };
    loop {
        // SAFETY: as above.
        let fiber = unsafe { Fiber::new(move |yielder| run_slices(batch, slice, Some(yielder))) };
        let Ok(mut fiber) = fiber else {
            return run_slices(batch, slice, None); // nobody can be parked
        };
        loop {
            match fiber.resume() {
                None => return fiber.give_back(),
                Some(Event::ResumeParked) => {
                    let yielder = slice.yielder.get();
                    slice.report.set(Some(resume_parked(slice)));
                    slice.yielder.set(yielder);
                }
                Some(Event::Parked) => {
                    let (parked, report) = park::keep(slice, fiber);
                    slice.with_kept_process(|process| process.park_stack(parked));
                    if batch.with(|batch| batch.after_slice(report)).is_break() {
                        return;
                    }
                    break;
                }
            }
        }
    }
}

/// Runs a slice of the process that is ready, which is parked.
fn resume_parked(slice: &Slice) -> SliceReport {
    let parked = slice.with_kept_process(|process| process.take_parked_stack()).expect("it is parked");
    match park::resume(slice, parked) {
        Resumed::ParkedAgain(parked, report) => {
            slice.with_kept_process(|process| process.park_stack(parked));
            report
        }
        Resumed::Left(report) => {
            slice.with_kept_process(ProcessThread::trim);
            report
        }
    }
}

/// The loop on a fiber.
fn run_slices<B: Batch>(batch: Handle<B>, slice: &Slice, yielder: Option<&Yielder>) {
    slice.yielder.set(yielder.map_or(ptr::null(), ptr::from_ref));
    loop {
        let Some(turn) = batch.with(B::next_turn) else { return };
        let report = match turn {
            Turn::Only(thread) => run_only(slice, thread),
            Turn::Any => run(slice),
            Turn::Parked => run_parked(slice, yielder),
        };
        if slice.was_parked.get() {
            slice.report.set(Some(report));
            return; // the batch was another one
        }
        if batch.with(|batch| batch.after_slice(report)).is_break() {
            return;
        }
    }
}

/// Runs a slice of a process that is parked, on its own fiber.
#[cold]
#[inline(never)]
fn run_parked(slice: &Slice, yielder: Option<&Yielder>) -> SliceReport {
    let Some(yielder) = yielder else { return resume_parked(slice) };
    yielder.suspend(Event::ResumeParked);
    slice.report.take().expect("it leaves one")
}
