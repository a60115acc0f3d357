//! Slices one after the other, on one fiber for as long as nobody parks.
//!
//! A fiber for each slice would cost 15 to 20 ns. So a loop over many slices runs on a fiber. When a process parks, the
//! fiber is left with it, in the middle of that loop, and the rest of the batch runs on another one. When the slice that
//! was parked ends, the loop below it finds that the batch is not its own any more, leaves its report, and returns.
//!
//! What the loop needs from slice to slice lives outside the fiber, and no reference to it is held during a slice.

use std::ops::ControlFlow;
use std::ptr::NonNull;

use super::fiber::{Event, Fiber, Yielder};
use super::park::{self, Resumed};
use super::report::SliceReport;
use super::resume::run;
use super::{ReadySlice, Slice};
use crate::luau::threads::ProcessThread;

/// Says whose slices a batch has, and takes what they leave.
///
/// Each slice that begins also ends before the next begins, whatever fibers they run on.
pub(crate) trait Batch {
    /// Whose slice is next, ready to run. `None` ends the batch.
    fn next_turn(&mut self) -> Option<ReadySlice<'_>>;

    /// Takes note of what that slice did.
    fn after_slice(&mut self, report: SliceReport) -> ControlFlow<()>;
}

/// A batch that runs.
struct Run<'s, B: Batch> {
    batch: &'s mut B,
    slice: Option<&'s Slice>,
    /// Of a slice that is to run on another fiber.
    quantum: u32,
    /// Of one that ran there.
    report: Option<SliceReport>,
}

impl<'s, B: Batch> Run<'s, B> {
    /// Gets the next slice: its state, its quantum, and whether the process is parked.
    #[inline(always)]
    fn begin(&mut self) -> Option<(&'s Slice, u32, bool)> {
        let ready = self.batch.next_turn()?;
        // SAFETY: the state of a slice lives as long as its Luau state, which the batch has.
        let slice: &'s Slice = unsafe { NonNull::from(ready.slice).as_ref() };
        self.slice = Some(slice);
        Some((slice, ready.quantum, ready.is_parked))
    }

    #[inline(always)]
    fn end(&mut self, report: SliceReport) -> ControlFlow<()> {
        self.batch.after_slice(report)
    }
}

/// A batch that runs, as [`run_batch`] and the fiber have it. No reference to it is held during a slice.
struct Handle<'s, B: Batch>(*mut Run<'s, B>);

impl<B: Batch> Clone for Handle<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Batch> Copy for Handle<'_, B> {}

impl<'s, B: Batch> Handle<'s, B> {
    /// # Safety
    ///
    /// `run` must be there for as long as this is used, and be used through copies of this only, none of which is used
    /// inside what another one calls.
    unsafe fn new(run: *mut Run<'s, B>) -> Self {
        Self(run)
    }

    /// Nothing that `f` calls may run a slice.
    #[inline(always)]
    fn with<R>(self, f: impl FnOnce(&mut Run<'s, B>) -> R) -> R {
        // SAFETY: by the contract of `new`.
        f(unsafe { &mut *self.0 })
    }
}

/// Runs slices until the batch ends.
pub(in super::super) fn run_batch<B: Batch>(batch: &mut B) {
    let mut run = Run { batch, slice: None, quantum: 0, report: None };
    // SAFETY: `run` outlives the fiber, unless that is left with a parked process: then it does not use it any more.
    // Nothing below calls into the batch from inside it.
    let run = unsafe { Handle::new(&raw mut run) };
    loop {
        // SAFETY: as above.
        let fiber = unsafe { Fiber::new(move |yielder| run_slices(run, Some(yielder))) };
        let Ok(mut fiber) = fiber else {
            return run_slices(run, None); // nobody can be parked
        };
        loop {
            let event = fiber.resume();
            let Some(event) = event else { return fiber.give_back() };
            let (slice, quantum) = run.with(|run| (run.slice.expect("one runs"), run.quantum));
            match event {
                Event::ResumeParked => {
                    let yielder = slice.yielder.get();
                    let report = resume_parked(slice, quantum);
                    run.with(|run| run.report = report);
                    slice.yielder.set(yielder);
                }
                Event::Parked => {
                    let (parked, report) = park::keep(slice, fiber);
                    slice.with_kept_process(|process| process.park_stack(parked));
                    if run.with(|run| run.end(report)).is_break() {
                        return;
                    }
                    break;
                }
            }
        }
    }
}

/// Runs a slice of the process that is ready, which is parked.
fn resume_parked(slice: &Slice, quantum: u32) -> Option<SliceReport> {
    let parked = slice.with_kept_process(|process| process.take_parked_stack())?;
    match park::resume(slice, parked, quantum) {
        Resumed::ParkedAgain(parked, report) => {
            slice.with_kept_process(|process| process.park_stack(parked));
            Some(report)
        }
        Resumed::Left(report) => {
            slice.with_kept_process(ProcessThread::trim);
            Some(report)
        }
    }
}

/// The loop on a fiber.
fn run_slices<B: Batch>(batch: Handle<'_, B>, yielder: Option<&Yielder>) {
    let yielder_address = yielder.map_or(std::ptr::null(), std::ptr::from_ref);
    loop {
        let Some((slice, quantum, is_parked)) = batch.with(Run::begin) else { return };
        slice.yielder.set(yielder_address);
        let report = if is_parked {
            run_parked(batch, slice, yielder, quantum)
        } else {
            // SAFETY: `Slices::ready` has made it ready, and it is not parked.
            unsafe { run(slice, quantum) }
        };
        if slice.was_parked.get() {
            slice.report.set(Some(report));
            return; // the batch was another one
        }
        if batch.with(|batch| batch.end(report)).is_break() {
            return;
        }
    }
}

/// Runs a slice of a process that is parked, on its own fiber.
#[cold]
#[inline(never)]
fn run_parked<B: Batch>(
    batch: Handle<'_, B>,
    slice: &Slice,
    yielder: Option<&Yielder>,
    quantum: u32,
) -> SliceReport {
    let report = match yielder {
        Some(yielder) => {
            batch.with(|batch| batch.quantum = quantum);
            yielder.suspend(Event::ResumeParked);
            batch.with(|batch| batch.report.take())
        }
        None => resume_parked(slice, quantum),
    };
    report.expect("it is parked")
}
