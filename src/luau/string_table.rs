//! The table that has all strings of a state.
//!
//! It doubles when it is full, in one block, whoever makes the next string. That is nobody's memory: the allocator has to
//! know the block, so that it refuses it to nobody, and the table is grown between slices where it can be foreseen.

use std::ffi::c_void;
use std::ptr::NonNull;

use super::prefetch::global_state;
use super::thread::OwnThread;

/// Below this, growing takes no time to speak of.
pub(super) const MIN_SIZE: u32 = 1 << 12;

/// `stringtable` in lstate.h, with which `global_State` begins.
#[derive(Clone, Copy)]
#[repr(C)]
struct Layout {
    buckets: *mut c_void,
    used: u32,
    /// Of buckets.
    size: i32,
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(super) struct StringTable(NonNull<Layout>);

impl StringTable {
    /// The table of a state, if it looks like one: `is_block` says whether a block of so many bytes is there.
    ///
    /// # Safety
    ///
    /// The layout of the thread must be [known](super::prefetch::knows_layout). This must not be used when the state has
    /// gone.
    pub(super) unsafe fn find(
        main: OwnThread<'_>,
        is_block: impl Fn(*mut c_void, usize) -> bool,
    ) -> Option<Self> {
        // SAFETY: by the contract.
        let table = Self(NonNull::new(unsafe { global_state(main.address()) }.cast())?);
        (table.used() <= table.size() && is_block(table.read().buckets, table.bytes())).then_some(table)
    }

    #[inline]
    fn read(self) -> Layout {
        // SAFETY: by the contract of `find`: every `global_State` begins with so many bytes that are initialised, of
        // which nobody keeps a reference.
        unsafe { *self.0.as_ptr() }
    }

    pub(super) fn used(self) -> u32 {
        self.read().used
    }

    pub(super) fn size(self) -> u32 {
        self.read().size.unsigned_abs()
    }

    fn bytes(self) -> usize {
        self.size() as usize * size_of::<*mut c_void>()
    }

    /// Whether Luau grows it now: a block of `size` bytes is asked for, or the old one is given back.
    #[inline]
    pub(super) fn grows(self, block: *mut c_void, size: usize) -> bool {
        if self.used() <= self.size() {
            return false;
        }
        if block.is_null() { size == 2 * self.bytes() } else { size == 0 && block == self.read().buckets }
    }

    pub(super) fn is_crowded(self) -> bool {
        self.size() >= MIN_SIZE && self.used() > self.size() / 4 * 3
    }

    /// Makes it look as if so many strings were there.
    pub(super) fn set_used(self, used: u32) {
        // SAFETY: as above. Luau only compares the number with the size, and counts.
        unsafe { (*self.0.as_ptr()).used = used }
    }
}
