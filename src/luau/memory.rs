//! The allocator of a state: Rust's, with a counter and a list of all blocks, and one for Luau's pages.
//!
//! Luau has no finalizers that scripts can set, so closing a state comes down to giving its blocks back,
//! which takes a tenth of the time that `lua_close` needs to visit each object.

mod pages;

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::c_void;
use std::ptr;

use self::pages::Pages;
use super::slice::{LimitViolation, Slice, SliceEnd};

/// Bytes beyond which a block takes noticeable time to fill. Larger than the pages that Luau takes for
/// its small objects: those are paid for by the safepoints of the code that makes them.
const LARGE_BLOCK: usize = 64 << 10;

/// How much a state has allocated, and where.
#[derive(Debug)]
pub(super) struct Memory {
    used: usize,
    /// What was used when the slice began.
    used_before: usize,
    /// If it allocates more than this it ends at its next safepoint, ...
    allowed: usize,
    /// ... and if it is so much more it is refused, and its process is killed.
    slack: usize,
    last: *mut Block,
    pages: Pages,
    /// The slice that is charged. Valid for as long as the state is, or null: then nobody is.
    slice: *const Slice,
}

/// What stands before each block. Its alignment is what Luau expects of its blocks.
#[derive(Debug)]
#[repr(C, align(16))]
struct Block {
    previous: *mut Block,
    next: *mut Block,
    size: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            used: 0,
            used_before: 0,
            allowed: usize::MAX,
            slack: 0,
            last: ptr::null_mut(),
            pages: Pages::default(),
            slice: ptr::null(),
        }
    }
}

impl Memory {
    /// Memory that is charged to a slice.
    ///
    /// # Safety
    ///
    /// `slice` must outlive the state that this is the memory of.
    pub(super) unsafe fn charged_to(slice: *const Slice) -> Self {
        let mut memory = Self::default();
        memory.slice = slice;
        memory
    }

    /// Bytes.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// See [`Pages::prefetch_tlb`].
    pub(super) fn prefetch_tlb(&self) {
        self.pages.prefetch_tlb();
    }

    /// A slice begins that may allocate `bytes`.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.used_before = self.used;
        self.allowed = bytes;
    }

    /// What slices may allocate beyond what they are allowed, until they are refused more.
    pub(super) fn allow_slack(&mut self, slack: usize) {
        self.slack = slack;
    }

    /// Whether `size` more bytes may be had, replacing `old_size`. Only slices have limits.
    fn permits(&self, old_size: usize, size: usize) -> bool {
        if size <= old_size && size <= LARGE_BLOCK {
            return true;
        }
        // SAFETY: by the contract of `charged_to`.
        let Some(slice) = (unsafe { self.slice.as_ref() }) else { return true };
        if size > LARGE_BLOCK && !slice.charge_block(size) {
            return false;
        }
        let gained = (self.used - old_size).saturating_add(size).saturating_sub(self.used_before);
        if size <= old_size || gained <= self.allowed || !slice.end_soon() {
            return true;
        }
        let permitted = gained <= self.allowed.saturating_add(self.slack);
        if !permitted {
            slice.mark_for_kill(SliceEnd::Exceeded(LimitViolation::Memory(gained)));
        }
        permitted
    }

    /// # Safety
    ///
    /// `data` must be null or ours, of `size` bytes.
    unsafe fn free(&mut self, data: *mut c_void, size: usize) {
        if data.is_null() {
            return;
        }
        // SAFETY: by the contract; blocks in the list were allocated with the layout of their size.
        unsafe {
            if pages::is_page(size) {
                return self.pages.free(data.cast(), size);
            }
            let block = data.cast::<Block>().sub(1);
            self.unlink(block);
            if let Some(layout) = layout((*block).size) {
                dealloc(block.cast(), layout);
            }
        }
    }

    /// Moves a block, or makes a new one, where one of the two is a page.
    ///
    /// # Safety
    ///
    /// `data` must be null or ours, of `old_size` bytes.
    unsafe fn replace(&mut self, data: *mut c_void, old_size: usize, new_size: usize) -> *mut c_void {
        // SAFETY: by the contract; both have the bytes that are copied.
        unsafe {
            let new = if pages::is_page(new_size) {
                self.pages.allocate(new_size).cast()
            } else {
                self.resize(ptr::null_mut(), new_size)
            };
            if !new.is_null() && !data.is_null() {
                new.copy_from_nonoverlapping(data, old_size.min(new_size));
                self.free(data, old_size);
            }
            new
        }
    }

    /// Changes the size of a block in the list, or adds one.
    ///
    /// # Safety
    ///
    /// `data` must be null or ours, and not a page.
    unsafe fn resize(&mut self, data: *mut c_void, size: usize) -> *mut c_void {
        let Some(new_layout) = layout(size) else { return ptr::null_mut() };
        // SAFETY: what is in the list was allocated with the layout of its size, and every layout has a size
        // because of the header.
        unsafe {
            let old = if data.is_null() { ptr::null_mut() } else { data.cast::<Block>().sub(1) };
            let (old_layout, previous, next) = match old.as_ref() {
                Some(old) => (layout(old.size), old.previous, old.next),
                None => (None, self.last, ptr::null_mut()),
            };
            let new: *mut Block = match old_layout {
                Some(old_layout) => realloc(old.cast(), old_layout, new_layout.size()).cast(),
                None => alloc(new_layout).cast(),
            };
            if new.is_null() {
                return ptr::null_mut();
            }
            new.write(Block { previous, next, size });
            self.link(new);
            new.add(1).cast()
        }
    }

    /// # Safety
    ///
    /// `block` must be valid, with `previous` and `next` as they are to be.
    unsafe fn link(&mut self, block: *mut Block) {
        // SAFETY: neighbours in the list are valid.
        unsafe {
            match (*block).next.as_mut() {
                Some(next) => next.previous = block,
                None => self.last = block,
            }
            if let Some(previous) = (*block).previous.as_mut() {
                previous.next = block;
            }
        }
    }

    /// # Safety
    ///
    /// `block` must be in the list.
    unsafe fn unlink(&mut self, block: *mut Block) {
        // SAFETY: all blocks in the list are valid.
        unsafe {
            let Block { previous, next, .. } = *block;
            match next.as_mut() {
                Some(next) => next.previous = previous,
                None => self.last = previous,
            }
            if let Some(previous) = previous.as_mut() {
                previous.next = next;
            }
        }
    }
}

/// Gives back all blocks.
impl Drop for Memory {
    fn drop(&mut self) {
        while !self.last.is_null() {
            // SAFETY: blocks in the list are valid, and were allocated with this layout.
            unsafe {
                let block = self.last;
                self.last = (*block).previous;
                if let Some(layout) = layout((*block).size) {
                    dealloc(block.cast(), layout);
                }
            }
        }
    }
}

/// Of a block with its header.
fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(size_of::<Block>())?, align_of::<Block>()).ok()
}

/// Luau's `lua_Alloc`. Null, to which Luau answers with a memory error, when there is no more.
///
/// # Safety
///
/// `memory` must point to a [`Memory`] that nothing else uses during the call; `data` must be null or
/// come from this function with the same `memory`, when it had the size `old_size`.
pub(super) unsafe extern "C" fn allocate(
    memory: *mut c_void,
    data: *mut c_void,
    old_size: usize,
    new_size: usize,
) -> *mut c_void {
    // SAFETY: by the contract. What `old_size` says tells whether `data` is a page or in the list of blocks.
    unsafe {
        let memory = &mut *memory.cast::<Memory>();
        let old_size = if data.is_null() { 0 } else { old_size };
        if new_size == 0 {
            memory.used -= old_size;
            memory.free(data, old_size);
            return ptr::null_mut();
        }
        if !memory.permits(old_size, new_size) {
            return ptr::null_mut();
        }
        let new = if pages::is_page(new_size) || pages::is_page(old_size) {
            memory.replace(data, old_size, new_size)
        } else {
            memory.resize(data, new_size)
        };
        if !new.is_null() {
            memory.used = memory.used - old_size + new_size;
        }
        new
    }
}
