//! Loading what the next slices need before they need it.
//!
//! With hundreds of thousands of processes a slice waits for memory more than it computes.

use mlua::ffi::lua_State;

/// Offset of `ci` and `base` in `lua_State` (lstate.h). Only what is prefetched depends on them: were
/// they wrong, slices would be slower and no more.
const STATE_BASE: usize = 16;
/// See [`STATE_BASE`].
const STATE_CI: usize = 32;

/// Starts loading the `lua_State` of a thread that will be resumed soon.
pub(in super::super) fn prefetch_thread(root: *const lua_State) {
    prefetch(root.cast());
    prefetch(root.wrapping_byte_add(64).cast());
}

/// Starts loading the call frame and the stack of a thread that will be resumed soon, and whose
/// `lua_State` was prefetched a while ago.
///
/// # Safety
///
/// `root` must be live.
pub(in super::super) unsafe fn prefetch_frame(root: *const lua_State) {
    // SAFETY: both offsets, with a pointer's size, lie within a `lua_State`, which has 136 bytes and
    // consists of initialised words there. What is read is not dereferenced.
    let [ci, base] =
        [STATE_CI, STATE_BASE].map(|offset| unsafe { root.byte_add(offset).cast::<*const u8>().read() });
    prefetch(ci);
    prefetch(ci.wrapping_byte_add(40));
    // The function lies below the base, its locals above.
    prefetch(base.wrapping_byte_sub(16));
}

fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it may point anywhere.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
