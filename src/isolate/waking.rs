//! Waits end: tasks go on with what they have waited for.

use std::time::Duration;

use super::Isolate;
use super::keys::{ProcessKey, WaitId};
use crate::luau::{Context, Reply};
use crate::types::{Deadline, ProcessIndex, VirtualTime};

impl Isolate {
    /// When the first timer is due; the end of time if there is none.
    pub(crate) fn next_due(&self) -> VirtualTime {
        if self.calls.is_empty() { self.waits.next_due() } else { Duration::ZERO.into() }
    }

    /// Whether some task is to be woken by `now`.
    pub(crate) fn has_due(&self, now: Duration) -> bool {
        self.next_due() <= now.into()
    }

    /// Begins calls of the game, and wakes the tasks whose time has come, until the deadline.
    pub(crate) fn wake(&mut self, now: Duration, deadline: Deadline) {
        let mut steps = deadline.steps();
        if !self.calls.is_empty() {
            self.begin_calls(now, &mut steps);
        }
        for process in self.waits.take_behind() {
            self.catch_up(process);
        }
        while let Some((wait, reply)) = self.waits.pop_due(now.into()) {
            self.resume_task(wait, reply);
            if steps.out_of_time() {
                break;
            }
        }
    }

    /// Whether a wait has not ended.
    pub(crate) fn is_pending(&self, wait: WaitId) -> bool {
        self.waits.is_pending(wait)
    }

    /// Ends a wait, unless it has ended or its process has.
    pub(crate) fn reply(&mut self, wait: WaitId, reply: Reply) {
        if self.waits.end(wait) {
            self.resume_task(wait, Some(reply));
        }
    }

    fn resume_task(&mut self, wait: WaitId, reply: Option<Reply>) {
        if !self.processes.is_live(wait.process) {
            return;
        }
        let Some(state) = &mut self.state else { return };
        if state.luau.wake(wait.process.index, wait.task, reply) {
            self.processes.make_runnable(wait.process);
        }
    }

    /// Ends a wait for the end of a process after some time.
    pub(crate) fn set_timeout(&mut self, wait: WaitId, due: Duration) {
        self.waits.set_timeout(wait, due);
    }

    /// A process has ended, or starts again: nothing reaches it any more.
    pub(super) fn forget_waits(&mut self, process: ProcessIndex) {
        self.end_calls(process);
        self.waits.forget(process);
        self.early_signals.forget(process);
        if let Some(state) = &mut self.state {
            let Context { mail, replies, signals, exports, .. } = state.luau.context();
            signals.forget(process);
            exports.forget(process);
            if !mail.is_empty() {
                mail.remove(&process);
            }
            replies.forget(process);
        }
    }

    /// Throws out what waits have left behind that ended early.
    pub(super) fn sweep(&mut self) {
        let Some(state) = &mut self.state else { return };
        state.luau.release_functions();
        let luau = &state.luau;
        let is_live = |process: ProcessKey| self.processes.is_live(process);
        let is_waiting =
            |wait: WaitId| is_live(wait.process) && luau.is_waiting(wait.process.index, wait.task);
        self.waits.sweep(is_waiting, is_live);
        self.outbox.sweep(|wait| self.waits.is_pending(wait));
    }
}

#[cfg(test)]
mod tests {
    use bevy::prelude::*;
    use bevy::time::TimeUpdateStrategy;

    use crate::Metrics;
    use crate::prelude::*;

    #[test]
    fn waits_that_end_early_leave_nothing_that_grows() {
        for script in [
            "while true do task.cancel(task.delay(1e9, print)) end",
            "while true do task.cancel(task.spawn(task.wait, 1e9)) end",
            "while true do task.cancel(task.spawn(mailbox.receive, 1e9)) end",
            "while true do task.cancel(task.spawn(process.list)) end",
            "while true do task.cancel(task.spawn(call)) end",
            "local i = 0 while true do i += 1 task.cancel(task.spawn(signal.wait, 'x' .. i)) end",
            "local i = 0 while true do i += 1 signal.connect('x' .. i, print)() end",
            "while true do for i = 1, 100 do task.spawn(mailbox.receive, 0) end task.wait() end",
            "while true do for i = 1, 100 do task.spawn(signal.wait, 'x', 0) end task.wait() end",
            "while true do process.kill(process.spawn('task.wait(1e9)')) end",
            "local to = process.spawn('task.wait(1e9)')
             while true do for i = 1, 100 do task.spawn(process.join, to, 0) end task.wait() end",
            "local to = process.spawn('task.wait(1e9)')
             while true do for i = 1, 100 do task.spawn(process.monitor, to) end task.wait() end",
            "local to = process.spawn('task.wait(1e9)')
             while true do process.join(process.spawn(`process.monitor({to})`)) end",
        ] {
            let mut app = App::new();
            let plugin = LuauOsPlugin { budget: TickBudget::Unlimited, ..default() };
            app.add_plugins((MinimalPlugins, plugin))
                .insert_resource(TimeUpdateStrategy::FixedTimesteps(1))
                .add_syscall("call", |_: In<Vec<Syscall<(), ()>>>| {});
            let vm = app.world_mut().spawn(Vm::new()).id();
            let process = (Process::new(Script::new("test", script)), ProcessOf(vm));
            let process = app.world_mut().spawn(process).id();
            let mut most = 0;
            for _ in 0..1_500 {
                app.update();
                let isolate = app.world().resource::<LuauRuntime>().isolates.iter().next();
                most = isolate
                    .map_or(0, |isolate| isolate.waits.entries() + isolate.outbox.requests())
                    .max(most);
            }
            assert!(app.world().get_entity(process).is_ok(), "it goes on: {script}");
            assert!(most <= 1_000, "{most}: {script}");
        }
    }

    #[test]
    fn functions_that_were_handed_over_are_given_back() {
        let mut app = App::new();
        let plugin = LuauOsPlugin { budget: TickBudget::Unlimited, ..default() };
        app.add_plugins((MinimalPlugins, plugin)).insert_resource(TimeUpdateStrategy::FixedTimesteps(1));
        let vm = app.world_mut().spawn(Vm::new()).id();
        let script = "while true do process.join(process.spawn(function() end)) end";
        app.world_mut().spawn((Process::new(Script::new("test", script)), ProcessOf(vm)));
        for _ in 0..300 {
            app.update();
        }
        let finished = app.world().resource::<Metrics>().processes_finished;
        assert!(finished > 50, "{finished}");
        let mut runtime = app.world_mut().resource_mut::<LuauRuntime>();
        let state = &mut runtime.isolate_mut(0).state.as_mut().expect("open").luau;
        assert!(state.unreleased_functions() <= 1, "{}", state.unreleased_functions());
    }
}
