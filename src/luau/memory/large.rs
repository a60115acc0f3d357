//! Blocks whose addresses have the same low 32 bits in every run: those of a state that are no pages, where two runs must
//! give the same results. Large buffers, and functions with many upvalues, may be keys of a table.
//!
//! Each block has a size of a few dozen, four from one power of two to the next. One that is given back is the next of
//! its size to be taken.

use std::alloc::Layout;
use std::ptr::NonNull;

use super::region::{Region, commit, decommit};

/// The smallest size. Luau keeps objects of up to 1,024 bytes in pages.
const SMALLEST: usize = 64;

/// Sizes from one power of two to the next.
const STEPS: usize = 4;

/// Up to 1 GiB.
const SIZES: usize = STEPS * 25;

/// Memory that is made usable at a time, at least.
const COMMITTED: usize = 1 << 20;

/// Blocks of this size give the operating system their memory when they are given back.
const GIVEN_BACK: usize = 64 << 10;

/// Addresses for such blocks.
#[derive(Debug)]
pub(super) struct LargeBlocks {
    start: NonNull<u8>,
    /// Bytes that there are, that have memory, and that have been taken so far.
    bytes: usize,
    committed: usize,
    taken: usize,
    /// Blocks that were given back, by their size, as offsets.
    free: Vec<Vec<usize>>,
}

// SAFETY: it owns the memory that it refers to.
unsafe impl Send for LargeBlocks {}
// SAFETY: nothing of it changes behind a shared reference.
unsafe impl Sync for LargeBlocks {}

impl LargeBlocks {
    /// # Safety
    ///
    /// The region must outlive this and the blocks. There must be one for each.
    pub(super) unsafe fn new(region: &Region) -> Self {
        let (start, bytes) = region.rest();
        Self { start, bytes, committed: 0, taken: 0, free: vec![Vec::new(); SIZES] }
    }

    /// `None` if there is no such block, or no memory.
    pub(super) fn take(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let (index, size) = size_for(layout)?;
        let offset = match self.free[index].pop() {
            Some(offset) => offset,
            None => self.take_new(size)?,
        };
        NonNull::new(self.start.as_ptr().wrapping_add(offset))
    }

    fn take_new(&mut self, size: usize) -> Option<usize> {
        let (offset, end) = (self.taken, self.taken + size);
        if end > self.bytes {
            return None;
        }
        if end > self.committed {
            let committed = end.next_multiple_of(COMMITTED).min(self.bytes);
            let start = self.start.as_ptr().wrapping_add(self.committed);
            if !commit(start, committed - self.committed) {
                return None;
            }
            self.committed = committed;
        }
        self.taken = end;
        Some(offset)
    }

    /// Takes a block back that was taken with this layout. It must not be used after that.
    pub(super) fn give_back(&mut self, block: NonNull<u8>, layout: Layout) {
        let Some((index, size)) = size_for(layout) else { return };
        let offset = block.as_ptr().addr() - self.start.as_ptr().addr();
        if size >= GIVEN_BACK {
            // Only whole pages of the operating system.
            let page = 4096;
            let (first, end) = (offset.next_multiple_of(page), (offset + size) / page * page);
            decommit(self.start.as_ptr().wrapping_add(first), end - first);
        }
        self.free[index].push(offset);
    }

    /// Whether a block can have another layout and stay where it is.
    pub(super) fn fits(old: Layout, new: Layout) -> bool {
        size_for(old).is_some_and(|old| Some(old) == size_for(new))
    }
}

/// The size of a block: its number, and its bytes. `None` if there is none.
fn size_for(layout: Layout) -> Option<(usize, usize)> {
    let bytes = layout.size().max(SMALLEST);
    let power = (bytes - 1).ilog2(); // of two, below it
    let step = (1 << power) / STEPS;
    let steps = (bytes - (1 << power)).div_ceil(step); // from 0 for the power itself, which is the last of those below
    let first = (SMALLEST - 1).ilog2();
    let index = (power - first) as usize * STEPS + steps.checked_sub(1)?;
    let size = (1 << power) + steps * step;
    (index < SIZES && layout.align() <= SMALLEST / STEPS).then_some((index, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, 16).expect("small")
    }

    #[test]
    fn sizes_are_a_quarter_too_large_at_most() {
        assert_eq!(
            [1, 64, 65, 80, 81].map(|bytes| size_for(layout(bytes)).expect("small").1),
            [64, 64, 80, 80, 96]
        );
        let mut last = (3, 64);
        for bytes in (64..20_000).chain((0..1_000).map(|i| 20_000 + i * 999)) {
            let (index, size) = size_for(layout(bytes)).expect("it is small");
            assert!(size >= bytes && size <= bytes + bytes / 4 + 1, "{size} for {bytes}");
            assert!(
                (index, size) == last || (index > last.0 && size > last.1),
                "{index} {size} after {last:?}"
            );
            assert!(size.is_multiple_of(16));
            last = (index, size);
        }
        assert!(size_for(layout(1 << 33)).is_none());
    }

    #[test]
    #[cfg_attr(not(all(unix, target_pointer_width = "64")), ignore = "there are no regions")]
    fn blocks_do_not_overlap_and_have_the_same_low_addresses_in_each_run() {
        let run = || {
            let region = Region::reserve().expect("addresses");
            // SAFETY: the region is there until they are used no more.
            let mut large = unsafe { LargeBlocks::new(&region) };
            let mut random = crate::random::Pcg32::from_seed(3);
            let mut taken: Vec<(&mut [u8], u8)> = Vec::new();
            let mut low = Vec::new();
            for round in 0..2_000_i32 {
                if random.in_range(0, 2) > 0 || taken.is_empty() {
                    let bytes = random.in_range(1, if round % 50 == 0 { 300_000 } else { 3_000 }) as usize;
                    let block = large.take(layout(bytes)).expect("memory");
                    assert!(block.as_ptr().addr().is_multiple_of(16));
                    low.push(block.as_ptr().addr() as u32);
                    // SAFETY: it has so many bytes, which are nobody else's.
                    let bytes = unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), bytes) };
                    bytes.fill(round as u8);
                    taken.push((bytes, round as u8));
                } else {
                    let at = random.in_range(0, taken.len() as i32 - 1) as usize;
                    let (bytes, filled) = taken.swap_remove(at);
                    assert!(bytes.iter().all(|&byte| byte == filled));
                    let layout = layout(bytes.len());
                    large.give_back(NonNull::from(bytes).cast(), layout);
                }
            }
            low
        };
        assert_eq!(run(), run());
    }

    #[test]
    #[cfg_attr(not(all(unix, target_pointer_width = "64")), ignore = "there are no regions")]
    fn what_does_not_fit_is_refused() {
        let region = Region::reserve().expect("addresses");
        // SAFETY: the region is there until they are used no more.
        let mut large = unsafe { LargeBlocks::new(&region) };
        large.bytes = 3 << 20;
        assert!(large.take(layout(2 << 20)).is_some() && large.take(layout(2 << 20)).is_none());
        assert!(large.take(layout(1 << 20)).is_some() && large.take(layout(64)).is_none());
    }
}
