//! Running the processes of an isolate, in passes: each has one slice before another has its second.

use super::Isolate;
use super::config::TickTime;
use super::exit::TaskError;
use super::keys::ProcessKey;
use super::pass::{End, Pass, PassReport};
use super::processes::ProcessOrigin;
use super::run_queue::RunQueue;
use crate::console::ConsoleBuffer;
use crate::luau::FailedTask;
use crate::types::{Outcome, ProcessIndex, Share};

impl Isolate {
    /// A pass over all isolates begins. What this one did not get done of its last pass comes first.
    pub(crate) fn begin_pass(&mut self) {
        if self.processes.queue.pass_is_over() {
            self.processes.queue.begin_pass();
            if self.config.share == Share::PerVm {
                self.vms.shares.begin_pass(&self.processes.records, self.processes.queue.upcoming());
            }
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

    /// Whether this isolate still has turns left in the current round. Nobody waits for the collector of another
    /// isolate.
    pub(crate) fn has_turns_left(&self) -> bool {
        !self.processes.queue.pass_is_over() && !self.collector.skipped_in_round
    }

    /// Leaves the isolate out of the pass over all isolates if it has to be collected before it can go on.
    pub(crate) fn skip_if_overdue(&mut self) {
        let is_overdue = !self.processes.queue.pass_is_over() && self.collection_is_overdue();
        self.collector.skipped_in_round |= is_overdue;
    }

    /// Runs slices until the pass is over, or with a deadline, until that is past or garbage must be collected that
    /// takes long. `next` is the isolate that this operating-system thread runs next, if that is known.
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

    /// Runs slices of up to `quantum` safepoints. A slice that this cut short is not counted: the process will go on
    /// with it.
    pub(super) fn run_slices(&mut self, quantum: u32, time: TickTime, next: Option<&Self>) {
        let Some(pass) = Pass::new(self, quantum, time, next) else {
            self.processes.queue = RunQueue::default(); // whoever is queued has ended
            return;
        };
        let PassReport { ended, resumes, vm_ticks, tasks_failed, failed_tasks, further_passes, slice_time } =
            pass.run();
        self.stats.resumes += resumes;
        self.stats.further_passes += u64::from(further_passes);
        self.stats.vm_ticks += vm_ticks;
        self.stats.tasks_failed += tasks_failed;
        self.slice_time = slice_time;
        for (process, failed) in failed_tasks {
            self.report_failed_task(process, failed);
        }
        let processes: Vec<ProcessIndex> = ended.iter().map(|&(process, _)| process).collect();
        for (process, end) in ended {
            let outcome = self.outcome(process, end);
            self.end(process, outcome);
        }
        self.sweep();
        if let Some(state) = &mut self.state {
            state.luau.grow_string_table();
            self.outbox.take_changes(&mut state.luau.context().changes);
        }
        // Only now is it known which VMs have processes left, for which threads are worth keeping.
        processes.into_iter().for_each(|process| self.drop_thread(process));
        self.measure();
    }

    /// A task has failed with an object that gives its own text. Its VM is told, and the game.
    fn report_failed_task(&mut self, key: ProcessKey, failed: FailedTask) {
        let Some(state) = &mut self.state else { return };
        let Some(error) = state.luau.task_error(key.index, failed) else { return };
        let index = self.processes[key.index].vm;
        let capacity = self.vms.limits(index).console_bytes;
        let vm = self.vms.record_mut(index);
        if vm.console.is_none() && capacity > 0 {
            self.outbox.push_printed(index);
        }
        if capacity > 0 {
            vm.console.get_or_insert_with(|| Box::new(ConsoleBuffer::new(capacity))).push_error(&error);
        }
        self.stats.tasks_failed += 1;
        let ProcessOrigin { process, pid, .. } = self.processes.origins[key.index.at()];
        let vm = vm.vm;
        self.outbox.push_task_error(TaskError { process, key, vm, pid, error });
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bevy::prelude::*;
    use smallvec::smallvec;

    use super::*;
    use crate::isolate::Suspension;
    use crate::isolate::bench::{Bench, ENDLESS, first_tick};
    use crate::luau::request::{ExternalRequest, KernelRequest};
    use crate::script::Script;
    use crate::types::{Deadline, KillReason, Limits, ProcessState, Share};

    #[test]
    fn each_process_has_one_slice_in_a_tick() {
        let mut bench = Bench::new();
        let processes = [ENDLESS; 5].map(|source| bench.spawn(source));
        for tick in 1..=4 {
            bench.tick(Deadline::NEVER);
            assert_eq!(processes.map(|process| bench.slices(process)), [tick; 5]);
        }
        assert_eq!(bench.isolate.take_stats().resumes, 20);
        assert!(processes.iter().all(|&process| bench.state(process) == ProcessState::Runnable));
    }

    #[test]
    fn further_passes_are_for_those_that_compute() {
        let mut bench = Bench::new();
        bench.passes = 5;
        let [loops, yields] =
            [ENDLESS, "while true do coroutine.yield() end"].map(|source| bench.spawn(source));
        let waits = bench.spawn("while true do task.wait() end");
        bench.tick(Deadline::NEVER);
        let slices = |bench: &Bench| [loops, yields, waits].map(|process| bench.slices(process));
        assert_eq!(slices(&bench), [1, 1, 1], "they start");
        bench.tick(Deadline::NEVER);
        assert_eq!(slices(&bench), [6, 2, 2]);
        assert_eq!(bench.isolate.take_stats().further_passes, 4);
        bench.isolate.kill(loops, KillReason::Requested);
        bench.tick(Deadline::NEVER);
        assert_eq!([yields, waits].map(|process| bench.slices(process)), [3, 3]);
        assert_eq!(bench.isolate.take_stats().further_passes, 1, "the one in which nobody ran");
    }

    #[test]
    fn the_processes_of_a_vm_share_what_it_gets_where_vms_share_the_processor() {
        let mut bench = Bench::new();
        (bench.isolate.config.share, bench.isolate.config.quantum) = (Share::PerVm, 640);
        let alone = bench.spawn(ENDLESS);
        let limits = [100, 300].map(|cpu_weight| Limits { cpu_weight, ..default() });
        let vms =
            limits.map(|limits| bench.isolate.add_vm(Entity::PLACEHOLDER, limits.into(), Duration::ZERO));
        let many = vms.map(|vm| {
            bench.vm = vm;
            [ENDLESS; 10].map(|source| bench.spawn(source))
        });
        bench.tick(Deadline::NEVER);
        let safepoints =
            |bench: &Bench, process| bench.isolate.process_info(process).expect("it lives").1.safepoints;
        let before = safepoints(&bench, alone);
        let of_vm = |bench: &Bench, vm| bench.isolate.vm_usage(vm).expect("it is there").0.safepoints;
        let before_of_vm = vms.map(|vm| of_vm(&bench, vm));
        (0..10).for_each(|_| bench.tick(Deadline::NEVER));
        assert_eq!(safepoints(&bench, alone) - before, 6_400);
        let used = [0, 1].map(|i| of_vm(&bench, vms[i]) - before_of_vm[i]);
        assert!((6_300..6_700).contains(&used[0]) && (19_000..19_500).contains(&used[1]), "{used:?}");
        let all = many.concat().into_iter();
        assert!(all.clone().all(|process| bench.slices(process) == 11), "each has a slice in each pass");
    }

    #[test]
    fn a_vm_has_no_more_turns_in_a_tick_when_its_time_is_used_up() {
        let mut bench = Bench::new();
        bench.passes = 1_000_000;
        let process = bench.spawn(ENDLESS);
        let far = || Deadline::at(Instant::now() + Duration::from_secs(60));
        bench.tick(far());
        for _ in 0..3 {
            let before = bench.slices(process);
            bench.tick(far());
            assert!(bench.slices(process) > before + 10, "a millisecond is many slices");
        }
        let cpu = bench.isolate.process_info(process).expect("it lives").1;
        assert!((Duration::from_millis(2)..Duration::from_millis(50)).contains(&cpu.time), "{cpu:?}");
    }

    #[test]
    fn a_pass_that_the_deadline_cuts_goes_on_where_it_stopped() {
        let mut bench = Bench::new();
        let processes: Vec<_> = (0..50).map(|_| bench.spawn(ENDLESS)).collect();
        bench.tick(Deadline::NEVER);
        let total = |bench: &Bench| processes.iter().map(|&process| bench.slices(process)).sum::<u64>();
        let mut before = total(&bench);
        while before < 10 * 50 {
            bench.tick(Deadline::at(Instant::now()));
            let now = total(&bench);
            assert!((1..50).contains(&(now - before)), "some slices, and no whole pass");
            let counts: Vec<_> = processes.iter().map(|&process| bench.slices(process)).collect();
            let (min, max) = (counts.iter().min(), counts.iter().max());
            assert!(max.zip(min).is_some_and(|(max, min)| max - min <= 1), "nobody is overtaken");
            before = now;
        }
    }

    #[test]
    fn a_library_call_that_takes_long_is_paid_for_by_later_ticks() {
        let mut bench = Bench::new();
        let process = bench.spawn("local s = string.rep('x', 6 * 2^20) while true do end");
        let other = bench.isolate.add_vm(Entity::PLACEHOLDER, default(), Duration::ZERO);
        let other = std::mem::replace(&mut bench.vm, other);
        let fair = bench.spawn(ENDLESS);
        bench.vm = other;
        // For each MiB 2^15 safepoints of 15 ns for the copy and 2^14 for the block of memory: 4.4 ms, 1 ms a tick.
        for _ in 0..10 {
            bench.tick(Deadline::NEVER);
        }
        assert_eq!((bench.slices(process), bench.slices(fair)), (7, 10));
    }

    #[test]
    fn a_suspended_process_has_no_slices() {
        let mut bench = Bench::new();
        let process = bench.spawn(ENDLESS);
        bench.tick(Deadline::NEVER);
        bench.isolate.suspend(process, Suspension::Process, Duration::ZERO);
        bench.tick(Deadline::NEVER);
        bench.tick(Deadline::NEVER);
        assert_eq!((bench.slices(process), bench.state(process)), (1, ProcessState::Suspended));
        bench.isolate.resume(process, Suspension::Process, Duration::ZERO);
        bench.tick(Deadline::NEVER);
        assert_eq!(bench.slices(process), 2);
    }

    #[test]
    fn whoever_waits_is_in_no_queue() {
        let mut bench = Bench::new();
        let process = bench.spawn("task.wait(3) while true do end");
        bench.tick(Deadline::NEVER);
        assert_eq!((bench.state(process), bench.isolate.runnable()), (ProcessState::Waiting, 0));
        assert!(bench.isolate.is_idle() && bench.isolate.next_due() == Duration::from_secs(4).into());
        bench.tick(Deadline::NEVER);
        bench.tick(Deadline::NEVER);
        assert_eq!(bench.slices(process), 1);
        bench.tick(Deadline::NEVER);
        assert_eq!((bench.slices(process), bench.state(process)), (2, ProcessState::Runnable));
    }

    #[test]
    fn a_killed_process_leaves_the_queue_and_its_index_is_used_again() {
        let mut bench = Bench::new();
        let [killed, other] = [ENDLESS; 2].map(|source| bench.spawn(source));
        bench.tick(Deadline::NEVER);
        assert!(bench.isolate.kill(killed, KillReason::Requested));
        assert!(!bench.isolate.kill(killed, KillReason::Requested), "only once");
        bench.tick(Deadline::NEVER);
        assert_eq!((bench.slices(other), bench.isolate.runnable()), (2, 1));
        assert!(bench.isolate.process_info(killed).is_none());
        assert_eq!(bench.outcomes(), [Outcome::Killed(KillReason::Requested)]);
        let next = bench.spawn("return 7");
        assert_eq!((next.index, bench.isolate.kill(killed, KillReason::Requested)), (killed.index, false));
        bench.tick(Deadline::NEVER);
        bench.tick(Deadline::NEVER);
        assert_eq!(bench.outcomes(), [Outcome::Finished(vec![7.0.into()])]);
    }

    #[test]
    fn a_request_leaves_the_isolate_once_and_its_reply_comes_back() {
        let mut bench = Bench::new();
        bench.spawn("return process.kill(99)");
        bench.tick(Deadline::NEVER);
        let mut posted = Vec::new();
        bench.isolate.take_requests(4, |_| true, |who, request| posted.push((who, request)));
        bench.isolate.take_requests(4, |_| true, |_, _| panic!("it was taken"));
        let [(who, ExternalRequest::Kernel(request))] = &posted[..] else {
            panic!("one request of the kernel")
        };
        assert!(matches!(**request, KernelRequest::Kill(99)) && who.id.isolate == 4 && who.pid.get() == 1);
        bench.isolate.reply(who.id.wait, Ok(smallvec!["done".into()]));
        bench.isolate.reply(who.id.wait, Ok(smallvec!["again".into()]));
        bench.tick(Deadline::NEVER);
        assert_eq!(bench.outcomes(), [Outcome::Finished(vec!["done".into()])]);
    }

    #[test]
    fn a_process_that_starts_again_forgets_what_it_waited_for() {
        let mut bench = Bench::new();
        let old = bench.spawn("return process.kill(99)");
        bench.tick(Deadline::NEVER);
        let new = bench.isolate.restart(old, Script::new("test", ENDLESS), None).expect("it lives");
        bench.isolate.take_requests(0, |_| true, |_, _| panic!("nobody waits for the answer"));
        assert!(bench.isolate.restart(old, Script::new("test", ENDLESS), None).is_none());
        bench.tick(Deadline::NEVER);
        bench.tick(Deadline::NEVER);
        assert_eq!(bench.state(new), ProcessState::Runnable);
        assert!(bench.isolate.process_info(old).is_none() && bench.outcomes().is_empty());
    }

    #[test]
    fn a_state_that_nobody_needs_is_left_for_the_next_isolate() {
        let (mut first, mut second) = (Bench::new(), Bench::new());
        let time = first_tick();
        let mut idle = Vec::new();
        first.spawn("return 1");
        first.isolate.start_admitted(time, &mut idle);
        assert!(idle.len() == 1 && first.isolate.state.is_none());
        second.spawn(ENDLESS);
        second.isolate.start_admitted(time, &mut idle);
        assert!(idle.is_empty() && second.isolate.state.is_some());
        assert_eq!(first.outcomes(), [Outcome::Finished(vec![1.0.into()])]);
        // It gets another one when it needs one.
        let process = first.spawn(ENDLESS);
        first.tick(Deadline::NEVER);
        assert_eq!(first.slices(process), 1);
    }

    #[test]
    fn a_state_with_much_garbage_stays_for_the_collector() {
        let mut bench = Bench::new();
        let time = first_tick();
        let mut idle = Vec::new();
        let mut rounds = 0;
        while rounds == 0 || !idle.is_empty() {
            rounds += 1;
            (0..16).for_each(|_| _ = bench.spawn("local b = buffer.create(1000)"));
            bench.isolate.start_admitted(time, &mut idle);
        }
        assert!((5..60).contains(&rounds), "{rounds} rounds of at least 16 KB");
        assert_eq!(bench.outcomes().len(), rounds * 16);
        assert!(bench.isolate.collection_is_due() && !bench.isolate.is_idle());
        bench.isolate.collect(Deadline::NEVER);
        assert!(bench.isolate.is_idle());
    }
}
