//! Shares isolates out over threads.
//!
//! The systems that do this ask for the main thread (`NonSendMarker`): it takes part in the work then,
//! whereas a system on a thread of the pool would leave it idle, and Bevy sizes its compute task pool
//! on the understanding that the main thread works, too.

use std::sync::Mutex;

use bevy::tasks::ComputeTaskPool;

use crate::isolate::Isolate;
use crate::types::{Deadline, IsolateStats};

/// What isolates did, added up by several workers, each right after it ran an isolate, while that is in its caches.
#[derive(Default)]
pub(crate) struct SharedStats(Mutex<IsolateStats>);

impl SharedStats {
    pub(crate) fn take_from(&self, isolate: &mut Isolate) {
        *self.0.lock().expect("adding does not panic") += isolate.take_stats();
    }

    pub(crate) fn total(self) -> IsolateStats {
        self.0.into_inner().expect("adding does not panic")
    }
}

/// Isolates that one worker deals with one after the other, so that it can load what the next ones need first.
pub(crate) const MAX_BATCH: usize = 16;

/// A batch is so small a part of what is left for each worker. The last batches are single isolates, so that no
/// worker is idle for long while another runs a batch.
const BATCHES_PER_WORKER: usize = 8;

/// Shares isolates out in batches of up to `max` for [`for_each`].
pub(crate) fn batches<T>(
    mut isolates: &mut [T],
    workers: usize,
    max: usize,
) -> impl Iterator<Item = &mut [T]> {
    std::iter::from_fn(move || {
        let batch = (isolates.len() / (workers * BATCHES_PER_WORKER)).clamp(1, max);
        isolates.split_off_mut(..batch)
    })
}

/// Calls `f` for each of `items` (isolates, or batches of them) until the deadline, on up to `workers` threads of the
/// compute task pool, the calling one among them. Each worker takes the next item when it is done with its last. The
/// first item always gets its turn, so that there is progress whatever the budget is.
pub(crate) fn for_each<T: Send>(
    mut items: impl Iterator<Item = T> + Send,
    workers: usize,
    deadline: Deadline,
    f: impl Fn(T) + Sync,
) {
    // To wake the pool's threads takes longer than all else that an idle tick does.
    let Some(first) = items.next() else { return };
    let Some(second) = items.next() else { return f(first) };
    let items = Mutex::new(([first, second].into_iter().chain(items), true));
    let next = || {
        let mut items = items.lock().expect("`next` does not panic");
        let is_first = std::mem::replace(&mut items.1, false);
        if is_first || !deadline.has_passed() { items.0.next() } else { None }
    };
    let work = || {
        while let Some(item) = next() {
            f(item);
        }
    };
    let Some(pool) = ComputeTaskPool::try_get().filter(|_| workers > 1) else {
        work();
        return;
    };
    pool.scope(|scope| {
        for _ in 0..workers {
            scope.spawn(async { work() });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_each_isolate_once_in_order_and_the_last_ones_are_single() {
        let mut isolates: Vec<u32> = (0..1_569).collect();
        let batches: Vec<Vec<u32>> =
            batches(&mut isolates, 2, MAX_BATCH).map(|batch| batch.to_vec()).collect();
        assert_eq!(batches.concat(), (0..1_569).collect::<Vec<_>>());
        assert_eq!(batches[0].len(), MAX_BATCH);
        assert!(batches.iter().rev().take(2 * BATCHES_PER_WORKER).all(|batch| batch.len() == 1));
        assert!(super::batches(&mut isolates, 2, 1).all(|batch| batch.len() == 1));
    }
}
