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
pub(crate) trait Batch {
    /// A slice that is about to run.
    type Turn: Copy;

    /// Whose slice is next, ready to run. `None` ends the batch.
    fn next_turn(&mut self) -> Option<(Self::Turn, ReadySlice<'_>)>;

    /// Takes note of what a slice did.
    fn after_slice(&mut self, turn: Self::Turn, report: SliceReport) -> ControlFlow<()>;
}

/// A batch that runs.
struct Run<B: Batch> {
    batch: *mut B,
    /// The slice that runs now.
    turn: Option<B::Turn>,
    slice: NonNull<Slice>,
    quantum: u32,
    is_parked: bool,
    /// Of a slice that ran on another fiber.
    report: Option<SliceReport>,
}

impl<B: Batch> Run<B> {
    /// Gets the next slice. `false` if there is none.
    #[inline]
    fn begin(&mut self) -> bool {
        // SAFETY: `run_batch` has the batch exclusively, and nothing else uses it now.
        let Some((turn, ready)) = (unsafe { &mut *self.batch }).next_turn() else { return false };
        (self.slice, self.quantum, self.is_parked) = (ready.slice.into(), ready.quantum, ready.is_parked);
        self.turn = Some(turn);
        true
    }

    #[inline]
    fn end(&mut self, report: SliceReport) -> ControlFlow<()> {
        let Some(turn) = self.turn else { return ControlFlow::Break(()) };
        // SAFETY: as in `begin`.
        unsafe { &mut *self.batch }.after_slice(turn, report)
    }
}

/// Runs slices until the batch ends.
pub(in super::super) fn run_batch<B: Batch>(batch: &mut B) {
    let mut run =
        Run { batch, turn: None, slice: NonNull::dangling(), quantum: 0, is_parked: false, report: None };
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
        // SAFETY: `run_batch` does not use it while this runs. No reference is held while a slice runs: then it does.
        let (slice, quantum, is_parked) = unsafe {
            if !(*batch).begin() {
                return;
            }
            ((*batch).slice.as_ref(), (*batch).quantum, (*batch).is_parked)
        };
        slice.yielder.set(yielder_address);
        let report = match yielder {
            Some(yielder) if is_parked => {
                yielder.suspend(Event::ResumeParked);
                // SAFETY: as above.
                unsafe { (*batch).report.take() }
            }
            None if is_parked => resume_parked(slice, quantum),
            // SAFETY: `Slices::ready` has made it ready.
            _ => Some(unsafe { run(slice, quantum) }),
        };
        if slice.was_parked.get() {
            slice.report.set(report);
            return; // the batch was another one
        }
        // SAFETY: as above.
        let flow = report.map(|report| unsafe { (*batch).end(report) });
        if flow.is_none_or(|flow| flow.is_break()) {
            return;
        }
    }
}
