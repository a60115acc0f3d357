//! Places for the pages in which Luau keeps its small objects.
//!
//! Luau asks for a page of 16 or 32 KiB for each size class and fills it from its end, so that of most pages of
//! a small isolate nothing but the header and the end are ever touched. The pages of an isolate lie side by side here,
//! so that the end of one and the header of the next share a page of the operating system: hundreds of
//! thousands of computers are a question of such pages. And one call of the operating system serves many of
//! Luau's pages, where `malloc` makes one for each.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::{self, NonNull};

use smallvec::SmallVec;

use crate::luau::prefetch::lines::{OS_PAGE, prefetch_line};

/// `kSmallPageSize` and `kLargePageSize` in Luau's lmem.cpp.
const SMALL: usize = SLOT - 24;
const LARGE: usize = 2 * SLOT - 24;
const _: () = assert!(SMALL.is_multiple_of(align_of::<*mut Chunk>()));

/// A place for a small page; a large one takes two that follow each other. What Luau's page leaves of it says
/// which chunk it is in.
const SLOT: usize = 16 << 10;

/// Places in a chunk.
const SLOTS: usize = 15;
const ALL_FREE: u32 = (1 << SLOTS) - 1;

/// What the entries of a page table reach that share a line of memory.
const REACH_OF_LINE: usize = 8 * OS_PAGE;

/// Chunks whose translations are prefetched: 8 MB, in 2 microseconds.
const MOST_PREFETCHED: usize = 32;

/// The header of one of Luau's pages. It comes last in a page of the operating system.
const PAGE_HEADER: usize = 64;

/// Of a chunk: its header, and its places wherever the first can begin.
const LAYOUT: Layout = Layout::new::<(Chunk, [u8; OS_PAGE + SLOTS * SLOT])>();

/// What a chunk begins with.
#[derive(Debug)]
struct Chunk {
    /// One bit for each place.
    free: u32,
    /// Where it stands in [`Pages::chunks`].
    index: u32,
    first_slot: *mut u8,
    previous: *mut Chunk,
    next: *mut Chunk,
}

/// The chunks of one state.
#[derive(Debug)]
pub(super) struct Pages {
    /// Here and not elsewhere up to 2.9 MB: one wait less for [`Pages::prefetch_tlb`].
    chunks: SmallVec<[*mut Chunk; 12]>,
    /// The first of those with free places.
    roomy: *mut Chunk,
}

impl Default for Pages {
    fn default() -> Self {
        Self { chunks: SmallVec::new(), roomy: ptr::null_mut() }
    }
}

/// How many places a block takes that Luau asks for, if it is a page.
fn slots(size: usize) -> Option<u32> {
    match size {
        SMALL => Some(1),
        LARGE => Some(2),
        _ => None,
    }
}

/// Whether Luau's blocks of this size come from here. Not under valgrind: what Luau told it of the objects of a page that
/// was given back would be held against the next page in its place.
pub(super) fn is_page(size: usize) -> bool {
    !cfg!(valgrind) && slots(size).is_some()
}

impl Pages {
    /// A place for a page of `size` bytes. Null if there is no memory, or it is not the size of a page.
    pub(super) fn allocate(&mut self, size: usize) -> *mut u8 {
        let Some(slots) = slots(size) else { return ptr::null_mut() };
        // SAFETY: chunks in the list are live.
        unsafe {
            // Not those behind it: a search for two places side by side has no end to speak of.
            let mut place = NonNull::new(self.roomy).and_then(|chunk| find(chunk.as_ref().free, slots));
            if place.is_none() {
                if self.chunks.try_reserve(1).is_err() {
                    return ptr::null_mut();
                }
                let chunk = alloc(LAYOUT).cast::<Chunk>();
                if chunk.is_null() {
                    return ptr::null_mut();
                }
                let end = chunk.add(1).cast::<u8>();
                let first_slot = end.add((end.addr() + PAGE_HEADER).wrapping_neg() % OS_PAGE);
                let (previous, next) = (ptr::null_mut(), ptr::null_mut());
                let index = self.chunks.len() as u32;
                chunk.write(Chunk { free: ALL_FREE, index, first_slot, previous, next });
                self.chunks.push(chunk);
                link(&mut self.roomy, chunk);
                place = find(ALL_FREE, slots);
            }
            let Some(place) = place else { return ptr::null_mut() };
            let chunk = self.roomy;
            (*chunk).free &= !mask(place, slots);
            if (*chunk).free == 0 {
                unlink(&mut self.roomy, chunk);
            }
            let page = (*chunk).first_slot.add(place as usize * SLOT);
            page.add(size).cast::<*mut Chunk>().write(chunk);
            page
        }
    }

    /// Takes a page of `size` bytes back.
    ///
    /// # Safety
    ///
    /// `page` must come from [`Pages::allocate`] of these, with the same size.
    pub(super) unsafe fn free(&mut self, page: *mut u8, size: usize) {
        // SAFETY: by the contract the page lies in a chunk, which its end names, and which is in the list if it has free
        // places. A chunk in which nothing is left is used no more.
        unsafe {
            let chunk = page.add(size).cast::<*mut Chunk>().read();
            let place = page.offset_from_unsigned((*chunk).first_slot) / SLOT;
            let was_full = (*chunk).free == 0;
            (*chunk).free |= mask(place as u32, slots(size).unwrap_or(0));
            if was_full {
                link(&mut self.roomy, chunk);
            }
            if (*chunk).free == ALL_FREE {
                unlink(&mut self.roomy, chunk);
                let index = (*chunk).index;
                self.chunks.swap_remove(index as usize);
                if let Some(&moved) = self.chunks.get(index as usize) {
                    (*moved).index = index;
                }
                dealloc(chunk.cast(), LAYOUT);
            }
        }
    }

    /// Starts loading the page table's entries for the pages. Hundreds of thousands of processes have so many that the
    /// table is not in the caches either, and where one entry after the other is found missing, slices wait for each.
    pub(super) fn prefetch_tlb(&self) {
        for chunk in self.chunks.iter().take(MOST_PREFETCHED) {
            for offset in (0..LAYOUT.size()).step_by(REACH_OF_LINE).chain([LAYOUT.size() - 1]) {
                prefetch_line(chunk.wrapping_byte_add(offset)); // whatever is there
            }
        }
    }
}

/// Gives all chunks back.
impl Drop for Pages {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            // SAFETY: it is live, and has this layout.
            unsafe { dealloc(chunk.cast(), LAYOUT) }
        }
    }
}

/// Adjacent places.
fn mask(place: u32, slots: u32) -> u32 {
    ((1 << slots) - 1) << place
}

/// The first free places, side by side.
fn find(free: u32, slots: u32) -> Option<u32> {
    let starts = if slots == 2 { free & (free >> 1) } else { free };
    (starts != 0).then(|| starts.trailing_zeros())
}

/// Puts a chunk first.
///
/// # Safety
///
/// `chunk` and those in the list must be live.
unsafe fn link(list: &mut *mut Chunk, chunk: *mut Chunk) {
    // SAFETY: by the contract.
    unsafe {
        (*chunk).previous = ptr::null_mut();
        (*chunk).next = *list;
        if let Some(next) = list.as_mut() {
            next.previous = chunk;
        }
    }
    *list = chunk;
}

/// # Safety
///
/// `chunk` must be in the list.
unsafe fn unlink(list: &mut *mut Chunk, chunk: *mut Chunk) {
    // SAFETY: by the contract; neighbours in a list are live.
    unsafe {
        let Chunk { previous, next, .. } = *chunk;
        match previous.as_mut() {
            Some(previous) => previous.next = next,
            None => *list = next,
        }
        if let Some(next) = next.as_mut() {
            next.previous = previous;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_do_not_overlap_and_chunks_go_when_they_are_empty() {
        let mut pages = Pages::default();
        let mut taken: Vec<(*mut u8, usize)> = Vec::new();
        let mut random = crate::random::Pcg32::from_seed(1);
        for round in 0..10_000 {
            if random.in_range(0, 7) < if round < 5_000 { 5 } else { 3 } || taken.is_empty() {
                let size = if random.in_range(0, 2) == 0 { LARGE } else { SMALL };
                let page = pages.allocate(size);
                assert_eq!(page.addr() % OS_PAGE, OS_PAGE - PAGE_HEADER);
                // SAFETY: the page has so many bytes.
                unsafe { page.write_bytes(round as u8, size) };
                taken.push((page, size));
            } else {
                let (page, size) = taken.swap_remove(random.in_range(0, taken.len() as i32 - 1) as usize);
                // SAFETY: it was taken with this size, and written.
                unsafe {
                    let bytes = std::slice::from_raw_parts(page, size);
                    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                    pages.free(page, size);
                }
            }
            if taken.is_empty() {
                assert!(pages.roomy.is_null() && pages.chunks.is_empty());
            }
        }
    }

    #[test]
    fn other_blocks_are_not_pages() {
        assert!(is_page(SMALL) && is_page(LARGE) && !is_page(SLOT) && !is_page(64));
        assert!(Pages::default().allocate(SLOT).is_null());
    }
}
