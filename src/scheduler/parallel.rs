//! Shares heaps out over threads.
//!
//! The systems that do this ask for the main thread (`NonSendMarker`): it takes part in the work then,
//! whereas a system on a thread of the pool would leave it idle, and Bevy sizes its compute task pool
//! on the understanding that the main thread works, too.

use std::sync::Mutex;

use bevy::tasks::ComputeTaskPool;

use crate::runtime::heap::Heap;

/// Calls `f` for each of `heaps`, on up to `workers` threads of the compute task pool, the calling
/// one among them. Each worker takes the next heap when it is done with its last.
pub(crate) fn for_each_heap<'a>(
    heaps: impl Iterator<Item = &'a mut Heap> + Send,
    workers: usize,
    f: impl Fn(&mut Heap) + Sync,
) {
    let pool = ComputeTaskPool::try_get().filter(|_| workers > 1);
    let Some(pool) = pool else {
        heaps.for_each(f);
        return;
    };
    let heaps = Mutex::new(heaps);
    let work = || {
        loop {
            // A statement of its own, so that the lock is not held while the heap runs.
            let next = heaps.lock().expect("`next` does not panic").next();
            let Some(heap) = next else { break };
            f(heap);
        }
    };
    pool.scope(|scope| {
        for _ in 0..workers {
            scope.spawn(async { work() });
        }
    });
}
