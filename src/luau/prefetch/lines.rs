//! Loading lines of memory: hints to the processor, and the only assembly of the crate.

/// Bytes of a long array that are loaded.
const BEGINNING: usize = 1 << 10;

/// Pages of a long array of which the first lines are loaded.
const PAGES: usize = 16;

/// Bytes of a line of memory.
pub(super) const LINE: usize = 64;

/// Bytes of a page of the operating system.
pub(in crate::luau) const OS_PAGE: usize = 4096;

/// Starts loading a value. Of a long one, the beginning, and the first two lines in each page of memory: the processor
/// sees by itself what follows in a page, but not beyond.
pub(crate) fn prefetch<T: ?Sized>(value: &T) {
    prefetch_bytes((&raw const *value).cast(), size_of_val(value));
}

/// The same of a value at an address, whatever is there.
pub(super) fn prefetch_at<T>(address: *const T) {
    prefetch_bytes(address.cast(), size_of::<T>());
}

#[inline]
fn prefetch_bytes(start: *const u8, size: usize) {
    for offset in (0..size.min(BEGINNING)).step_by(LINE) {
        prefetch_line(start.wrapping_byte_add(offset));
    }
    let first_page = start.addr().wrapping_neg() % OS_PAGE;
    for offset in (first_page..size).step_by(OS_PAGE).take(PAGES) {
        prefetch_line(start.wrapping_byte_add(offset));
        prefetch_line(start.wrapping_byte_add(offset + LINE));
    }
}

/// Starts loading the line of memory at an address, whatever that is.
pub(in crate::luau) fn prefetch_line<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it may point anywhere.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The same for a line that one turn of a pass needs, and then nobody until the next pass. It can leave the shared cache
/// to others: two workers are 1% faster so (measured on an AMD EPYC).
pub(super) fn prefetch_line_once<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it may point anywhere.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_NTA, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_NTA>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Starts loading what the pointer at an address points to, if a pointer is there.
///
/// # Safety
///
/// At `address` must be 8 bytes of readable memory.
pub(super) unsafe fn prefetch_pointee(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: by the contract. What is there may never have been written (of a value only the part that its type needs is),
    // so it is read here; what it says is not dereferenced.
    unsafe {
        std::arch::asm!(
            "mov {pointee}, [{address}]",
            "prefetchnta [{pointee}]",
            address = in(reg) address,
            pointee = out(reg) _,
            options(nostack, readonly, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
