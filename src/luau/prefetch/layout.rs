//! Where things are in Luau's own structures. Nothing else of the crate knows that, and whether it is so is looked at
//! [once](knows_layout) in each state.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlua::ffi::{self, lua_State};

use super::lines::{LINE, prefetch_line, prefetch_line_once, prefetch_pointee};
use crate::luau::stack::Stack;

/// Bytes of a value on the stack (`TValue` in lobject.h).
const VALUE_BYTES: usize = 16;
/// Bytes of a call frame (`CallInfo` in lstate.h).
const FRAME_BYTES: usize = 48;
/// Offset of `p` in a call frame: what is known of its function. What is there is only prefetched.
const PROTO: usize = 24;
/// Offset of `savedpc` in a call frame, the next instruction. What is there is only prefetched.
const NEXT_INSTRUCTION: usize = 32;
/// The last that a resume uses of a `lua_State`: `nCcalls`. If it spreads over three lines, the one in the middle comes
/// as soon without being asked for: prefetching it made no difference.
const LAST_USED: usize = 80;

/// Offsets of pointers in a `lua_State` (lstate.h).
#[derive(Clone, Copy)]
#[repr(usize)]
enum Word {
    Top = 8,
    Base = 16,
    /// What all threads of a state share.
    Global = 24,
    Frame = 32,
    Stack = 48,
    FirstFrame = 64,
    /// What is there is only prefetched.
    Globals = 88,
}

/// The `lua_State` of a thread.
#[derive(Clone, Copy)]
pub(super) struct ThreadLayout<'t> {
    thread: *const lua_State,
    lifetime: PhantomData<&'t ()>,
}

impl ThreadLayout<'_> {
    /// # Safety
    ///
    /// The thread must be live for the lifetime, and the layout [known](knows_layout).
    #[inline]
    pub(super) unsafe fn new(thread: *const lua_State) -> Self {
        Self { thread, lifetime: PhantomData }
    }

    #[inline]
    fn word(self, word: Word) -> *const u8 {
        let address = self.thread.wrapping_byte_add(word as usize).cast::<*const u8>();
        // SAFETY: by the contract of `new`. All of these lie within a `lua_State`, which consists of initialised words.
        unsafe { address.read() }
    }

    /// How many bytes lie between two of its pointers.
    fn distance(self, to: Word, from: Word) -> usize {
        self.word(to).addr().wrapping_sub(self.word(from).addr())
    }

    /// The call frame and the stack of a thread whose `lua_State` was prefetched a while ago.
    #[inline]
    pub(super) fn prefetch_frame(self) {
        let frame = self.word(Word::Frame);
        prefetch_line_once(frame);
        prefetch_line_once(frame.wrapping_byte_add(40)); // it has 48 bytes, and may begin anywhere in a line
        prefetch_line_once(self.function());
    }

    /// The same, with the frame and the stack of the function that called the one which was interrupted or waits.
    pub(super) fn prefetch_frames(self) {
        let frame = self.word(Word::Frame);
        for offset in [0, LINE, FRAME_BYTES + 40] {
            prefetch_line(frame.wrapping_byte_sub(FRAME_BYTES).wrapping_byte_add(offset));
        }
        prefetch_line(self.function());
        prefetch_line(self.word(Word::Base));
        prefetch_line(self.word(Word::Stack));
    }

    /// The function of a thread whose stack was prefetched a while ago.
    #[inline]
    pub(super) fn prefetch_function(self) {
        // SAFETY: below the base of every frame, also the one that no function has, lies a value, which begins with the
        // address of an object if it is one (`stack_init` in lstate.cpp).
        unsafe { prefetch_pointee(self.function()) }
    }

    /// The functions of a thread whose frames were prefetched a while ago: the one that was interrupted or waits, the main
    /// chunk, and the code of the one that called it. And its globals.
    pub(super) fn prefetch_functions(self) {
        let [frame, first] = [Word::Frame, Word::FirstFrame].map(|word| self.word(word));
        let caller = (frame > first).then(|| frame.wrapping_byte_sub(FRAME_BYTES));
        let main_chunk = self.word(Word::Stack).wrapping_byte_add(VALUE_BYTES);
        let code = caller.map(|caller| [PROTO, NEXT_INSTRUCTION].map(|part| caller.wrapping_byte_add(part)));
        prefetch_line(self.word(Word::Globals));
        for place in [self.function(), main_chunk].into_iter().chain(code.into_iter().flatten()) {
            // SAFETY: as for `prefetch_function`. A stack has room for more than two values, of which the first function
            // that was called is the second. Frames are in one array, so below another than the first one is one.
            unsafe { prefetch_pointee(place) }
        }
    }

    /// Where the frame has its function: below its first value.
    #[inline]
    fn function(self) -> *const u8 {
        self.word(Word::Base).wrapping_byte_sub(VALUE_BYTES)
    }
}

/// Whether `lua_State` looks as it is thought to: pushed values must move `top` away from `base`, which is one value above
/// the stack's start while no function runs, in the first call frame. If not, frames and functions must not be
/// prefetched. The thread must not run, and its stack be empty.
pub(in crate::luau) fn knows_layout(stack: &mut Stack<'_>) -> bool {
    // SAFETY: a stack's thread is live. Only words of its `lua_State` are read, which has as many.
    let layout = unsafe { ThreadLayout::new(stack.thread()) };
    let mut as_expected = layout.distance(Word::Base, Word::Stack) == VALUE_BYTES
        && layout.distance(Word::Frame, Word::FirstFrame) == 0;
    for values in 0..4 {
        as_expected &= layout.distance(Word::Top, Word::Base) == values * VALUE_BYTES;
        stack.push_nil();
    }
    stack.resize(0);
    as_expected
}

/// From what all threads of a state share to its callbacks, in bytes. The same in all states.
static CALLBACKS: AtomicUsize = AtomicUsize::new(0);

/// More bytes than `global_State` has.
const MAX_DISTANCE: usize = 1 << 14;

/// Whether the callbacks of a state are found without asking Luau: see [`userdata`]. To be called in a protected call.
pub(in crate::luau) fn finds_callbacks(stack: &mut Stack<'_>) -> bool {
    let other = stack.push_new_thread();
    let callbacks = stack.callbacks();
    // SAFETY: both are live. Only words of a `lua_State` are read, which has as many.
    let [global, same] =
        [stack.thread(), other].map(|thread| unsafe { ThreadLayout::new(thread) }.word(Word::Global));
    let distance = callbacks.addr().wrapping_sub(global.addr());
    CALLBACKS.store(distance, Ordering::Relaxed);
    ptr::eq(global, same) && distance < MAX_DISTANCE
}

/// What `lua_callbacks(thread)->userdata` is, in three instructions.
///
/// # Safety
///
/// The thread must be live, and its state one in which callbacks [are found](finds_callbacks).
#[inline]
pub(in crate::luau) unsafe fn userdata(thread: *const lua_State) -> *mut c_void {
    // SAFETY: by the contract.
    let global = unsafe { ThreadLayout::new(thread) }.word(Word::Global);
    let callbacks = global.wrapping_byte_add(CALLBACKS.load(Ordering::Relaxed));
    // SAFETY: by the contract. They live as long as the state.
    unsafe { (*callbacks.cast::<ffi::lua_Callbacks>()).userdata }
}

/// What all threads of a state share: its `global_State`.
///
/// # Safety
///
/// The thread must be live, and its layout [known](knows_layout).
pub(in crate::luau) unsafe fn global_state(thread: *const lua_State) -> *mut c_void {
    // SAFETY: by the contract.
    let layout = unsafe { ThreadLayout::new(thread) };
    layout.word(Word::Global).cast_mut().cast()
}

/// Starts loading the `lua_State` of a thread that will be resumed soon.
#[inline]
pub(super) fn prefetch_thread(thread: *const lua_State) {
    prefetch_line_once(thread);
    prefetch_line_once(thread.wrapping_byte_add(LAST_USED));
}

#[cfg(test)]
mod tests {
    use crate::luau::{HostFunctions, LuauState};

    #[test]
    fn threads_look_as_prefetching_wants_them() {
        let mut state = LuauState::open(HostFunctions::default(), None).expect("memory");
        assert!(state.knows_layout, "Luau has changed: look up the offsets in `prefetch`");
        assert!(state.protect(super::finds_callbacks).expect("memory"), "the same");
    }
}
