//! Run: every runnable process gets a slice, heaps in parallel.

use std::time::{Duration, Instant};

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::Tick;
use super::budget::{Phase, TickBudget};
use super::collect::collect_overdue;
use super::parallel::{LONGEST_ROW, SharedStats, for_each, rows};
use crate::metrics::Metrics;
use crate::runtime::LuauRuntime;
use crate::runtime::heap::Heap;

/// A longer quantum gains nothing by rows of heaps with many turns, and loses where the busy ones cannot be shared out.
const SHORT_QUANTUM: u32 = 64;

pub(crate) fn run(
    _main_thread: NonSendMarker,
    mut runtime: ResMut<LuauRuntime>,
    mut metrics: ResMut<Metrics>,
    mut tick: ResMut<Tick>,
) {
    let runtime = &mut *runtime;
    if runtime.budget() == TickBudget::Unlimited {
        collect_overdue(runtime, &mut metrics);
    }
    let timer = tick.begin_phase(Phase::Run);
    let deadline = timer.deadline;
    let (tick_number, now, workers) = (metrics.ticks as u32, runtime.now, runtime.workers());
    let pass_is_over = !runtime.heaps.busy().any(Heap::holds_up_pass);
    let longest_row = if runtime.quantum() <= SHORT_QUANTUM { LONGEST_ROW } else { 1 };
    let (mut large, mut small, mut unfinished) = (Vec::new(), Vec::new(), 0);
    for (_, heap) in runtime.heaps.busy_mut() {
        if pass_is_over {
            heap.begin_pass();
        }
        heap.leave_out_if_overdue();
        heap.queue_rested();
        unfinished += u64::from(heap.holds_up_pass());
        if heap.can_run() {
            let heaps = if heap.has_few_turns() { &mut small } else { &mut large };
            heaps.push(heap);
        }
    }
    let stats = SharedStats::default();
    let pass = Pass { tick: tick_number, now, deadline, stats: &stats };
    let large = rows(&mut large, workers, longest_row).map(Row::Large);
    let small = rows(&mut small, workers, LONGEST_ROW).map(Row::Small);
    for_each(large.chain(small), workers, deadline, |row| pass.run(row));
    metrics.run_time += tick.end_phase(timer);
    let stats = stats.total();
    metrics.add(&stats);
    let ran = metrics.last_tick_resumes > 0;
    metrics.passes += u64::from(stats.heap_passes == unfinished && unfinished > 0 && ran);
}

/// Heaps that one worker runs.
enum Row<'a, 'h> {
    Large(&'a mut [&'h mut Heap]),
    /// Of heaps that [have few turns](Heap::has_few_turns).
    Small(&'a mut [&'h mut Heap]),
}

/// What rows need to run.
struct Pass<'a> {
    tick: u32,
    now: Duration,
    deadline: Option<Instant>,
    stats: &'a SharedStats,
}

impl Pass<'_> {
    /// Runs heaps until the deadline, the first in any case.
    fn run(&self, row: Row) {
        match row {
            Row::Large(heaps) => {
                let mut is_foreseen = false;
                for i in 0..heaps.len() {
                    if i > 0 && self.is_over() {
                        return;
                    }
                    let (begun, later) = heaps.split_at_mut(i + 1);
                    is_foreseen = begun[i].look_ahead(is_foreseen, later);
                    self.run_heap(begun[i], later.first().map(|next| &**next));
                }
            }
            Row::Small(heaps) => {
                Heap::load_together(heaps);
                for (i, heap) in heaps.iter_mut().enumerate() {
                    if i > 0 && self.is_over() {
                        return;
                    }
                    self.run_heap(heap, None);
                }
            }
        }
    }

    fn run_heap(&self, heap: &mut Heap, next: Option<&Heap>) {
        heap.run(self.tick, self.now, self.deadline, next);
        self.stats.take_from(heap);
    }

    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}
