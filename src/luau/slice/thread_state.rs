//! In which state a thread is, and how it changes hands.

use std::ffi::c_int;

use mlua::ffi;

use super::Slice;
use super::report::SliceEnd;
use crate::luau::context::Answer;
use crate::luau::context::Context;
use crate::luau::failed_task::FailedTask;
use crate::luau::notes::Mark;
use crate::luau::request::Request;
use crate::luau::stack::{Coroutine, Reference, Stack};
use crate::luau::thread::OwnThread;
use crate::luau::threads::{Purpose, TaskId};
use crate::luau::transfer::{self, Copies};
use crate::types::CallError;
use crate::value::Value;

/// What an error of a task costs its slice: the game is told of each.
const TASK_ERROR: u64 = 200;

/// The same for text that a `__tostring` makes.
const TEXT: u64 = 1_000;

/// In which state a thread is. Everything that resumes, closes, cancels or schedules one asks this first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum ThreadState {
    /// It runs, or waits for one that it has resumed, or is broken with such a one.
    Running,
    /// It belongs to the scheduler.
    Scheduled,
    /// Whoever has it can resume it.
    Suspended,
    Dead,
}

/// How a thread has ended.
#[derive(Clone, Copy)]
enum End {
    /// With the values on its stack.
    Finished,
    /// With the error on top of its stack.
    Failed,
    /// It was closed or cancelled.
    Cancelled,
}

impl OwnThread<'_> {
    /// Whether it is in the break chain of its process.
    pub(super) fn is_broken(self) -> bool {
        self.stack().status() == ffi::LUA_BREAK
    }

    /// In which state it is.
    pub(in super::super) fn state(self) -> ThreadState {
        match self.stack().coroutine() {
            Coroutine::Running => ThreadState::Running,
            Coroutine::Dead => ThreadState::Dead,
            Coroutine::Suspended if self.notes().has(Mark::Scheduled) => ThreadState::Scheduled,
            Coroutine::Suspended => ThreadState::Suspended,
        }
    }

    /// Takes it from the scheduler, if it belongs to that: what it waits for is void. It must be on the stack of who
    /// asks for that, or on the stack of a thread that waits for that: the scheduler does not keep it alive any more.
    pub(in super::super) fn leave_scheduler(self) {
        if !self.notes().has(Mark::Scheduled) {
            return;
        }
        let shared = self.shared();
        let taken = shared.slice.with_process(|process| {
            let tasks = process.tasks_mut()?;
            let taken = tasks.unschedule(self.address())?;
            tasks.release(&self.stack());
            taken.1.take_values_off(&mut self.stack());
            Some(taken)
        });
        let Some((id, task)) = taken.flatten() else { return };
        self.with_context(|context| {
            let reply = context.replies.take(context.index, id);
            if let Some(Ok(values)) = reply.filter(|_| task.is_receiver()) {
                context.put_back(id, values);
            }
            context.requests.push((id, Request::Cancel));
        });
        shared.slice.flag_outcome();
    }

    /// A script resumes it.
    #[cold]
    pub(super) fn resumed_by_script(self) {
        self.leave_scheduler();
        self.wakes(true);
    }

    /// It is resumed: what it waited for is void, or has come.
    pub(super) fn wakes(self, by_script: bool) {
        if self.notes().has(Mark::Waits) {
            self.notes().unmark(Mark::Waits);
            self.slice().woken_by_script.set(by_script);
        }
    }

    /// It has stopped. If it has ended, those who wait for that are told.
    #[cold]
    pub(super) fn awaited_stopped(self) {
        match self.stack().status() {
            ffi::LUA_OK => self.tell(End::Finished),
            ffi::LUA_BREAK => {}
            ffi::LUA_YIELD => {
                // Nobody has it who could resume it.
                let (notes, by_scheduler) = (self.notes(), self.address() == self.slice().bottom.get());
                if by_scheduler && !notes.has(Mark::Scheduled) && !notes.has(Mark::Known) {
                    self.answer_call(End::Cancelled);
                }
            }
            _ => self.tell(End::Failed),
        }
    }

    /// Nobody will resume it any more.
    pub(in super::super) fn is_cancelled(self) {
        self.tell(End::Cancelled);
    }

    fn tell(self, end: End) {
        if self.notes().has(Mark::Joined) {
            self.tell_joiners(end);
        }
        if self.notes().has(Mark::Handler) {
            self.answer_call(end);
        }
    }

    /// If it runs a function that the game has called, the game is told how that ended.
    fn answer_call(self, end: End) {
        let shared = self.shared();
        if shared.slice.is_marked_for_kill() {
            return; // the end of the process tells it
        }
        let purpose = shared.slice.with_process(|process| {
            let tasks = process.tasks_mut()?;
            let purpose = tasks.take_call(self.address());
            // What a script has resumed or cancelled, the scheduler does not let go of.
            if self.notes().has(Mark::Known) {
                tasks.release(&self.stack());
            }
            purpose
        });
        let Some(purpose) = purpose.flatten() else { return };
        // SAFETY: as above.
        let context = unsafe { &mut *shared.context.get() };
        let (id, function) = match purpose {
            Purpose::Call(id, function) => (id, function),
            Purpose::CallOfAll(anchor) => return context.exports.ended(context.index, anchor),
        };
        let _guard = shared.slice.grant_all_memory();
        let mut stack = self.stack();
        let result = match end {
            End::Finished => results(&mut stack, &shared.slice),
            End::Failed => {
                shared.slice.charge_later(TASK_ERROR);
                self.notes().mark(Mark::Reported);
                Err(CallError::Failed(transfer::script_error(&mut stack)))
            }
            End::Cancelled => Err(CallError::Cancelled),
        };
        context.answers.push(Answer { id, function, result });
        shared.slice.flag_outcome();
    }

    fn tell_joiners(self, end: End) {
        self.notes().unmark(Mark::Joined);
        let shared = self.shared();
        let joiners = shared.slice.with_process(|process| {
            let tasks = process.tasks_mut()?;
            let joiners = tasks.take_joiners(self.address());
            for &joiner in &joiners {
                tasks.wake_joiner(joiner, |joiner| put_end(&self.stack(), end, joiner));
            }
            Some(joiners)
        });
        let cancel = |joiner: TaskId| (joiner, Request::Cancel);
        let joiners = joiners.flatten().unwrap_or_default();
        self.with_context(|context| context.requests.extend(joiners.into_iter().map(cancel)));
        shared.slice.flag_outcome();
    }

    /// A task has failed. That is reported, or it ends the process, if it is to.
    pub(in super::super) fn task_failed(self) {
        let shared = self.shared();
        if shared.slice.is_marked_for_kill() {
            return;
        }
        // Nobody may be there who would catch an error.
        let _guard = shared.slice.grant_all_memory();
        if self.with_context(|context| context.ends_on_task_error) {
            let failed = self.keep();
            shared.slice.with_process(|process| process.tasks_mut().map(|tasks| tasks.failed = Some(failed)));
            shared.slice.mark_for_kill(SliceEnd::Failed);
        } else if transfer::has_text(&mut self.stack()) {
            // What makes the text is code of the script, which runs when the slice is over.
            let failed = FailedTask(self.keep());
            self.with_context(|context| context.failed_tasks.push(failed));
            shared.slice.flag_outcome();
            shared.slice.charge_later(TASK_ERROR + TEXT);
        } else {
            let error = transfer::script_error(&mut self.stack());
            self.with_context(|context| context.report_task_error(error));
            shared.slice.flag_outcome();
            shared.slice.charge_later(TASK_ERROR);
        }
    }

    /// Calls `f` with what the isolate shares with functions.
    fn with_context<R>(self, f: impl FnOnce(&mut Context) -> R) -> R {
        // SAFETY: it is there for as long as the state. Those who call what uses this use nothing of it meanwhile.
        f(unsafe { &mut *self.shared().context.get() })
    }

    /// Has the registry keep it.
    fn keep(self) -> Reference {
        let mut stack = self.stack();
        stack.push_own_thread();
        let reference = stack.refer_to(-1);
        stack.pop(1);
        reference
    }
}

/// Copies of what a function that the game has called has returned.
fn results(stack: &mut Stack<'_>, slice: &Slice) -> Result<Vec<Value>, CallError> {
    if !stack.has_room(transfer::RESULT_SLOTS) {
        return Err(CallError::Results("there are too many".into()));
    }
    let Copies { values, cost } = transfer::arguments(stack);
    slice.charge_later(cost);
    values.map_err(|(index, why)| CallError::Results(format!("result {index}: {why}").into()))
}

/// Puts how a thread has ended on the stack of another: true and results, false and an error, or nil. Returns how
/// many values that is.
fn put_end(ended: &Stack<'_>, end: End, to: &mut Stack<'_>) -> c_int {
    let (first, last) = match end {
        End::Finished => (1, ended.top()),
        End::Failed => (ended.top().max(1), ended.top()),
        End::Cancelled => (1, 0),
    };
    // What does not fit is left out.
    let has_room = u16::try_from(last - first + 2).is_ok_and(|values| to.has_room(values));
    if !has_room && !to.has_room(1) {
        return 0;
    }
    match end {
        End::Finished => to.push_boolean(true),
        End::Failed => to.push_boolean(false),
        End::Cancelled => to.push_nil(),
    }
    if has_room {
        (first..=last).for_each(|index| ended.copy_to(to, index));
    }
    to.top()
}

impl Slice {
    /// Whether the thread that goes on was woken by a script, instead of by what it waited for.
    pub(in super::super) fn take_wake_by_script(&self) -> bool {
        self.woken_by_script.replace(false)
    }
}
