//! Running the processes of an isolate, in passes: each has one slice before another has its second.

use super::Isolate;
use super::config::TickTime;
use super::pass::{End, Pass, PassReport};
use super::run_queue::RunQueue;
use crate::types::{Outcome, ProcessIndex};

impl Isolate {
    /// A pass over all isolates begins. What this one did not get done of its last pass comes first.
    pub(crate) fn begin_pass(&mut self) {
        if self.processes.queue.pass_is_over() {
            self.processes.queue.begin_pass();
        }
        self.collector.skipped_in_round = false;
    }

    /// Queues the processes that started in this tick. To be called when its pass has begun, which leaves them out so.
    pub(crate) fn enqueue_started(&mut self) {
        self.processes.enqueue_started();
    }

    /// Whether processes wait for their slice of the current pass, and can have it.
    pub(crate) fn can_run(&self) -> bool {
        !self.processes.queue.pass_is_over() && !self.collection_is_overdue()
    }

    /// Whether this isolate still has turns left in the current round. Nobody waits for the collector of another isolate.
    pub(crate) fn has_turns_left(&self) -> bool {
        !self.processes.queue.pass_is_over() && !self.collector.skipped_in_round
    }

    /// Leaves the isolate out of the pass over all isolates if it has to be collected before it can go on.
    pub(crate) fn skip_if_overdue(&mut self) {
        let is_overdue = !self.processes.queue.pass_is_over() && self.collection_is_overdue();
        self.collector.skipped_in_round |= is_overdue;
    }

    /// Runs slices until the pass is over, or with a deadline, until that is past or garbage must be collected that takes
    /// long. `next` is the isolate that this operating-system thread runs next, if that is known.
    pub(crate) fn run(&mut self, time: TickTime, next: Option<&Self>) {
        let had_turns_left = self.has_turns_left();
        loop {
            self.run_slices(self.config.quantum, time, next);
            let may_collect = !time.deadline.is_never() && self.is_quickly_collected();
            if self.processes.queue.pass_is_over() || !may_collect || time.deadline.has_passed() {
                break;
            }
            // Otherwise processes that make no garbage would wait for the next tick, again and again.
            self.collect(time.deadline);
        }
        self.skip_if_overdue();
        self.stats.isolate_passes += u64::from(had_turns_left && !self.has_turns_left());
    }

    /// Runs slices of up to `quantum` safepoints. A slice that this cut short is not counted: the process will go on with it.
    pub(super) fn run_slices(&mut self, quantum: u32, time: TickTime, next: Option<&Self>) {
        let Some(pass) = Pass::new(self, quantum, time, next) else {
            self.processes.queue = RunQueue::default(); // whoever is queued has ended
            return;
        };
        let PassReport { ended, resumes, vm_ticks, is_slow } = pass.run();
        self.stats.resumes += resumes;
        self.stats.vm_ticks += vm_ticks;
        self.is_slow = is_slow.unwrap_or(self.is_slow);
        let processes: Vec<ProcessIndex> = ended.iter().map(|&(process, _)| process).collect();
        for (process, end) in ended {
            let outcome = self.outcome(process, end);
            self.end(process, outcome);
        }
        self.sweep();
        // Only now is it known which VMs have processes left, for which threads are worth keeping.
        processes.into_iter().for_each(|process| self.drop_thread(process));
        self.measure();
    }

    fn outcome(&mut self, process: ProcessIndex, end: End) -> Outcome {
        let luau = &mut self.state.as_mut().expect("the process has just run there").luau;
        match end {
            End::Returned => Outcome::Finished(luau.results(process)),
            End::Exited(results) => Outcome::Finished(results),
            End::Failed => Outcome::Failed(luau.error(process)),
            End::Killed(reason) => Outcome::Killed(reason),
        }
    }
}
