//! A processor for each thread that runs isolates.
//!
//! Linux on virtual machines that do not tell it which processors share a cache wakes a worker where the main thread
//! runs, and moves it away only at the next timer tick. With a budget of 4 ms the tick of the stress is over by then:
//! the second processor stood idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bevy::prelude::*;
use core_affinity::CoreId;

/// Processors for the main thread and the workers, if there are enough.
pub struct Pinning(Option<Vec<CoreId>>);

impl Pinning {
    /// For `workers` threads, or as many as there are processors.
    pub fn new(workers: Option<usize>) -> Self {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let is_enough = cores.len() > 1 && workers.is_none_or(|workers| workers <= cores.len());
        Self(is_enough.then_some(cores))
    }

    /// Gives the threads of the compute task pool theirs.
    pub fn pin_pool(&self, mut options: TaskPoolOptions) -> TaskPoolOptions {
        if let Some(cores) = self.0.clone() {
            let spawned = AtomicUsize::new(0);
            options.compute.on_thread_spawn = Some(Arc::new(move || {
                let thread = spawned.fetch_add(1, Ordering::Relaxed) + 1; // the first is the main thread's
                core_affinity::set_for_current(cores[thread % cores.len()]);
            }));
        }
        options
    }

    /// Gives the calling thread its own. Threads that it starts from then on would inherit it.
    pub fn pin_main_thread(&self) {
        if let Some(core) = self.0.as_ref().and_then(|cores| cores.first()) {
            core_affinity::set_for_current(*core);
        }
    }
}
