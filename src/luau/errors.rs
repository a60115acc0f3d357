//! Errors that no script has caught, as the game and other processes get them.

use std::ptr;

use mlua::ffi;

use super::failed_task::FailedTask;
use super::library::ERROR_TEXT;
use super::slice::run_aside;
use super::stack::Kind;
use super::state::LuauState;
use super::thread::Anchored;
use super::transfer;
use crate::console::ConsoleBuffer;
use crate::types::{ProcessIndex, ScriptError};
use crate::value::Value;

/// Safepoints that a `__tostring` may pass.
const TEXT_SAFEPOINTS: u32 = 1_000;

/// Bytes that it may allocate until it is stopped, and beyond that until it is refused more.
const TEXT_BYTES: usize = 64 * 1024;

impl LuauState {
    /// The error of a task of a process, after the slice in which it failed.
    pub(crate) fn task_error(&mut self, process: ProcessIndex, failed: FailedTask) -> Option<ScriptError> {
        let mut main = self.main();
        main.push_reference(failed.0);
        // SAFETY: that reference keeps it until it is released below.
        let thread = main.thread_at(-1).map(|thread| unsafe { thread.anchored() });
        main.pop(1);
        let error = thread.map(|thread| self.error_of(process, thread));
        self.main().release(failed.0);
        error
    }

    /// The error of a process whose last slice ended as [`SliceEnd::Failed`](super::SliceEnd::Failed).
    pub(crate) fn error(&mut self, process: ProcessIndex) -> ScriptError {
        let root = self.root(process);
        let task = self.threads[process.at()].tasks_mut().and_then(|tasks| tasks.failed.take());
        let failed = task.and_then(|reference| {
            let mut main = self.main();
            main.push_reference(reference);
            // SAFETY: that reference keeps it until it is released below.
            let failed = main.thread_at(-1).map(|failed| unsafe { failed.anchored() });
            main.pop(1);
            failed
        });
        let error = self.error_of(process, failed.unwrap_or(root));
        if let Some(reference) = task {
            self.main().release(reference);
        }
        error
    }

    /// The error on top of the stack of a thread that has failed. An object gives its own text, by a `__tostring` that
    /// runs for the process, within limits of its own.
    pub(super) fn error_of(&mut self, process: ProcessIndex, failed: Anchored) -> ScriptError {
        let stack = || failed.get().stack();
        let (message, traceback) = (transfer::error_message(&stack()), transfer::traceback(&stack()));
        let place = transfer::place(&stack());
        if stack().kind(-1) == Kind::STRING {
            return ScriptError { message, traceback, value: None, place };
        }
        let copied = self.protect(|_| {
            let mut stack = stack();
            let top = stack.top();
            let value = transfer::copy(&mut stack, top).values;
            (value, transfer::own_message(&mut stack), transfer::has_text(&mut stack))
        });
        let (value, own_message, has_text) = copied.unwrap_or((Value::Nil, None, false));
        let text = has_text.then(|| self.error_text(process, failed)).flatten();
        ScriptError { message: text.or(own_message).unwrap_or(message), traceback, value: Some(value), place }
    }

    /// What `__tostring` makes of the error of a thread, if that is a string and comes soon.
    fn error_text(&mut self, process: ProcessIndex, failed: Anchored) -> Option<Box<str>> {
        let made = self.protect(|main| {
            let mut failed = failed.get().stack();
            let thread = failed.push_thread();
            let mut stack = thread.stack();
            failed.push_environment(-1);
            failed.move_to(&mut stack, 1);
            stack.set_globals();
            stack.push_function(&ERROR_TEXT);
            failed.push_value(-2);
            failed.move_to(&mut stack, 1);
            failed.move_to(main, 1);
            let reference = main.refer_to(-1);
            // SAFETY: that reference keeps it until it is released below.
            (unsafe { thread.anchored() }, reference)
        });
        let (thread, reference) = made.ok()?;
        self.memory.allow(TEXT_BYTES, 0);
        self.memory.allow_slack(TEXT_BYTES, usize::MAX);
        let context = self.context();
        // What it asks for is its own, whoever ran last.
        context.index = process;
        context.task_limit = 0;
        context.console.set_capacity(0);
        let process = ptr::from_mut(&mut self.threads[process.at()]);
        // SAFETY: the thread is new, anchored, and has a function with its argument. Nothing else uses the process.
        let status = unsafe { run_aside(&self.shared().slice, process, thread, 1, TEXT_SAFEPOINTS) };
        let context = self.context();
        context.console = ConsoleBuffer::default();
        context.requests.clear();
        context.exit_results.clear();
        context.host_panic = None;
        let stack = thread.get().stack();
        let is_text = status == ffi::LUA_OK && stack.kind(-1) == Kind::STRING;
        let text = is_text.then(|| transfer::error_message(&stack));
        thread.get().reset();
        self.main().release(reference);
        text
    }
}
