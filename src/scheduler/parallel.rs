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
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use bevy::tasks::TaskPool;

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

    /// The items for which [`for_each`] called its function, in the order of the calls.
    fn called(items: usize, workers: usize, deadline: Deadline, f: impl Fn(usize) + Sync) -> Vec<usize> {
        ComputeTaskPool::get_or_init(TaskPool::new);
        let called = Mutex::new(Vec::new());
        for_each(0..items, workers, deadline, |item| {
            called.lock().expect("pushing does not panic").push(item);
            f(item);
        });
        called.into_inner().expect("pushing does not panic")
    }

    #[test]
    fn each_item_has_its_turn_once_and_with_one_worker_in_order() {
        for items in [0, 1, 2, 1_000] {
            let expected: Vec<usize> = (0..items).collect();
            assert_eq!(called(items, 1, Deadline::NEVER, |_| ()), expected);
            for workers in [2, 5] {
                let mut called = called(items, workers, Deadline::NEVER, |_| ());
                called.sort();
                assert_eq!(called, expected, "{workers} workers");
            }
        }
    }

    #[test]
    fn a_single_item_stays_on_the_calling_thread() {
        let caller = std::thread::current().id();
        called(1, 2, Deadline::NEVER, |_| assert_eq!(std::thread::current().id(), caller));
        called(10, 1, Deadline::NEVER, |_| assert_eq!(std::thread::current().id(), caller));
    }

    #[test]
    fn the_first_item_and_no_other_has_its_turn_after_the_deadline() {
        for (items, workers) in [(1, 1), (1, 2), (100, 1), (100, 2)] {
            assert_eq!(
                called(items, workers, Deadline::at(Instant::now()), |_| ()),
                [0],
                "{workers} workers"
            );
        }
    }

    #[test]
    fn no_item_is_begun_when_the_deadline_has_passed_in_the_meantime() {
        for workers in [1, 2] {
            let deadline = Instant::now() + Duration::from_millis(20);
            let begun_late = AtomicUsize::new(0);
            let called = called(100, workers, Deadline::at(deadline), |item| {
                // Whoever comes here takes up all the time that there is.
                begun_late.fetch_add(usize::from(item > 0 && Instant::now() > deadline), Ordering::Relaxed);
                while Instant::now() < deadline {
                    std::thread::yield_now();
                }
            });
            assert!((1..=workers).contains(&called.len()), "{called:?} with {workers} workers");
            assert!(
                begun_late.into_inner() < workers,
                "one that looked at the clock just before, of each worker"
            );
        }
    }

    /// How many of two items that wait for each other had their turn on the calling thread.
    fn called_here() -> usize {
        let caller = std::thread::current().id();
        let (to_first, from_second) = mpsc::channel();
        let (to_second, from_first) = mpsc::channel();
        let ends = [Mutex::new((to_second, from_second)), Mutex::new((to_first, from_first))];
        let called_here = AtomicUsize::new(0);
        called(2, 2, Deadline::NEVER, |item| {
            let end = ends[item].lock().expect("it has one user");
            end.0.send(()).expect("the other one waits");
            end.1.recv_timeout(Duration::from_secs(60)).expect("the other one runs, too");
            called_here.fetch_add(usize::from(std::thread::current().id() == caller), Ordering::Relaxed);
        });
        called_here.into_inner()
    }

    #[test]
    fn workers_run_at_the_same_time_and_the_calling_thread_is_one_of_them() {
        // Now and then a thread of another test helps out.
        assert!((0..1_000).any(|_| called_here() == 1));
    }

    #[test]
    fn no_more_workers_run_than_there_may() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        called(50, 2, Deadline::NEVER, |_| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_micros(200));
            running.fetch_sub(1, Ordering::SeqCst);
        });
        assert!(most.into_inner() <= 2);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_others_have_their_turn() {
        for (items, workers) in [(1, 1), (10, 2)] {
            let done = AtomicUsize::new(0);
            let run = AssertUnwindSafe(|| {
                called(items, workers, Deadline::NEVER, |item| {
                    assert!(item > 0, "it is the first");
                    done.fetch_add(1, Ordering::Relaxed);
                })
            });
            let panic = catch_unwind(run).expect_err("it panics");
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"it is the first"));
            assert_eq!(done.into_inner(), items - 1, "{workers} workers");
        }
    }
}
