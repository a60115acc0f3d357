//! The blocks of a state that are no pages: each is found when the state goes.

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::c_void;
use std::ptr::{self, NonNull};

use super::large::LargeBlocks;

/// All blocks, in any order.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    all: Vec<Block>,
    /// Where they are taken from first.
    repeatable: Option<LargeBlocks>,
}

/// A block, which goes when this is dropped.
#[derive(Debug)]
struct Block(NonNull<Header>);

/// What stands before each block. Its alignment is what Luau expects of its blocks.
#[derive(Debug)]
#[repr(C, align(16))]
struct Header {
    /// Where it stands in [`Blocks`].
    index: u32,
    /// Whether it is one of the [large blocks](LargeBlocks) of the state, which get it back.
    is_repeatable: bool,
    size: usize,
}

impl Blocks {
    /// Blocks whose addresses have the same low 32 bits in each run, as far as that can be had.
    pub(super) fn repeatable(from: Option<LargeBlocks>) -> Self {
        Self { repeatable: from, ..Self::default() }
    }

    /// A new block. Null if there is no memory.
    pub(super) fn add(&mut self, size: usize) -> *mut c_void {
        if self.all.try_reserve(1).is_err() {
            return ptr::null_mut();
        }
        let index = self.all.len() as u32;
        let Some(block) = Block::new(index, size, self.repeatable.as_mut()) else { return ptr::null_mut() };
        let data = block.data();
        self.all.push(block);
        data
    }

    /// Whether a block of so many bytes is there.
    pub(super) fn contain(&self, data: *mut c_void, size: usize) -> bool {
        // SAFETY: each begins with a header, and nobody refers to it now.
        self.all.iter().any(|block| block.data() == data && unsafe { block.0.as_ref() }.size == size)
    }

    /// Where a block is, and its size.
    pub(super) fn get(&mut self, index: usize) -> (*mut c_void, usize) {
        let block = &mut self.all[index];
        (block.data(), block.header().size)
    }

    /// Changes the size of a block. Null if there is no memory: then it stays as it was.
    pub(super) fn resize(&mut self, index: usize, size: usize) -> *mut c_void {
        let block = &mut self.all[index];
        let is_resized = if block.header().is_repeatable {
            block.resize_repeatable(size, self.repeatable.as_mut())
        } else {
            block.resize(size)
        };
        if is_resized.is_some() { block.data() } else { ptr::null_mut() }
    }

    pub(super) fn remove(&mut self, index: usize) {
        let block = self.all.swap_remove(index);
        if let Some(moved) = self.all.get_mut(index) {
            moved.header().index = index as u32;
        }
        block.give_back(self.repeatable.as_mut());
    }
}

impl Block {
    fn new(index: u32, size: usize, repeatable: Option<&mut LargeBlocks>) -> Option<Self> {
        let layout = layout(size)?;
        let large = repeatable.and_then(|large| large.take(layout));
        // SAFETY: every layout has a size because of the header.
        let block = large.or_else(|| NonNull::new(unsafe { alloc(layout) }))?.cast::<Header>();
        // SAFETY: there is room for a header, aligned as it must be.
        unsafe { block.write(Header { index, is_repeatable: large.is_some(), size }) };
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

    /// The same of one that is repeatable.
    fn resize_repeatable(&mut self, size: usize, mut repeatable: Option<&mut LargeBlocks>) -> Option<()> {
        let old_size = self.header().size;
        if !LargeBlocks::fits(layout(old_size)?, layout(size)?) {
            let new = Self::new(self.header().index, size, repeatable.as_deref_mut())?;
            // SAFETY: both have so many bytes, and the new one is nobody else's.
            unsafe { new.data().copy_from_nonoverlapping(self.data(), old_size.min(size)) };
            std::mem::replace(self, new).give_back(repeatable);
        }
        self.header().size = size;
        Some(())
    }

    /// Gives it back to those from which it was taken.
    fn give_back(mut self, repeatable: Option<&mut LargeBlocks>) {
        if self.header().is_repeatable
            && let Some(large) = repeatable
            && let Some(layout) = layout(self.header().size)
        {
            large.give_back(self.0.cast(), layout);
            std::mem::forget(self);
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.header().is_repeatable {
            return; // it goes with the region of its state
        }
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
    unsafe { (*data.cast::<Header>().wrapping_sub(1)).index as usize }
}

#[cfg(test)]
mod tests {
    use super::super::region::Region;
    use super::*;

    /// Adds, resizes and removes blocks at random. Returns the low addresses that they had.
    fn exercise(mut blocks: Blocks) -> Vec<u32> {
        let mut low = Vec::new();
        let mut data: Vec<(*mut u8, usize)> = Vec::new();
        let mut random = crate::random::Pcg32::from_seed(1);
        for round in 0..3_000 {
            let size = random.in_range(1, 5_000) as usize;
            if round < 1_000 && random.in_range(0, 2) > 0 || data.is_empty() {
                data.push((blocks.add(size).cast(), size));
            } else {
                let at = random.in_range(0, data.len() as i32 - 1) as usize;
                let (block, old) = data[at];
                // SAFETY: all of them are blocks.
                let index = unsafe { index_of(block.cast()) };
                // SAFETY: it has so many bytes, which were filled.
                let bytes = unsafe { std::slice::from_raw_parts(block, old) };
                assert_eq!(blocks.all[index].data(), block.cast());
                assert!(bytes.iter().all(|&byte| byte == bytes[0]));
                if random.in_range(0, 1) == 0 {
                    let first = bytes[0];
                    data[at] = (blocks.resize(index, size).cast(), size);
                    // SAFETY: it is a block of so many bytes.
                    let bytes = unsafe { std::slice::from_raw_parts_mut(data[at].0, size) };
                    assert!(bytes[..old.min(size)].iter().all(|&byte| byte == first));
                    bytes.fill(first);
                } else {
                    blocks.remove(index);
                    data.swap_remove(at);
                }
            }
            if let Some(&(block, size)) = data.last() {
                // SAFETY: it is a block of so many bytes.
                unsafe { block.write_bytes(round as u8, size) };
                low.push(block.addr() as u32);
            }
            assert_eq!(blocks.all.len(), data.len());
        }
        low
    }

    #[test]
    fn blocks_are_found_after_others_have_moved() {
        exercise(Blocks::default());
    }

    #[test]
    #[cfg_attr(not(all(unix, target_pointer_width = "64")), ignore = "there are no regions")]
    fn repeatable_blocks_have_the_same_low_addresses_in_each_run() {
        let run = || {
            let region = Region::reserve().expect("addresses");
            // SAFETY: the region goes last.
            exercise(Blocks::repeatable(Some(unsafe { LargeBlocks::new(&region) })))
        };
        assert_eq!(run(), run());
    }
}
