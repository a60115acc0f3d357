//! Slices of one state, and what each may use.

use std::mem;
use std::ptr::{self, NonNull};

use super::context::Context;
use super::slice::{Batch, Slice, SliceLimits, Turn, run_batch};
use super::state::LuauState;
use super::world::{WorldFunctions, WorldRef};
use crate::types::{ProcessIndex, VmIndex};

/// What a process may use in one slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Bytes that it may allocate beyond its slice's until it is killed.
    pub(crate) memory_slack: usize,
    /// Bytes of pages that its VM may have.
    pub(crate) pages: usize,
    /// Coroutines of its VM, old ones included, at which its slice ends.
    pub(crate) coroutines: u32,
    pub(crate) call_depth: u32,
    /// Processes of its VM that are parked.
    pub(crate) parked: u32,
    /// Tasks of the process.
    pub(crate) tasks: usize,
    pub(crate) console_bytes: usize,
}

impl Allowance {
    pub(crate) fn unlimited(console_bytes: usize) -> Self {
        Self {
            memory_slack: 0,
            pages: usize::MAX,
            coroutines: u32::MAX,
            call_depth: u32::MAX,
            parked: u32::MAX,
            tasks: usize::MAX,
            console_bytes,
        }
    }
}

impl LuauState {
    /// To run slices of this state, held to these limits, which may look at the world.
    pub(crate) fn slices<'a>(&'a mut self, limits: SliceLimits, world: WorldRef<'a>) -> Slices<'a> {
        self.shared().slice.set_limits(limits);
        self.context().world = world.0.map(|world| {
            // SAFETY: the two differ in their lifetimes only. It is there for as long as the slices are, and is taken
            // away when they are dropped. Should they be forgotten instead, nothing runs before there are others.
            unsafe {
                mem::transmute::<NonNull<dyn WorldFunctions + 'a>, NonNull<dyn WorldFunctions>>(world.into())
            }
        });
        let mut slices = Slices { state: self };
        slices.allow(&Allowance::unlimited(0));
        slices
    }
}

/// Runs slices of one state; see [`LuauState::slices`].
pub(crate) struct Slices<'a> {
    state: &'a mut LuauState,
}

impl Drop for Slices<'_> {
    fn drop(&mut self) {
        self.state.context().world = None;
    }
}

impl Slices<'_> {
    /// What each slice may use from now on.
    pub(crate) fn allow(&mut self, allowance: &Allowance) {
        let context = self.state.context();
        context.task_limit = allowance.tasks;
        context.console.set_capacity(allowance.console_bytes);
        self.state.memory.allow_slack(allowance.memory_slack, allowance.pages);
        self.state.shared().slice.set_vm_limits(allowance.call_depth, allowance.parked, allowance.coroutines);
    }

    /// Whether the slices that follow look at the clock at each safepoint, where they do at all.
    pub(crate) fn watch(&mut self, is_watched: bool) {
        self.state.shared().slice.watch(is_watched);
    }

    /// Makes a started process ready for a slice of `quantum` safepoints. It may allocate `memory_bytes`, and what it is
    /// [allowed](Self::allow) beyond them, in a memory category.
    #[inline(always)]
    pub(crate) fn ready(
        &mut self,
        thread: ProcessIndex,
        quantum: u32,
        (memory_bytes, category): (usize, u8),
    ) -> Turn {
        let process = &mut self.state.threads[thread.at()];
        assert!(process.root.is_some(), "thread {} was never started", thread.0);
        let process = ptr::from_mut(process);
        self.state.memory.allow(memory_bytes, category);
        self.state.context().index = thread;
        // SAFETY: the root is anchored and holds what `start` or an earlier slice left; finished threads are reset or
        // discarded by our caller before they are started again, and Luau refuses to resume a finished thread with an
        // error. Nothing else uses the process and the context during the slice but the functions that it calls.
        unsafe { self.state.shared().slice.ready(process, quantum) }
    }

    /// Runs the slices of a batch, which must all be of one state.
    pub(crate) fn run_batch(batch: &mut impl Batch) {
        run_batch(batch);
    }

    /// The slice that runs.
    pub(crate) fn slice(&self) -> &Slice {
        &self.state.shared().slice
    }

    /// The state whose slices these are.
    #[inline]
    pub(crate) fn state(&self) -> &LuauState {
        self.state
    }

    /// What the functions that scripts call read and write.
    #[inline]
    pub(crate) fn context(&mut self) -> &mut Context {
        self.state.context()
    }

    /// See [`LuauState::category_bytes`].
    #[inline]
    pub(crate) fn category_bytes(&self, category: u8) -> usize {
        self.state.category_bytes(category)
    }

    /// Bytes of pages that slices of a memory category have taken.
    pub(crate) fn page_bytes(&self, category: u8) -> usize {
        self.state.memory.page_bytes(category)
    }

    /// See [`LuauState::coroutines`].
    #[inline]
    pub(crate) fn coroutines(&mut self, vm: VmIndex) -> u32 {
        self.state.coroutines(vm)
    }
}
