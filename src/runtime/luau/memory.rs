//! The allocator of a state: Rust's, with a counter.

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::c_void;
use std::ptr;

/// What a C programmer may expect of `malloc`, and Luau does.
const ALIGNMENT: usize = 16;

/// How much a state has allocated.
#[derive(Debug, Default)]
pub(super) struct Memory {
    used: usize,
}

impl Memory {
    /// Bytes.
    pub(super) fn used(&self) -> usize {
        self.used
    }
}

/// Luau's `lua_Alloc`. Null, to which Luau answers with a memory error, when there is no more.
///
/// # Safety
///
/// `memory` must point to a [`Memory`] that nothing else uses during the call; `block` must be null
/// or come from this function, with a size of `old_size`.
pub(super) unsafe extern "C" fn allocate(
    memory: *mut c_void,
    block: *mut c_void,
    old_size: usize,
    new_size: usize,
) -> *mut c_void {
    let old_size = if block.is_null() { 0 } else { old_size };
    let (Ok(old), Ok(new)) =
        (Layout::from_size_align(old_size, ALIGNMENT), Layout::from_size_align(new_size, ALIGNMENT))
    else {
        return ptr::null_mut();
    };
    // SAFETY: blocks of size 0 are never allocated, and a block is given back with the layout that it
    // was made with, by the contract.
    unsafe {
        let memory = &mut *memory.cast::<Memory>();
        let moved: *mut u8 = match (old_size, new_size) {
            (0, 0) => ptr::null_mut(),
            (0, _) => alloc(new),
            (_, 0) => {
                dealloc(block.cast(), old);
                ptr::null_mut()
            }
            _ => realloc(block.cast(), old, new_size),
        };
        if new_size == 0 || !moved.is_null() {
            memory.used = memory.used - old_size + new_size;
        }
        moved.cast()
    }
}
