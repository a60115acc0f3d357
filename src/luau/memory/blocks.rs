//! The blocks of a state that are no pages: each is found when the state goes.

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::c_void;
use std::ptr::{self, NonNull};

/// All blocks, in any order.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<Block>);

/// A block, which goes when this is dropped.
#[derive(Debug)]
struct Block(NonNull<Header>);

/// What stands before each block. Its alignment is what Luau expects of its blocks.
#[derive(Debug)]
#[repr(C, align(16))]
struct Header {
    /// Where it stands in [`Blocks`].
    index: usize,
    size: usize,
}

impl Blocks {
    /// A new block. Null if there is no memory.
    pub(super) fn add(&mut self, size: usize) -> *mut c_void {
        if self.0.try_reserve(1).is_err() {
            return ptr::null_mut();
        }
        let Some(block) = Block::new(self.0.len(), size) else { return ptr::null_mut() };
        let data = block.data();
        self.0.push(block);
        data
    }

    /// Whether a block of so many bytes is there.
    pub(super) fn contain(&self, data: *mut c_void, size: usize) -> bool {
        // SAFETY: each begins with a header, and nobody refers to it now.
        self.0.iter().any(|block| block.data() == data && unsafe { block.0.as_ref() }.size == size)
    }

    /// Where a block is, and its size.
    pub(super) fn get(&mut self, index: usize) -> (*mut c_void, usize) {
        let block = &mut self.0[index];
        (block.data(), block.header().size)
    }

    /// Changes the size of a block. Null if there is no memory: then it stays as it was.
    pub(super) fn resize(&mut self, index: usize, size: usize) -> *mut c_void {
        let block = &mut self.0[index];
        if block.resize(size).is_some() { block.data() } else { ptr::null_mut() }
    }

    pub(super) fn remove(&mut self, index: usize) {
        self.0.swap_remove(index);
        if let Some(moved) = self.0.get_mut(index) {
            moved.header().index = index;
        }
    }
}

impl Block {
    fn new(index: usize, size: usize) -> Option<Self> {
        let layout = layout(size)?;
        // SAFETY: every layout has a size because of the header.
        let block = NonNull::new(unsafe { alloc(layout) })?.cast::<Header>();
        // SAFETY: there is room for a header, aligned as it must be.
        unsafe { block.write(Header { index, size }) };
        Some(Self(block))
    }

    fn header(&mut self) -> &mut Header {
        // SAFETY: it begins with one, and nobody else refers to it: `index_of` only copies from it.
        unsafe { self.0.as_mut() }
    }

    /// What Luau gets of it.
    fn data(&self) -> *mut c_void {
        self.0.as_ptr().wrapping_add(1).cast()
    }

    /// `None` if there is no memory.
    fn resize(&mut self, size: usize) -> Option<()> {
        let (old, new) = (layout(self.header().size)?, layout(size)?);
        // SAFETY: it was allocated with the layout of its size.
        let block = unsafe { realloc(self.0.as_ptr().cast(), old, new.size()) };
        self.0 = NonNull::new(block)?.cast();
        self.header().size = size;
        Some(())
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(layout) = layout(self.header().size) {
            // SAFETY: it was allocated with the layout of its size.
            unsafe { dealloc(self.0.as_ptr().cast(), layout) }
        }
    }
}

/// Of a block with its header.
fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(size_of::<Header>())?, align_of::<Header>()).ok()
}

/// Where a block stands in [`Blocks`].
///
/// # Safety
///
/// `data` must be what Luau has got of a block.
pub(super) unsafe fn index_of(data: *mut c_void) -> usize {
    // SAFETY: by the contract there is a header before it.
    unsafe { (*data.cast::<Header>().wrapping_sub(1)).index }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_after_others_have_moved() {
        let mut blocks = Blocks::default();
        let mut data: Vec<*mut c_void> = (1..100).map(|size| blocks.add(size * 8)).collect();
        let mut random = crate::random::Pcg32::from_seed(1);
        while !data.is_empty() {
            let at = random.in_range(0, data.len() as i32 - 1) as usize;
            // SAFETY: all of them are blocks.
            let index = unsafe { index_of(data[at]) };
            assert_eq!(blocks.0[index].data(), data[at]);
            if random.in_range(0, 1) == 0 {
                data[at] = blocks.resize(index, random.in_range(1, 5_000) as usize);
            } else {
                blocks.remove(index);
                data.swap_remove(at);
            }
            assert_eq!(blocks.0.len(), data.len());
        }
    }
}
