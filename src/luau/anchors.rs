//! Where the root threads of processes are anchored.

use super::stack::Reference;
use super::thread::Anchored;

/// Threads in one anchor table. The collector marks a table in one indivisible step, so one table
/// with hundreds of thousands of threads would be a pause of milliseconds.
pub(super) const ANCHORS_PER_TABLE: u32 = 512;

/// What anchors roots, and those that have no process.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// The tables that anchor roots.
    pub(super) tables: Vec<Reference>,
    /// Anchors used so far.
    pub(super) anchors: u32,
    pub(super) free_anchors: Vec<u32>,
    /// Where the root of each process is anchored.
    pub(super) by_thread: Vec<u32>,
    /// By memory category, to which Luau charges a thread's stack for as long as it lives.
    pub(super) idle: Vec<Vec<Root>>,
}

/// An anchored thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    pub(super) thread: Anchored,
    pub(super) anchor: u32,
}

impl Roots {
    /// The table of an anchor that is used, and its place there.
    pub(super) fn place(&self, anchor: u32) -> (Reference, i32) {
        (self.tables[(anchor / ANCHORS_PER_TABLE) as usize], place_in_table(anchor))
    }
}

/// The place of an anchor in its table.
pub(super) fn place_in_table(anchor: u32) -> i32 {
    (anchor % ANCHORS_PER_TABLE).cast_signed() + 1
}
