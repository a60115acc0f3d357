//! Addresses whose low 32 bits are the same in every run.
//!
//! Luau finds objects that are keys of a table by the low 32 bits of their addresses, so that is also the order in which a
//! script sees them. Where two runs of a game must give the same results, the objects of a state are in a region that
//! begins at a multiple of 4 GiB. The chunks in its first quarter are taken in order. The rest is for [large
//! blocks](super::large).

use std::collections::BTreeSet;
use std::ptr::{self, NonNull};

/// Bytes of a chunk, and from one chunk to the next.
const CHUNK: usize = 256 << 10;

/// Chunks in a region.
const CHUNKS: usize = 4096;

/// Bytes of a region, and what the beginnings of regions are multiples of.
const REGION: usize = 1 << 32;

/// Addresses of one state. They are given back when this is dropped.
#[derive(Debug)]
pub(super) struct Region(NonNull<u8>);

// SAFETY: it owns the addresses that it refers to, and does not use what is there.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// `None` where the operating system has no such addresses, as on 32 bits, or gives none.
    pub(super) fn reserve() -> Option<Self> {
        Some(Self(NonNull::new(reserve(REGION, REGION)?)?))
    }

    /// Where it begins.
    pub(super) fn base(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// The addresses for chunks.
    ///
    /// # Safety
    ///
    /// The region must outlive them and what is in them. They must be asked for once.
    pub(super) unsafe fn chunks(&self) -> Chunks {
        Chunks { base: self.0, free: BTreeSet::new(), next: 0 }
    }

    /// The addresses behind those for chunks, and how many there are.
    pub(super) fn rest(&self) -> (NonNull<u8>, usize) {
        let rest = self.0.as_ptr().wrapping_add(CHUNK * CHUNKS);
        (NonNull::new(rest).unwrap_or(self.0), REGION - CHUNK * CHUNKS)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        release(self.0.as_ptr(), REGION);
    }
}

/// Addresses for the chunks of one state. Only those that are taken have memory.
#[derive(Debug)]
pub(super) struct Chunks {
    base: NonNull<u8>,
    /// Chunks that were taken and given back.
    free: BTreeSet<usize>,
    /// The first chunk that was never taken.
    next: usize,
}

// SAFETY: it owns the memory that it refers to.
unsafe impl Send for Chunks {}
// SAFETY: nothing of it changes behind a shared reference.
unsafe impl Sync for Chunks {}

impl Chunks {
    /// The first chunk that is free, of at least `bytes`.
    pub(super) fn take(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let index = self.free.first().copied().unwrap_or(self.next);
        if bytes > CHUNK || index >= CHUNKS {
            return None;
        }
        let chunk = self.base.as_ptr().wrapping_add(index * CHUNK);
        if !commit(chunk, CHUNK) {
            return None;
        }
        if !self.free.remove(&index) {
            self.next += 1;
        }
        NonNull::new(chunk)
    }

    /// Takes a chunk back, if it is one of these. It must not be used after that.
    pub(super) fn give_back(&mut self, chunk: NonNull<u8>) {
        let offset = chunk.as_ptr().addr().wrapping_sub(self.base.as_ptr().addr());
        if offset.is_multiple_of(CHUNK) && offset / CHUNK < self.next {
            decommit(chunk.as_ptr(), CHUNK);
            self.free.insert(offset / CHUNK);
        }
    }
}

/// Reserves so many addresses from a multiple of `alignment` on.
#[cfg(all(unix, target_pointer_width = "64"))]
fn reserve(bytes: usize, alignment: usize) -> Option<*mut u8> {
    let all = bytes + alignment;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
    // SAFETY: this makes a new mapping, wherever there is room.
    let start = unsafe { libc::mmap(ptr::null_mut(), all, libc::PROT_NONE, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    let start = start.cast::<u8>();
    let before = start.addr().wrapping_neg() % alignment;
    let base = start.wrapping_add(before);
    for (unused, length) in [(start, before), (base.wrapping_add(bytes), alignment - before)] {
        if length > 0 {
            release(unused, length);
        }
    }
    Some(base)
}

/// Makes reserved addresses usable.
#[cfg(all(unix, target_pointer_width = "64"))]
pub(super) fn commit(start: *mut u8, bytes: usize) -> bool {
    // SAFETY: they are a part of our own mapping, which nobody uses.
    unsafe { libc::mprotect(start.cast(), bytes, libc::PROT_READ | libc::PROT_WRITE) == 0 }
}

/// Gives the memory of addresses back, which stay reserved.
#[cfg(all(unix, target_pointer_width = "64"))]
pub(super) fn decommit(start: *mut u8, bytes: usize) {
    // SAFETY: they are a part of our own mapping, which nobody uses any more. If this fails the memory stays.
    unsafe { libc::madvise(start.cast(), bytes, libc::MADV_DONTNEED) };
}

/// Gives addresses back.
#[cfg(all(unix, target_pointer_width = "64"))]
fn release(start: *mut u8, bytes: usize) {
    // SAFETY: they are a part of our own mapping, which nobody uses any more. If this fails they stay reserved.
    unsafe { libc::munmap(start.cast(), bytes) };
}

#[cfg(not(all(unix, target_pointer_width = "64")))]
fn reserve(_: usize, _: usize) -> Option<*mut u8> {
    Some(ptr::null_mut())
}

#[cfg(not(all(unix, target_pointer_width = "64")))]
pub(super) fn commit(_: *mut u8, _: usize) -> bool {
    false
}

#[cfg(not(all(unix, target_pointer_width = "64")))]
pub(super) fn decommit(_: *mut u8, _: usize) {}

#[cfg(not(all(unix, target_pointer_width = "64")))]
fn release(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(not(all(unix, target_pointer_width = "64")), ignore = "there are no regions")]
    fn chunks_have_the_same_low_addresses_in_each_region() {
        let take = || {
            let region = Region::reserve().expect("addresses");
            // SAFETY: the region is there until they are used no more.
            let mut chunks = unsafe { region.chunks() };
            let mut low = |bytes| {
                let chunk = chunks.take(bytes).expect("memory");
                // SAFETY: it has so many bytes, which are nobody else's.
                unsafe { chunk.as_ptr().write_bytes(1, bytes) };
                (chunk, chunk.as_ptr().addr() as u32)
            };
            let [first, second, third] = [CHUNK, 1, 1].map(&mut low);
            assert_eq!([first.1, second.1, third.1], [0, CHUNK as u32, 2 * CHUNK as u32]);
            for chunk in [second.0, first.0] {
                chunks.give_back(chunk);
            }
            let again = chunks.take(CHUNK).expect("memory");
            assert_eq!(again, first.0, "the first that is free");
            // SAFETY: it has so many bytes.
            assert_eq!(unsafe { again.as_ptr().read() }, 0, "it is as new");
            assert!(chunks.take(CHUNK + 1).is_none());
            region
        };
        let (a, b) = (take(), take());
        assert_ne!(a.base(), b.base());
    }
}
