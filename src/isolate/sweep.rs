//! Entries of waits that have ended early (a timeout, a task that was cancelled, a process that was killed) are not
//! looked for at once: they are swept out when there may be as many of them as of others.

use super::{Isolate, SlotId};
use crate::types::ProcessIndex;

/// Below that it is not worth it.
const MIN_SWEEP: usize = 64;

/// When a collection is to be swept, so that each entry costs a constant time and void ones never are many more
/// than half.
#[derive(Debug)]
pub(super) struct SweepAt(usize);

impl Default for SweepAt {
    fn default() -> Self {
        Self(MIN_SWEEP)
    }
}

impl SweepAt {
    pub(super) fn is_due(&self, entries: usize) -> bool {
        entries > self.0
    }

    /// So many entries were kept.
    pub(super) fn swept(&mut self, entries: usize) {
        self.0 = 2 * entries + MIN_SWEEP;
    }
}

impl Isolate {
    /// Throws out what waits have left behind that ended early.
    pub(super) fn sweep(&mut self) {
        let Self { waiting, subscribers, slots, state: Some(state), .. } = self else { return };
        state.release_functions();
        let is_alive = |id: SlotId| slots.live(id).is_some();
        waiting.sweep(|wait| {
            is_alive(wait.slot()) && state.is_waiting(ProcessIndex(wait.slot().slot), wait.task)
        });
        let is_connected = |wait: super::WaitId| {
            is_alive(wait.slot()) && state.is_connected(ProcessIndex(wait.slot().slot), wait.task)
        };
        subscribers.sweep(|wait| waiting.is_pending(wait), is_connected, is_alive);
    }
}

#[cfg(test)]
mod tests {
    use bevy::prelude::*;
    use bevy::time::TimeUpdateStrategy;

    use super::*;
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
                    .map_or(0, |isolate| isolate.waiting.entries() + isolate.subscribers.entries())
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
        let state = runtime.isolate_mut(0).state.as_mut().expect("open");
        assert!(state.unreleased_functions() <= 1, "{}", state.unreleased_functions());
    }

    #[test]
    fn entries_that_stay_are_swept_rarely_and_void_ones_do_not_pile_up() {
        for live in [0, 10, 100_000] {
            let (mut at, mut entries, mut visited) = (SweepAt::default(), live, 0);
            for _ in 0..1_000_000 {
                entries += 1; // void at once
                if at.is_due(entries) {
                    visited += entries;
                    entries = live;
                    at.swept(entries);
                }
                assert!(entries <= 2 * live + MIN_SWEEP + 1);
            }
            assert!(visited <= 4 * (1_000_000 + live), "{live}: {visited}");
        }
    }
}
