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
struct Run<B: Batch> {
    batch: *mut B,
    slice: NonNull<Slice>,
    /// Of a slice that is to run on another fiber.
    quantum: u32,
    /// Of one that ran there.
    report: Option<SliceReport>,
}

impl<B: Batch> Run<B> {
    /// Gets the next slice: its state, its quantum, and whether the process is parked.
    #[inline(always)]
    fn begin(&mut self) -> Option<(NonNull<Slice>, u32, bool)> {
        // SAFETY: `run_batch` has the batch exclusively, and nothing else uses it now.
        let ready = unsafe { &mut *self.batch }.next_turn()?;
        self.slice = ready.slice.into();
        Some((self.slice, ready.quantum, ready.is_parked))
    }

    #[inline(always)]
    fn end(&mut self, report: SliceReport) -> ControlFlow<()> {
        // SAFETY: as in `begin`.
        unsafe { &mut *self.batch }.after_slice(report)
    }
}

/// Runs slices until the batch ends.
pub(in super::super) fn run_batch<B: Batch>(batch: &mut B) {
    let mut run = Run { batch, slice: NonNull::dangling(), quantum: 0, report: None };
    let run = &raw mut run;
    loop {
        // SAFETY: `run` outlives the fiber, unless that is left with a parked process: then it does not use it any more.
        let fiber = unsafe { Fiber::new(move |yielder| run_slices(run, Some(yielder))) };
        let Ok(mut fiber) = fiber else {
            return run_slices(run, None); // nobody can be parked
        };
        loop {
            let event = fiber.resume();
            // SAFETY: the fiber does not run now.
            let now = unsafe { &mut *run };
            match event {
                None => return fiber.give_back(),
                Some(Event::ResumeParked) => {
                    // SAFETY: `begin` got it, and the state of a slice lives as long as its Luau state.
                    let slice = unsafe { now.slice.as_ref() };
                    let yielder = slice.yielder.get();
                    now.report = resume_parked(slice, now.quantum);
                    slice.yielder.set(yielder);
                }
                Some(Event::Parked) => {
                    // SAFETY: as above.
                    let slice = unsafe { now.slice.as_ref() };
                    let (parked, report) = park::keep(slice, fiber);
                    slice.with_kept_process(|process| process.park_stack(parked));
                    if now.end(report).is_break() {
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
fn run_slices<B: Batch>(batch: *mut Run<B>, yielder: Option<&Yielder>) {
    let yielder_address = yielder.map_or(std::ptr::null(), std::ptr::from_ref);
    loop {
        // SAFETY: `run_batch` does not use it now. The reference is gone before the slice begins: then it does.
        let Some((slice, quantum, is_parked)) = (unsafe { &mut *batch }).begin() else { return };
        // SAFETY: the state of a slice lives as long as its Luau state.
        let slice = unsafe { slice.as_ref() };
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
        // SAFETY: as above.
        if unsafe { &mut *batch }.end(report).is_break() {
            return;
        }
    }
}

/// Runs a slice of a process that is parked, on its own fiber.
#[cold]
#[inline(never)]
fn run_parked<B: Batch>(
    batch: *mut Run<B>,
    slice: &Slice,
    yielder: Option<&Yielder>,
    quantum: u32,
) -> SliceReport {
    let report = match yielder {
        Some(yielder) => {
            // SAFETY: `run_batch` does not use it now.
            unsafe { (*batch).quantum = quantum };
            yielder.suspend(Event::ResumeParked);
            // SAFETY: as above.
            unsafe { (*batch).report.take() }
        }
        None => resume_parked(slice, quantum),
    };
    report.expect("it is parked")
}
