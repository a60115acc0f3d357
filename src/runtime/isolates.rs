//! The isolates of a runtime, and which of them have something to do.

use std::ops::Index;
use std::time::Duration;

use crate::isolate::Isolate;
use crate::types::VirtualTime;

/// Isolates, in the order in which they were opened. A tick only walks those that are *busy*: an isolate is from when
/// something reaches it, or one of its timers is due, until it is found [idle](Isolate::is_idle).
#[derive(Default)]
pub(crate) struct Isolates {
    all: Vec<Isolate>,
    is_busy: Vec<bool>,
    /// When the first timer is due of each isolate that is not busy.
    due: Vec<VirtualTime>,
}

impl Isolates {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn push(&mut self, isolate: Isolate) {
        self.all.push(isolate);
        self.is_busy.push(true);
        self.due.push(VirtualTime::MAX);
    }

    /// All isolates.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Isolate> {
        self.all.iter()
    }

    /// All isolates, for changes that give them nothing to do.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Isolate> + Send {
        self.all.iter_mut()
    }

    /// An isolate, which may have something to do from now on.
    pub(crate) fn get_mut(&mut self, isolate: u32) -> &mut Isolate {
        self.is_busy[isolate as usize] = true;
        &mut self.all[isolate as usize]
    }

    /// The busy ones.
    pub(crate) fn busy(&self) -> impl Iterator<Item = &Isolate> {
        self.all.iter().zip(&self.is_busy).filter(|(_, is_busy)| **is_busy).map(|(isolate, _)| isolate)
    }

    /// The busy ones, with their numbers.
    pub(crate) fn busy_mut(&mut self) -> impl Iterator<Item = (u32, &mut Isolate)> + Send {
        let isolates = (0..).zip(self.all.iter_mut().zip(&self.is_busy));
        isolates.filter(|(_, (_, is_busy))| **is_busy).map(|(i, (isolate, _))| (i, isolate))
    }

    /// The first busy isolate for which `is_it` holds, `from` that number on and then from the start.
    pub(super) fn find_busy(&self, from: usize, is_it: impl Fn(&Isolate) -> bool) -> Option<usize> {
        let order = (from..self.len()).chain(0..from.min(self.len()));
        order.into_iter().find(|&i| self.is_busy[i] && is_it(&self.all[i]))
    }

    /// Takes up to `limit` things from busy isolates that have some, beginning with the one whose turn is `next`.
    pub(super) fn take_in_turn<T>(
        &mut self,
        next: &mut usize,
        limit: usize,
        has: impl Fn(&Isolate) -> bool,
        take: impl Fn(&mut Isolate) -> Option<T>,
    ) -> Vec<T> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(found) = self.find_busy(*next, &has)
        {
            *next = found;
            let isolate = self.get_mut(found as u32);
            taken.extend(std::iter::from_fn(|| take(isolate)).take(limit - taken.len()));
        }
        taken
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
        for (i, isolate) in self.all.iter().enumerate() {
            if self.is_busy[i] && isolate.is_idle() {
                self.is_busy[i] = false;
                self.due[i] = isolate.next_due();
            }
        }
    }
}

impl Index<u32> for Isolates {
    type Output = Isolate;

    fn index(&self, isolate: u32) -> &Isolate {
        &self.all[isolate as usize]
    }
}
