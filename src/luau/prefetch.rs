//! Loading what the next slices need before they need it.
//!
//! With hundreds of thousands of processes a slice waits for memory more than it computes. Where that memory is
//! stands in Luau's own structures, of which only the few words below are read. Those on which it depends what else is
//! read are looked at [first](knows_layout).

use mlua::ffi::{self, lua_State};

use super::LuauState;
use crate::types::ProcessIndex;

/// Bytes of a long array that are loaded.
const BEGINNING: usize = 1 << 10;

/// Pages of a long array of which the first lines are loaded.
const PAGES: usize = 16;

/// Bytes of a line of memory.
const LINE: usize = 64;

/// Bytes of a page of the operating system.
pub(super) const OS_PAGE: usize = 4096;

/// Bytes of a value on the stack (`TValue` in lobject.h).
const VALUE_BYTES: usize = 16;

/// Offset of `top` in `lua_State` (lstate.h).
const TOP: usize = 8;
/// See [`TOP`].
const BASE: usize = 16;
/// See [`TOP`].
const CI: usize = 32;
/// See [`TOP`].
const STACK: usize = 48;
/// Offset of `base_ci` in `lua_State`, the first call frame.
const FIRST_CI: usize = 64;
/// Offset of `gt` in `lua_State`, the table of globals. What is there is only prefetched.
const GLOBALS: usize = 88;
/// Bytes of a call frame (`CallInfo` in lstate.h).
const FRAME_BYTES: usize = 48;
/// Offset of `p` in a call frame: what is known of its function. Of `savedpc`, the next instruction. What is there is
/// only prefetched.
const PROTO: usize = 24;
/// See [`PROTO`].
const NEXT_INSTRUCTION: usize = 32;
/// The last that a resume uses of a `lua_State`: `nCcalls`. If it spreads over three lines, the one in the middle comes
/// as soon without being asked for: prefetching it made no difference.
const LAST_USED: usize = 80;

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
            // SAFETY: roots are anchored, and their layout is known. A stack has room for more than two values, of
            // which the first function that was called is the second. Frames are in one array.
            unsafe {
                prefetch_pointee(function_below(word(root, BASE)));
                prefetch_pointee(word(root, STACK).byte_add(VALUE_BYTES));
                prefetch_line(word(root, GLOBALS));
                let [frame, first] = [CI, FIRST_CI].map(|offset| word(root, offset));
                if frame > first {
                    let caller = frame.byte_sub(FRAME_BYTES);
                    prefetch_pointee(caller.byte_add(PROTO));
                    prefetch_pointee(caller.byte_add(NEXT_INSTRUCTION));
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
        // SAFETY: it lives as long as we do, and is used by nobody else.
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
        // SAFETY: both live as long as the state, and only code that borrows it changes them.
        let (callbacks, context) =
            unsafe { (&*ffi::lua_callbacks(self.main), &*self.shared().context.get()) };
        prefetch(callbacks);
        prefetch_line(context.requests.as_ptr());
        self.load_category(0); // and its neighbours
    }
}

/// Whether `lua_State` looks as it is thought to: pushed values must move `top` away from `base`, which is one value above
/// the stack's start while no function runs, in the first call frame. If not, frames and functions must not be
/// prefetched.
///
/// # Safety
///
/// `thread` must be live and not running, with an empty stack and room for some values.
pub(super) unsafe fn knows_layout(thread: *mut lua_State) -> bool {
    let distance = |to: usize, from: usize| {
        // SAFETY: by the contract; all words that are asked for lie within a `lua_State`, which consists of initialised
        // words there.
        unsafe { word(thread, to).addr().wrapping_sub(word(thread, from).addr()) }
    };
    let mut as_expected = distance(BASE, STACK) == VALUE_BYTES && distance(CI, FIRST_CI) == 0;
    for values in 0..4 {
        as_expected &= distance(TOP, BASE) == values * VALUE_BYTES;
        // SAFETY: by the contract.
        unsafe { ffi::lua_pushnil(thread) };
    }
    // SAFETY: takes them off.
    unsafe { ffi::lua_settop(thread, 0) };
    as_expected
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
    // SAFETY: by the contract. Below the base of every frame, also the one that no function has, lies a value, which
    // begins with the address of an object if it is one (`stack_init` in lstate.cpp).
    unsafe { prefetch_pointee(function_below(word(root, BASE))) }
}

/// Starts loading what the pointer at an address points to, if a pointer is there.
///
/// # Safety
///
/// At `address` must be 8 bytes of readable memory.
unsafe fn prefetch_pointee(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: by the contract. What is there may never have been written (of a value only the part that its type needs is),
    // so it is read here; what it says is not dereferenced.
    unsafe {
        std::arch::asm!(
            "mov {pointee}, [{address}]",
            "prefetchnta [{pointee}]",
            address = in(reg) address,
            pointee = out(reg) _,
            options(nostack, readonly, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

fn function_below(base: *const u8) -> *const u8 {
    base.wrapping_byte_sub(VALUE_BYTES)
}

/// A word of a `lua_State`.
///
/// # Safety
///
/// `thread` must be live, and `offset` that of a pointer in it.
unsafe fn word(thread: *const lua_State, offset: usize) -> *const u8 {
    // SAFETY: by the contract.
    unsafe { thread.byte_add(offset).cast::<*const u8>().read() }
}

/// Starts loading a value. Of a long one, the beginning, and the first two lines in each page of memory: the processor
/// sees by itself what follows in a page, but not beyond.
pub(crate) fn prefetch<T: ?Sized>(value: &T) {
    let start = (&raw const *value).cast::<u8>();
    let size = size_of_val(value);
    for offset in (0..size.min(BEGINNING)).step_by(LINE) {
        prefetch_line(start.wrapping_byte_add(offset));
    }
    let first_page = start.addr().wrapping_neg() % OS_PAGE;
    for offset in (first_page..size).step_by(OS_PAGE).take(PAGES) {
        prefetch_line(start.wrapping_byte_add(offset));
        prefetch_line(start.wrapping_byte_add(offset + LINE));
    }
}

/// Starts loading the line of memory at an address, whatever that is.
pub(super) fn prefetch_line<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it may point anywhere.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The same for a line that one turn of a pass needs, and then nobody until the next pass. It can leave the shared cache
/// to others: two workers are 1% faster so (measured on an AMD EPYC).
fn prefetch_line_once<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it may point anywhere.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_NTA, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_NTA>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
