//! The process for which a function is called.

use std::ffi::CStr;
#[cfg(feature = "ecs")]
use std::mem;
use std::ptr;
use std::sync::Arc;

use super::Call;
use crate::console::ConsoleBuffer;
use crate::luau::arguments::CallArguments;
use crate::luau::context::Context;
use crate::luau::slice::{Running, Slice, SliceEnd};
use crate::luau::stack::Reference;
use crate::luau::stack::Stack;
use crate::luau::thread::OwnThread;
use crate::luau::threads::{ProcessThread, Tasks};
#[cfg(feature = "ecs")]
use crate::luau::world::{WorldCaller, WorldChange, WorldFunctions};
use crate::script::Bytecode;
use crate::types::HostCaller;

impl<'a> Call<'a> {
    #[inline]
    pub(super) fn running(&self) -> Running<'a> {
        // SAFETY: it runs a C function, in a state that we opened, which lives for as long.
        unsafe { Running::new(self.thread()) }
    }

    #[inline]
    pub(super) fn slice(&self) -> &'a Slice {
        self.running().slice()
    }

    /// What the isolate shares with functions. `None` where no process runs: `luau_load` looks up imports on the main
    /// thread.
    #[inline]
    pub(in crate::luau) fn context(&mut self) -> Option<&mut Context> {
        self.stack_and_context().map(|(_, context)| context)
    }

    /// The same, while the stack can be looked at.
    #[inline]
    pub(in crate::luau) fn stack_and_context(&mut self) -> Option<(&Stack<'a>, &mut Context)> {
        let shared = self.running().shared();
        if !shared.slice.is_running() {
            return None;
        }
        // SAFETY: it is there for as long as the slice, and so for as long as this call. Others that are called by Luau
        // use it, but for that something must change the stack, which is borrowed.
        let context = unsafe { &mut *shared.context.get() };
        Some((&self.stack, context))
    }

    /// The console of the process that runs, while the stack can be looked at. The slice has what is printed as an
    /// outcome.
    pub(in crate::luau) fn stack_and_console(&mut self) -> Option<(&Stack<'a>, &mut ConsoleBuffer)> {
        self.slice().flag_outcome();
        self.stack_and_context().map(|(stack, context)| (stack, &mut context.console))
    }

    /// The process that runs.
    pub(super) fn process(&mut self) -> Option<&mut ProcessThread> {
        let process = self.slice().with_process(ptr::from_mut)?;
        // SAFETY: as for the context.
        Some(unsafe { &mut *process })
    }

    /// The tasks of the process, if it ever had more than its main chunk.
    pub(in crate::luau) fn tasks(&mut self) -> Option<&mut Tasks> {
        self.process()?.tasks_mut()
    }

    /// Its name: one of its own, or that of its script, which is at the bottom of its main chunk's stack.
    pub(in crate::luau) fn process_name(&mut self) -> Option<Arc<str>> {
        let process = self.process()?;
        if let Some(name) = process.name() {
            return Some(name);
        }
        let root = process.root?;
        let root = root.get().stack();
        let level = root.depth().checked_sub(1)?;
        root.frame(level, |frame| frame.short_source.to_string_lossy().into())
    }

    /// The table of the arguments with which it was started.
    pub(in crate::luau) fn arguments_table(&mut self) -> Option<Reference> {
        self.process()?.arguments_table()
    }

    /// Whether no process runs: the main thread looks up an import.
    pub(in crate::luau) fn is_main_thread(&self) -> bool {
        self.main_thread().address() == self.thread()
    }

    /// Pushes the main function of one of our own scripts, which has the base as its globals and is charged to nobody.
    /// If it cannot be loaded, an error and `false`.
    pub(in crate::luau) fn load_library(&mut self, name: &CStr, code: &Bytecode) -> bool {
        if self.is_main_thread() {
            return self.load(name, code);
        }
        let mut main = self.main_thread().stack(); // which is empty between protected calls
        let is_loaded = self.slice().charge_state(|| main.load(name, code));
        main.move_to(self, 1);
        is_loaded
    }

    /// Has the registry keep a value. It belongs to the state, and so does what it grows by.
    pub(in crate::luau) fn refer_to(&mut self, index: i32) -> Reference {
        self.running().slice().charge_state(|| self.stack.refer_to(index))
    }

    /// Calls `f` with the arguments as a host function sees them. What it copies is charged to the slice.
    #[inline]
    pub(in crate::luau) fn with_arguments<R>(&mut self, f: impl FnOnce(&CallArguments) -> R) -> R {
        let arguments = CallArguments::new(self.own(), find_caller);
        let result = self.on_thread_stack(|| f(&arguments));
        let cost = arguments.cost();
        if cost > 0 {
            self.charge_later(cost);
        }
        result
    }

    /// Calls `f` with the world that functions may look at, who calls, the arguments, and what is to be changed. `None` if
    /// there is no world now.
    #[cfg(feature = "ecs")]
    pub(in crate::luau) fn with_world<R>(
        &mut self,
        f: impl FnOnce(&dyn WorldFunctions, WorldCaller, &CallArguments, &mut Vec<WorldChange>) -> R,
    ) -> Option<R> {
        let context = self.context()?;
        let world = context.world?;
        let caller = WorldCaller { vm: context.vm_entity() };
        // So that nobody has the context while code of the game runs.
        let mut changes = mem::take(&mut context.changes);
        // SAFETY: it is there for as long as there are `Slices`. One of them runs, and waits until `f` has returned.
        let world = unsafe { world.as_ref() };
        let result = self.with_arguments(|arguments| f(world, caller, arguments, &mut changes));
        if let Some(context) = self.context() {
            context.changes = changes;
        }
        Some(result)
    }

    /// Calls `f` with the whole stack of the operating-system thread: code of the game may need a deep one.
    #[inline]
    pub(in crate::luau) fn on_thread_stack<R>(&self, f: impl FnOnce() -> R) -> R {
        self.running().on_thread_stack(f)
    }

    /// Takes fuel: this does work without safepoints. If none is left where a process cannot be preempted, it may be
    /// killed, by an error.
    #[inline]
    pub(in crate::luau) fn charge(&mut self, units: u64) {
        self.running().charge(units);
    }

    /// Passes so many safepoints in the middle of the running function, which holds nothing that others use. If that
    /// ends the slice, the function goes on in the next one. This throws if the process is to be killed.
    #[inline]
    pub(in crate::luau) fn pass_safepoints(&self, safepoints: u64) {
        self.running().pass_safepoints(safepoints);
    }

    /// The same in a function whose arguments bound the time that it takes: where it cannot be left, the VM owes that.
    #[inline]
    pub(in crate::luau) fn pass_safepoints_or_owe(&self, safepoints: u64) {
        self.running().pass_safepoints_or_owe(safepoints);
    }

    /// Takes fuel, which the next safepoint notices.
    #[inline]
    pub(in crate::luau) fn charge_later(&mut self, units: u64) {
        self.slice().charge_later(units);
    }

    /// Something happened that ends the process as soon as it can be preempted.
    pub(in crate::luau) fn mark_for_kill(&mut self, end: SliceEnd) {
        self.slice().mark_for_kill(end);
    }
}

/// Who calls the function that a thread runs.
fn find_caller(thread: OwnThread<'_>) -> Option<HostCaller> {
    // SAFETY: it is there for as long as the state. Who runs functions of ours changes nothing of it meanwhile.
    unsafe { &*thread.shared().context.get() }.host_caller()
}
