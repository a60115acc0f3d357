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

use super::region::Chunks;
use crate::luau::prefetch::lines::{OS_PAGE, prefetch_line};

/// `kSmallPageSize` and `kLargePageSize` in Luau's lmem.cpp.
const SMALL: usize = SLOT - 24;
const LARGE: usize = 2 * SLOT - 24;
const _: () = assert!(SMALL.is_multiple_of(align_of::<Trailer>()) && size_of::<Trailer>() <= SLOT - SMALL);

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
const LAYOUT: Layout = Layout::new::<(Header, [u8; OS_PAGE + SLOTS * SLOT])>();

/// What a chunk begins with.
#[derive(Debug)]
struct Header {
    /// One bit for each place.
    free: u32,
    /// Where it stands in [`Pages::chunks`].
    index: u32,
    /// Whether it is in the region of its state, which gets it back.
    is_in_region: bool,
    first_slot: *mut u8,
}

/// A chunk, which goes when this is dropped.
#[derive(Debug)]
struct Chunk(NonNull<Header>);

/// The chunks of one state.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// First those with free places, in the order in which they got some, then those that are full. Here and not
    /// elsewhere up to 2.9 MB: one wait less for [`Pages::prefetch_tlb`].
    chunks: SmallVec<[Chunk; 12]>,
    /// How many have free places.
    roomy: usize,
    /// Bytes of the pages of each owner.
    owned: Vec<usize>,
    /// Where chunks are taken from first.
    repeatable: Option<Box<Chunks>>,
}

/// What stands behind each page, in what it leaves of its place.
#[derive(Clone, Copy)]
struct Trailer {
    chunk: NonNull<Header>,
    /// Whose slice has taken it: a memory category, or 0.
    owner: u8,
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

impl Chunk {
    /// `None` if there is no memory.
    fn new(index: u32, repeatable: Option<&mut Chunks>) -> Option<Self> {
        let in_region = repeatable.and_then(|chunks| chunks.take(LAYOUT.size()));
        // SAFETY: the layout has a size.
        let chunk = in_region.or_else(|| NonNull::new(unsafe { alloc(LAYOUT) }))?.cast::<Header>();
        let is_in_region = in_region.is_some();
        let end = chunk.as_ptr().wrapping_add(1).cast::<u8>();
        let first_slot = end.wrapping_add((end.addr() + PAGE_HEADER).wrapping_neg() % OS_PAGE);
        // SAFETY: there is room for a header, aligned as it must be.
        unsafe { chunk.write(Header { free: ALL_FREE, index, is_in_region, first_slot }) };
        Some(Self(chunk))
    }

    fn header(&mut self) -> &mut Header {
        // SAFETY: it begins with one, and nobody else refers to it: `Pages::free` only copies from it.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if !self.header().is_in_region {
            // SAFETY: it was allocated with this layout. Its pages are used no more.
            unsafe { dealloc(self.0.as_ptr().cast(), LAYOUT) }
        }
    }
}

impl Pages {
    /// Pages whose addresses have the same low 32 bits in each run, as far as that can be had.
    pub(super) fn repeatable(from: Option<Chunks>) -> Self {
        Self { repeatable: from.map(Box::new), ..Self::default() }
    }

    /// A place for a page of `size` bytes. Null if there is no memory, or it is not the size of a page.
    pub(super) fn allocate(&mut self, size: usize, owner: u8) -> *mut u8 {
        slots(size).and_then(|slots| self.take(slots, size, owner)).unwrap_or(ptr::null_mut())
    }

    /// Bytes of the pages that slices of an owner have taken, and that have not been given back.
    pub(super) fn owned(&self, owner: u8) -> usize {
        self.owned.get(usize::from(owner)).copied().unwrap_or_default()
    }

    fn take(&mut self, slots: u32, size: usize, owner: u8) -> Option<*mut u8> {
        let index = usize::from(owner);
        if index >= self.owned.len() {
            self.owned.resize(index + 1, 0);
        }
        // Not those before it: a search for two places side by side has no end to speak of.
        let last = self.roomy.checked_sub(1).map(|last| self.chunks[last].header().free);
        let place = match last.and_then(|free| find(free, slots)) {
            Some(place) => place,
            None => {
                self.add_chunk()?;
                find(ALL_FREE, slots)?
            }
        };
        let last = self.roomy - 1;
        let chunk = self.chunks[last].0;
        let header = self.chunks[last].header();
        header.free &= !mask(place, slots);
        if header.free == 0 {
            self.roomy = last;
        }
        let page = header.first_slot.wrapping_add(place as usize * SLOT);
        // SAFETY: a page leaves so much of its place, and begins where that is aligned.
        unsafe { page.wrapping_add(size).cast::<Trailer>().write(Trailer { chunk, owner }) };
        self.owned[index] += size;
        Some(page)
    }

    /// Adds a chunk as the last one with free places.
    fn add_chunk(&mut self) -> Option<()> {
        self.chunks.try_reserve(1).ok()?;
        let index = self.chunks.len();
        self.chunks.push(Chunk::new(index as u32, self.repeatable.as_deref_mut())?);
        self.swap(index, self.roomy);
        self.roomy += 1;
        Some(())
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.chunks.swap(a, b);
        for index in [a, b] {
            self.chunks[index].header().index = index as u32;
        }
    }

    /// Takes a page of `size` bytes back.
    ///
    /// # Safety
    ///
    /// `page` must come from [`Pages::allocate`] of these, with the same size.
    pub(super) unsafe fn free(&mut self, page: *mut u8, size: usize) {
        // SAFETY: by the contract, `take` has written it behind the page.
        let Trailer { chunk, owner } = unsafe { page.wrapping_add(size).cast::<Trailer>().read() };
        self.owned[usize::from(owner)] -= size;
        // SAFETY: a chunk lives as long as a page in it is used.
        let mut index = unsafe { chunk.as_ref() }.index as usize;
        let header = self.chunks[index].header();
        let place = (page.addr() - header.first_slot.addr()) / SLOT;
        let was_full = header.free == 0;
        header.free |= mask(place as u32, slots(size).unwrap_or(0));
        let is_empty = header.free == ALL_FREE;
        if was_full {
            self.swap(index, self.roomy);
            index = self.roomy;
            self.roomy += 1;
        }
        if is_empty {
            self.roomy -= 1;
            self.swap(index, self.roomy);
            self.swap(self.roomy, self.chunks.len() - 1);
            let chunk = self.chunks.pop().map(|mut chunk| (chunk.header().is_in_region, chunk.0));
            if let (Some((true, chunk)), Some(chunks)) = (chunk, &mut self.repeatable) {
                chunks.give_back(chunk.cast());
            }
        }
    }

    /// Starts loading the page table's entries for the pages. Hundreds of thousands of processes have so many that the
    /// table is not in the caches either, and where one entry after the other is found missing, slices wait for each.
    pub(super) fn prefetch_tlb(&self) {
        for chunk in self.chunks.iter().take(MOST_PREFETCHED) {
            for offset in (0..LAYOUT.size()).step_by(REACH_OF_LINE).chain([LAYOUT.size() - 1]) {
                prefetch_line(chunk.0.as_ptr().wrapping_byte_add(offset)); // whatever is there
            }
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

#[cfg(test)]
mod tests {
    use super::super::region::Region;
    use super::*;

    #[test]
    fn pages_do_not_overlap_and_chunks_go_when_they_are_empty() {
        let mut pages = Pages::default();
        let mut taken: Vec<&mut [u8]> = Vec::new();
        let mut random = crate::random::Pcg32::from_seed(1);
        for round in 0..10_000 {
            if random.in_range(0, 7) < if round < 5_000 { 5 } else { 3 } || taken.is_empty() {
                let size = if random.in_range(0, 2) == 0 { LARGE } else { SMALL };
                let page = pages.allocate(size, (size % 3) as u8);
                assert_eq!(page.addr() % OS_PAGE, OS_PAGE - PAGE_HEADER);
                // SAFETY: the page has so many bytes, which are nobody else's until it is freed.
                let bytes = unsafe { std::slice::from_raw_parts_mut(page, size) };
                bytes.fill(round as u8);
                taken.push(bytes);
            } else {
                let bytes = taken.swap_remove(random.in_range(0, taken.len() as i32 - 1) as usize);
                assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                // SAFETY: it was taken with this size, and is used no more.
                unsafe { pages.free(bytes.as_mut_ptr(), bytes.len()) };
            }
            if taken.is_empty() {
                assert!(pages.roomy == 0 && pages.chunks.is_empty());
                assert!(pages.owned.iter().all(|&bytes| bytes == 0));
            }
        }
    }

    #[test]
    fn repeatable_pages_have_the_same_low_addresses_in_each_run() {
        let run = || {
            let region = Region::reserve();
            // SAFETY: the region goes last.
            let chunks = region.as_ref().map(|region| unsafe { region.chunks() });
            let mut pages = Pages::repeatable(chunks);
            let mut random = crate::random::Pcg32::from_seed(2);
            let mut taken = Vec::new();
            let mut addresses = Vec::new();
            for _ in 0..500 {
                if random.in_range(0, 2) > 0 || taken.is_empty() {
                    let page = pages.allocate(SMALL, 0);
                    addresses.push(page.addr() as u32);
                    taken.push(page);
                } else {
                    let page = taken.swap_remove(random.in_range(0, taken.len() as i32 - 1) as usize);
                    // SAFETY: it was taken with this size, and is used no more.
                    unsafe { pages.free(page, SMALL) };
                }
            }
            addresses
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn other_blocks_are_not_pages() {
        assert!(is_page(SMALL) && is_page(LARGE) && !is_page(SLOT) && !is_page(64));
        assert!(Pages::default().allocate(SLOT, 0).is_null());
    }
}
