//! Loading what the next slices need before they need it.
//!
//! With hundreds of thousands of processes a slice waits for memory more than it computes. Where that memory is
//! stands in Luau's own structures, of which only [a few words](layout) are read. Those on which it depends what else is
//! read are looked at first.

mod layout;
mod lines;

use mlua::ffi::{self, lua_State};

use super::state::LuauState;
use crate::types::ProcessIndex;
use layout::{
    BASE, CI, FIRST_CI, FRAME_BYTES, GLOBALS, LAST_USED, NEXT_INSTRUCTION, PROTO, STACK, VALUE_BYTES,
    function_below, word,
};
use lines::{LINE, prefetch_line_once, prefetch_pointee};

pub(super) use layout::knows_layout;
pub(crate) use lines::prefetch;
pub(super) use lines::{OS_PAGE, prefetch_line};

impl LuauState {
    /// Starts loading the thread of a process that will be resumed soon.
    #[inline]
    pub(crate) fn prefetch_thread(&self, thread: ProcessIndex) {
        if let Some(root) = self.root(thread) {
            prefetch_thread(root);
        }
    }

    /// Starts loading the call frame and the stack of one whose thread was prefetched a while ago.
    #[inline]
    pub(crate) fn prefetch_frame(&self, thread: ProcessIndex) {
        if self.knows_layout
            && let Some(root) = self.root(thread)
        {
            // SAFETY: roots are anchored, and their layout is known.
            unsafe { prefetch_frame(root) }
        }
    }

    /// Starts loading the function of one whose stack was prefetched a while ago.
    #[inline]
    pub(crate) fn prefetch_function(&self, thread: ProcessIndex) {
        if self.knows_layout
            && let Some(root) = self.root(thread)
        {
            // SAFETY: roots are anchored, and their layout is known.
            unsafe { prefetch_function(root) }
        }
    }

    /// As [`Self::prefetch_frame`], with the frame and the stack of the function that called the one which was
    /// interrupted or waits.
    pub(crate) fn prefetch_frames(&self, thread: ProcessIndex) {
        if let Some(root) = self.root(thread).filter(|_| self.knows_layout) {
            // SAFETY: roots are anchored, and their layout is known.
            let [frame, base, stack] = [CI, BASE, STACK].map(|offset| unsafe { word(root, offset) });
            for offset in [0, LINE, FRAME_BYTES + 40] {
                prefetch_line(frame.wrapping_byte_sub(FRAME_BYTES).wrapping_byte_add(offset));
            }
            prefetch_line(function_below(base));
            prefetch_line(base);
            prefetch_line(stack);
        }
    }

    /// Starts loading the functions of one whose frames were prefetched a while ago: the one that was interrupted or
    /// waits, the main chunk, and the code of the one that called it. And its globals.
    pub(crate) fn prefetch_functions(&self, thread: ProcessIndex) {
        if let Some(root) = self.root(thread).filter(|_| self.knows_layout) {
            // SAFETY: roots are anchored, and their layout is known.
            let [base, stack, globals, frame, first] =
                [BASE, STACK, GLOBALS, CI, FIRST_CI].map(|offset| unsafe { word(root, offset) });
            prefetch_line(globals);
            for function in [function_below(base), stack.wrapping_byte_add(VALUE_BYTES)] {
                // SAFETY: a stack has room for more than two values, of which the first function that was called is the
                // second.
                unsafe { prefetch_pointee(function) }
            }
            if frame > first {
                let caller = frame.wrapping_byte_sub(FRAME_BYTES);
                for part in [PROTO, NEXT_INSTRUCTION] {
                    // SAFETY: frames are in one array, so this is one.
                    unsafe { prefetch_pointee(caller.wrapping_byte_add(part)) }
                }
            }
        }
    }

    /// Loads the counter of a memory category of a state whose globals were prefetched a while ago. Where that is, only
    /// Luau knows.
    pub(crate) fn load_category(&self, category: u8) {
        self.category_bytes(category);
    }

    fn root(&self, thread: ProcessIndex) -> Option<*const lua_State> {
        let root = self.threads.get(thread.at())?.root.cast_const();
        (!root.is_null()).then_some(root)
    }

    /// Starts loading where the thread of a process is.
    pub(crate) fn prefetch_thread_entry(&self, thread: ProcessIndex) {
        self.threads.get(thread.at()).into_iter().for_each(prefetch);
    }

    /// Starts loading what is kept of a process beside its thread: where that is, and who it is.
    pub(crate) fn prefetch_process(&self, thread: ProcessIndex) {
        self.prefetch_thread_entry(thread);
        // SAFETY: it is used by nobody else.
        if let Some(caller) = unsafe { &*self.shared().context.get() }.callers.get(thread.at()) {
            prefetch(caller);
        }
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
        // SAFETY: the main thread is live.
        prefetch_line(unsafe { ffi::lua_callbacks(self.main) });
        // SAFETY: only code that borrows the state changes it.
        prefetch_line(unsafe { &*self.shared().context.get() }.requests.as_ptr());
        self.load_category(0); // and its neighbours
    }
}

/// Starts loading the `lua_State` of a thread that will be resumed soon.
fn prefetch_thread(root: *const lua_State) {
    prefetch_line_once(root);
    prefetch_line_once(root.wrapping_byte_add(LAST_USED));
}

/// Starts loading the call frame and the stack of a thread whose `lua_State` was prefetched a while ago.
///
/// # Safety
///
/// `root` must be live, and the layout of threads [known](knows_layout).
unsafe fn prefetch_frame(root: *const lua_State) {
    // SAFETY: by the contract.
    let [frame, base] = [CI, BASE].map(|offset| unsafe { word(root, offset) });
    prefetch_line_once(frame);
    prefetch_line_once(frame.wrapping_byte_add(40)); // it has 48 bytes, and may begin anywhere in a line
    prefetch_line_once(function_below(base));
}

/// Starts loading the function of a thread whose stack was prefetched a while ago.
///
/// # Safety
///
/// As for [`prefetch_frame`].
unsafe fn prefetch_function(root: *const lua_State) {
    // SAFETY: by the contract.
    let base = unsafe { word(root, BASE) };
    // SAFETY: below the base of every frame, also the one that no function has, lies a value, which begins with the
    // address of an object if it is one (`stack_init` in lstate.cpp).
    unsafe { prefetch_pointee(function_below(base)) }
}
