//! Luau's memory categories: what a VM's threads are charged to.

use std::collections::VecDeque;

/// VMs that can have a memory category of their own: Luau has 256, and 0 is the state's own.
pub(crate) const MAX_EXACT_VMS: usize = 255;

/// Garbage that a VM may leave to the next VM with the same category: little, compared with what that one may have.
const MAX_INHERITED_GARBAGE: usize = 64 << 10;

/// Which memory categories of a state are in use. 0 is the state's own.
///
/// A VM has one while it has processes that have started, so that VMs which come and go share few: with the
/// category goes the thread that the last process left, still warm.
#[derive(Debug, Default)]
pub(super) struct Categories {
    /// How many started processes are charged to each that was ever used.
    threads: Vec<u32>,
    /// Those that no VM has. The last one is taken first.
    free: Vec<u8>,
    /// Those that no VM has and that hold much garbage, in the order in which they were given back.
    dirty: VecDeque<u8>,
}

impl Categories {
    /// A category for a VM that has none, and whether it may hold much garbage. There must be fewer VMs with
    /// categories than categories.
    pub(super) fn take(&mut self) -> (u8, bool) {
        if let Some(category) = self.free.pop() {
            return (category, false);
        }
        if self.threads.len() < MAX_EXACT_VMS {
            self.threads.push(0);
            return (self.threads.len() as u8, false);
        }
        (self.dirty.pop_front().expect("fewer VMs than categories"), true)
    }

    /// The VM that had it has no process any more. So many bytes are still charged to it.
    pub(super) fn give_back(&mut self, category: u8, bytes: usize) {
        if bytes <= MAX_INHERITED_GARBAGE {
            self.free.push(category);
        } else {
            self.dirty.push_back(category);
        }
    }

    /// Those that no VM has.
    pub(super) fn unused(&self) -> impl Iterator<Item = u8> {
        self.free.iter().chain(&self.dirty).copied()
    }

    /// Started processes that are charged to it.
    pub(super) fn threads(&self, category: u8) -> u32 {
        self.threads[usize::from(category) - 1]
    }

    pub(super) fn add_thread(&mut self, category: u8) {
        self.threads[usize::from(category) - 1] += 1;
    }

    pub(super) fn remove_thread(&mut self, category: u8) {
        self.threads[usize::from(category) - 1] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_category_given_back_last_is_taken_first() {
        let mut categories = Categories::default();
        let mut take = || (0..3).map(|_| categories.take().0).collect::<Vec<_>>();
        assert_eq!(take(), [1, 2, 3]);
        categories.give_back(1, 100);
        categories.give_back(3, 100);
        let mut take = || (0..3).map(|_| categories.take().0).collect::<Vec<_>>();
        assert_eq!(take(), [3, 1, 4]);
    }

    #[test]
    fn categories_with_much_garbage_are_taken_last() {
        let mut categories = Categories::default();
        let (first, _) = categories.take();
        categories.give_back(first, 1 << 20);
        for number in 2..=255 {
            assert_eq!(categories.take(), (number, false));
        }
        assert_eq!(categories.take(), (first, true));
    }
}
