//! The heaps of a runtime, and which of them have something to do.

use std::ops::Index;
use std::time::Duration;

use super::heap::{Heap, VirtualTime};

/// Heaps, in the order in which they were opened. A tick only walks those that are *busy*: a heap is from when
/// something reaches it, or one of its timers is due, until it is found [idle](Heap::is_idle).
#[derive(Default)]
pub(crate) struct Heaps {
    all: Vec<Heap>,
    is_busy: Vec<bool>,
    /// When the first timer is due of each heap that is not busy.
    due: Vec<VirtualTime>,
}

impl Heaps {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn push(&mut self, heap: Heap) {
        self.all.push(heap);
        self.is_busy.push(true);
        self.due.push(VirtualTime::MAX);
    }

    /// All heaps.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Heap> {
        self.all.iter()
    }

    /// All heaps, for changes that give them nothing to do.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Heap> + Send {
        self.all.iter_mut()
    }

    /// A heap, which may have something to do from now on.
    pub(crate) fn get_mut(&mut self, heap: u32) -> &mut Heap {
        self.is_busy[heap as usize] = true;
        &mut self.all[heap as usize]
    }

    /// The busy ones.
    pub(crate) fn busy(&self) -> impl Iterator<Item = &Heap> {
        self.all.iter().zip(&self.is_busy).filter(|(_, is_busy)| **is_busy).map(|(heap, _)| heap)
    }

    /// The busy ones, with their numbers.
    pub(crate) fn busy_mut(&mut self) -> impl Iterator<Item = (u32, &mut Heap)> + Send {
        let heaps = (0..).zip(self.all.iter_mut().zip(&self.is_busy));
        heaps.filter(|(_, (_, is_busy))| **is_busy).map(|(i, (heap, _))| (i, heap))
    }

    /// The first busy heap for which `is_it` holds, `from` that number on and then from the start.
    pub(super) fn find_busy(&self, from: usize, is_it: impl Fn(&Heap) -> bool) -> Option<usize> {
        let order = (from..self.len()).chain(0..from.min(self.len()));
        order.into_iter().find(|&i| self.is_busy[i] && is_it(&self.all[i]))
    }

    /// Those that have a timer due by `now` become busy.
    pub(crate) fn wake(&mut self, now: Duration) {
        let now = VirtualTime::from(now);
        for (is_busy, due) in self.is_busy.iter_mut().zip(&self.due) {
            *is_busy |= *due <= now;
        }
    }

    /// Those that have nothing to do are not busy any more.
    pub(crate) fn rest(&mut self) {
        for (i, heap) in self.all.iter().enumerate() {
            if self.is_busy[i] && heap.is_idle() {
                self.is_busy[i] = false;
                self.due[i] = heap.next_due();
            }
        }
    }
}

impl Index<u32> for Heaps {
    type Output = Heap;

    fn index(&self, heap: u32) -> &Heap {
        &self.all[heap as usize]
    }
}
