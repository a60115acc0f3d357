//! Loading what the next slices need before they need it.
//!
//! With hundreds of thousands of processes a slice waits for memory more than it computes. Where that memory is
//! stands in Luau's own structures, of which only [a few words](layout) are read. Those on which it depends what else is
//! read are looked at first.

mod layout;
pub(super) mod lines;

use mlua::ffi::lua_State;

use super::state::LuauState;
use crate::types::ProcessIndex;
use layout::{ThreadLayout, prefetch_thread};

pub(super) use layout::{finds_callbacks, global_state, knows_layout, userdata};
pub(crate) use lines::prefetch;
use lines::{prefetch_at, prefetch_line};

impl LuauState {
    /// Starts loading the thread of a process that will be resumed soon.
    #[inline]
    pub(crate) fn prefetch_thread(&self, process: ProcessIndex) {
        self.root_address(process).into_iter().for_each(prefetch_thread);
    }

    /// Starts loading the call frame and the stack of one whose thread was prefetched a while ago.
    #[inline]
    pub(crate) fn prefetch_frame(&self, process: ProcessIndex) {
        self.layout(process).into_iter().for_each(ThreadLayout::prefetch_frame);
    }

    /// Starts loading the function of one whose stack was prefetched a while ago.
    #[inline]
    pub(crate) fn prefetch_function(&self, process: ProcessIndex) {
        self.layout(process).into_iter().for_each(ThreadLayout::prefetch_function);
    }

    /// As [`Self::prefetch_frame`], with the frame and the stack of the function that called the one which was
    /// interrupted or waits.
    pub(crate) fn prefetch_frames(&self, process: ProcessIndex) {
        self.layout(process).into_iter().for_each(ThreadLayout::prefetch_frames);
    }

    /// Starts loading the functions of one whose frames were prefetched a while ago: the one that was interrupted or
    /// waits, the main chunk, and the code of the one that called it. And its globals.
    pub(crate) fn prefetch_functions(&self, process: ProcessIndex) {
        self.layout(process).into_iter().for_each(ThreadLayout::prefetch_functions);
    }

    fn root_address(&self, process: ProcessIndex) -> Option<*const lua_State> {
        Some(self.threads.get(process.at())?.root?.address())
    }

    #[inline]
    fn layout(&self, process: ProcessIndex) -> Option<ThreadLayout<'_>> {
        let root = self.root_address(process).filter(|_| self.knows_layout)?;
        // SAFETY: roots are anchored, and their layout is known.
        Some(unsafe { ThreadLayout::new(root) })
    }

    /// Loads the counter of a memory category of a state whose globals were prefetched a while ago. Where that is, only
    /// Luau knows.
    pub(crate) fn load_category(&self, category: u8) {
        self.category_bytes(category);
    }

    /// Starts loading where the thread of a process is.
    pub(crate) fn prefetch_thread_entry(&self, process: ProcessIndex) {
        self.threads.get(process.at()).into_iter().for_each(prefetch);
    }

    /// Starts loading what is kept of a process beside its thread: where that is, and who it is.
    pub(crate) fn prefetch_process(&self, process: ProcessIndex) {
        self.prefetch_thread_entry(process);
        self.context_ref().callers.get(process.at()).into_iter().for_each(prefetch);
    }

    /// Starts loading what all slices need.
    pub(crate) fn prefetch_parts(&self) {
        prefetch(&*self.memory);
        prefetch(self.shared());
        prefetch_thread(self.main);
    }

    /// Starts loading where the threads of processes are.
    pub(crate) fn prefetch_threads(&self) {
        prefetch(&self.threads[..]);
    }

    /// Starts loading the page table's entries for the objects of a state whose parts were prefetched.
    pub(crate) fn prefetch_tlb(&self) {
        self.memory.prefetch_tlb();
    }

    /// Starts loading what slices need of Luau's global state, and where they note what they ask for. Where that is
    /// stands in the main thread and the context, which were prefetched a while ago.
    pub(crate) fn prefetch_globals(&self) {
        prefetch_at(self.main_thread().callbacks());
        prefetch_line(self.context_ref().requests.as_ptr());
        self.load_category(0); // and its neighbours
    }
}
