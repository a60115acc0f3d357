//! Where things are in Luau's own structures. Nothing else of the crate knows that, and whether it is so is looked at
//! [once](knows_layout) in each state.

use mlua::ffi::lua_State;

use crate::luau::stack::Stack;

/// Bytes of a value on the stack (`TValue` in lobject.h).
pub(super) const VALUE_BYTES: usize = 16;

/// Offset of `top` in `lua_State` (lstate.h).
pub(super) const TOP: usize = 8;
/// See [`TOP`].
pub(super) const BASE: usize = 16;
/// See [`TOP`].
pub(super) const CI: usize = 32;
/// See [`TOP`].
pub(super) const STACK: usize = 48;
/// Offset of `base_ci` in `lua_State`, the first call frame.
pub(super) const FIRST_CI: usize = 64;
/// Offset of `gt` in `lua_State`, the table of globals. What is there is only prefetched.
pub(super) const GLOBALS: usize = 88;
/// Bytes of a call frame (`CallInfo` in lstate.h).
pub(super) const FRAME_BYTES: usize = 48;
/// Offset of `p` in a call frame: what is known of its function. Of `savedpc`, the next instruction. What is there is
/// only prefetched.
pub(super) const PROTO: usize = 24;
/// See [`PROTO`].
pub(super) const NEXT_INSTRUCTION: usize = 32;
/// The last that a resume uses of a `lua_State`: `nCcalls`. If it spreads over three lines, the one in the middle comes
/// as soon without being asked for: prefetching it made no difference.
pub(super) const LAST_USED: usize = 80;

/// Whether `lua_State` looks as it is thought to: pushed values must move `top` away from `base`, which is one value above
/// the stack's start while no function runs, in the first call frame. If not, frames and functions must not be
/// prefetched. The thread must not run, and its stack be empty.
pub(in crate::luau) fn knows_layout(stack: &mut Stack<'_>) -> bool {
    let thread = stack.thread();
    let distance = |to: usize, from: usize| {
        // SAFETY: a stack's thread is live; all words that are asked for lie within a `lua_State`, which consists of
        // initialised words there.
        let [to, from] = [to, from].map(|offset| unsafe { word(thread, offset) });
        to.addr().wrapping_sub(from.addr())
    };
    let mut as_expected = distance(BASE, STACK) == VALUE_BYTES && distance(CI, FIRST_CI) == 0;
    for values in 0..4 {
        as_expected &= distance(TOP, BASE) == values * VALUE_BYTES;
        stack.push_nil();
    }
    stack.resize(0);
    as_expected
}

/// A word of a `lua_State`.
///
/// # Safety
///
/// `thread` must be live, and `offset` that of a pointer in it.
#[inline]
pub(super) unsafe fn word(thread: *const lua_State, offset: usize) -> *const u8 {
    // SAFETY: by the contract.
    unsafe { thread.wrapping_byte_add(offset).cast::<*const u8>().read() }
}

/// Where a frame has its function, whose first value is at `base`.
pub(super) fn function_below(base: *const u8) -> *const u8 {
    base.wrapping_byte_sub(VALUE_BYTES)
}

#[cfg(test)]
mod tests {
    use crate::luau::{HostFunctions, LuauState};

    #[test]
    fn threads_look_as_prefetching_wants_them() {
        let state = LuauState::open(HostFunctions::default()).expect("memory");
        assert!(state.knows_layout, "Luau has changed: look up the offsets in `prefetch`");
    }
}
