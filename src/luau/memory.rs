//! The allocator of a state: Rust's, with a counter and a list of all blocks, and one for Luau's pages. Where two runs must
//! give the same results, both take addresses of a region, so that the order of tables repeats.
//!
//! Luau has no finalizers that scripts can set, so closing a state comes down to giving its blocks back,
//! which takes a tenth of the time that `lua_close` needs to visit each object.

mod blocks;
mod large;
mod pages;
mod region;

use std::ffi::c_void;
use std::ptr;

use self::blocks::{Blocks, index_of};
use self::large::LargeBlocks;
use self::pages::Pages;
use self::region::Region;
use super::slice::{LimitViolation, Slice, SliceEnd};
use super::string_table::StringTable;

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
    /// The memory category of the slice that runs, or ran last.
    category: u8,
    /// Bytes of pages at which a slice ends.
    max_pages: usize,
    blocks: Blocks,
    pages: Pages,
    /// The slice that is charged. Valid for as long as the state is, or null: then nobody is.
    slice: *const Slice,
    /// Whose growth is refused to nobody. `None` where it was not found.
    string_table: Option<StringTable>,
    /// Where blocks and pages are if they are repeatable. It goes after them.
    region: Option<Region>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            used: 0,
            used_before: 0,
            allowed: usize::MAX,
            slack: 0,
            category: 0,
            max_pages: usize::MAX,
            blocks: Blocks::default(),
            pages: Pages::default(),
            slice: ptr::null(),
            string_table: None,
            region: None,
        }
    }
}

impl Memory {
    /// Memory that is charged to a slice. If it is repeatable, objects have the same low 32 bits of their addresses in each
    /// run.
    ///
    /// # Safety
    ///
    /// `slice` must outlive the state that this is the memory of.
    pub(super) unsafe fn charged_to(slice: *const Slice, is_repeatable: bool) -> Self {
        let region = is_repeatable.then(Region::reserve).flatten();
        // SAFETY: the region is kept, and fields are dropped in their order, of which it is the last.
        let chunks = region.as_ref().map(|region| unsafe { region.chunks() });
        // SAFETY: as above.
        let large = region.as_ref().map(|region| unsafe { LargeBlocks::new(region) });
        let (pages, blocks) = (Pages::repeatable(chunks), Blocks::repeatable(large));
        Self { slice, pages, blocks, region, ..Self::default() }
    }

    /// From where on the addresses are the same in each run, if they are.
    pub(super) fn base(&self) -> usize {
        self.region.as_ref().map_or(0, Region::base)
    }

    /// Bytes.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// See [`Pages::prefetch_tlb`].
    pub(super) fn prefetch_tlb(&self) {
        self.pages.prefetch_tlb();
    }

    /// A slice begins that may allocate `bytes`, in a memory category.
    pub(super) fn allow(&mut self, bytes: usize, category: u8) {
        self.used_before = self.used;
        self.allowed = bytes;
        self.category = category;
    }

    /// What slices may allocate beyond what they are allowed, until they are refused more; and how many bytes of pages
    /// their VM may have.
    pub(super) fn allow_slack(&mut self, slack: usize, max_pages: usize) {
        self.slack = slack;
        self.max_pages = max_pages;
    }

    /// Bytes of the pages that slices of a memory category have taken, and that have not been given back.
    pub(super) fn page_bytes(&self, category: u8) -> usize {
        self.pages.owned(category)
    }

    /// A page for the slice that runs, if one does. It ends if its VM has too many.
    fn allocate_page(&mut self, size: usize) -> *mut c_void {
        // SAFETY: by the contract of `charged_to`.
        let running = unsafe { self.slice.as_ref() }.filter(|slice| slice.is_running());
        let owner = running.map_or(0, |_| self.category);
        let page = self.pages.allocate(size, owner);
        if owner > 0
            && self.pages.owned(owner) > self.max_pages
            && let Some(slice) = running
        {
            slice.end_soon();
            slice.flag_outcome();
        }
        page.cast()
    }

    /// Where the strings of the state are, if that is known.
    pub(super) fn string_table(&self) -> Option<StringTable> {
        self.string_table
    }

    pub(super) fn set_string_table(&mut self, table: Option<StringTable>) {
        self.string_table = table;
    }

    /// Whether a block of so many bytes is there.
    pub(super) fn has_block(&self, data: *mut c_void, size: usize) -> bool {
        self.blocks.contain(data, size)
    }

    /// Whether what is changed belongs to the state, and so to none of its VMs.
    fn is_shared(&self, data: *mut c_void, new_size: usize) -> bool {
        // SAFETY: by the contract of `charged_to`.
        let is_charged_to_state = unsafe { self.slice.as_ref() }.is_some_and(Slice::charges_state);
        is_charged_to_state || self.string_table.is_some_and(|table| table.grows(data, new_size))
    }

    /// Whether `size` more bytes may be had, replacing `old_size`. Only slices have limits.
    fn permits(&self, old_size: usize, size: usize) -> bool {
        if size <= old_size && size <= LARGE_BLOCK {
            return true;
        }
        // SAFETY: by the contract of `charged_to`.
        let Some(slice) = (unsafe { self.slice.as_ref() }) else { return true };
        if slice.grants_all_memory() {
            return true;
        }
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

    /// Whether Luau could not go on without what it asks for.
    fn must_not_fail(&self) -> bool {
        // SAFETY: by the contract of `charged_to`.
        unsafe { self.slice.as_ref() }.is_some_and(Slice::grants_all_memory)
    }

    fn free(&mut self, old: Old) {
        match old {
            Old::Nothing => {}
            // SAFETY: by the contract of `Old::new`.
            Old::Page(page, size) => unsafe { self.pages.free(page, size) },
            Old::Block(index) => self.blocks.remove(index),
        }
    }

    /// Moves what is old, or makes something new, where one of the two is a page.
    fn replace(&mut self, old: Old, size: usize) -> *mut c_void {
        let new = if pages::is_page(size) { self.allocate_page(size) } else { self.blocks.add(size) };
        if new.is_null() {
            return new;
        }
        let (data, old_size) = match old {
            Old::Nothing => return new,
            Old::Page(page, old_size) => (page.cast(), old_size),
            Old::Block(index) => self.blocks.get(index),
        };
        // SAFETY: both have so many bytes, and the new one is nobody else's.
        unsafe { new.copy_from_nonoverlapping(data, old_size.min(size)) };
        self.free(old);
        new
    }
}

/// What Luau wants to be freed or changed.
enum Old {
    Nothing,
    /// With its size.
    Page(*mut u8, usize),
    /// Where it stands in [`Blocks`].
    Block(usize),
}

impl Old {
    /// # Safety
    ///
    /// `data` must be null or be of the memory that is given this, of `size` bytes. It must not be used after that.
    unsafe fn new(data: *mut c_void, size: usize) -> Self {
        if data.is_null() {
            Self::Nothing
        } else if pages::is_page(size) {
            Self::Page(data.cast(), size)
        } else {
            // SAFETY: by the contract. What is no page is a block.
            Self::Block(unsafe { index_of(data) })
        }
    }
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
    // SAFETY: by the contract.
    let memory = unsafe { &mut *memory.cast::<Memory>() };
    // Of what is new, `old_size` says of which type it is to be.
    let old_size = if data.is_null() { 0 } else { old_size };
    let is_shared = memory.is_shared(data, new_size);
    // SAFETY: by the contract.
    let old = unsafe { Old::new(data, old_size) };
    if new_size == 0 {
        memory.used -= old_size;
        if is_shared {
            memory.used_before = memory.used_before.wrapping_sub(old_size);
        }
        memory.free(old);
        return ptr::null_mut();
    }
    if !is_shared && !memory.permits(old_size, new_size) {
        return ptr::null_mut();
    }
    let new = match old {
        Old::Block(index) if !pages::is_page(new_size) => memory.blocks.resize(index, new_size),
        old => memory.replace(old, new_size),
    };
    if !new.is_null() {
        memory.used = memory.used - old_size + new_size;
        if is_shared {
            memory.used_before = memory.used_before.wrapping_add(new_size).wrapping_sub(old_size);
        }
    } else if memory.must_not_fail() {
        std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; 16]>());
    }
    new
}
