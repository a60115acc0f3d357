//! Running an app until its processes have ended.

use std::time::{Duration, Instant};

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;

use crate::types::Metrics;

/// What happened during [`RunProcessesAppExt::run_processes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunReport {
    /// Ticks run.
    pub ticks: u64,
    /// Wall time.
    pub elapsed: Duration,
    /// Processes whose main chunk returned.
    pub finished: u64,
    /// Processes that an error ended.
    pub failed: u64,
    /// Processes that were stopped.
    pub killed: u64,
    /// Processes that had not ended when the ticks were used up.
    pub unfinished: u64,
}

/// Runs apps tick by tick, for tools and tests.
pub trait RunProcessesAppExt {
    /// Updates the app, each update one tick of virtual time, until no process is left or `max_ticks`
    /// ticks have passed. 1,000 is a good limit for scripts that are meant to end.
    ///
    /// Where the plugin has a [schedule](crate::LuauOsPlugin::schedule) that Bevy's `Main` does not run there are no
    /// ticks: run that schedule instead.
    ///
    /// ```
    /// use bevy::prelude::*;
    /// use bevy_luau_os::prelude::*;
    ///
    /// let mut app = App::new();
    /// app.add_plugins((MinimalPlugins, LuauOsPlugin::default()));
    /// let vm = app.world_mut().spawn(Vm::new()).id();
    /// app.world_mut().spawn((Process::new(Script::new("sum", "return 1 + 2")), ProcessOf(vm)));
    ///
    /// let report = app.run_processes(1_000);
    /// assert_eq!((report.finished, report.unfinished), (1, 0));
    /// ```
    ///
    /// # Panics
    ///
    /// When the app has no [`LuauOsPlugin`](crate::LuauOsPlugin) or no `TimePlugin`.
    fn run_processes(&mut self, max_ticks: u64) -> RunReport;

    /// Updates the app so many times, each update one tick of virtual time, whether processes are left or not. The
    /// first update of an app has no tick, because its clock begins there.
    ///
    /// ```
    /// use bevy::prelude::*;
    /// use bevy_luau_os::prelude::*;
    ///
    /// let mut app = App::new();
    /// app.add_plugins((MinimalPlugins, LuauOsPlugin::default()));
    /// let vm = app.world_mut().spawn(Vm::persistent()).id();
    /// app.world_mut().spawn((Process::new(Script::new("hello", "print('hello')")), ProcessOf(vm)));
    ///
    /// app.run_ticks(3);
    /// assert_eq!(app.world().get::<VmConsole>(vm).map(VmConsole::text), Some("hello\n"));
    /// ```
    ///
    /// # Panics
    ///
    /// When the app has no `TimePlugin`.
    fn run_ticks(&mut self, count: u64) -> &mut Self;
}

impl RunProcessesAppExt for App {
    fn run_processes(&mut self, max_ticks: u64) -> RunReport {
        let began = Instant::now();
        let before = self.world().resource::<Metrics>().clone();
        let strategy = replace_strategy(self, TimeUpdateStrategy::FixedTimesteps(1));
        // A paused clock must not make this endless, hence updates are counted, not ticks.
        for _ in 0..max_ticks {
            self.update();
            if self.world().resource::<Metrics>().processes() == 0 {
                break;
            }
        }
        replace_strategy(self, strategy);
        let after = self.world().resource::<Metrics>();
        RunReport {
            ticks: after.ticks - before.ticks,
            elapsed: began.elapsed(),
            finished: after.processes_finished - before.processes_finished,
            failed: after.processes_failed - before.processes_failed,
            killed: after.processes_killed - before.processes_killed,
            unfinished: after.processes(),
        }
    }

    fn run_ticks(&mut self, count: u64) -> &mut Self {
        let strategy = replace_strategy(self, TimeUpdateStrategy::FixedTimesteps(1));
        (0..count).for_each(|_| self.update());
        replace_strategy(self, strategy);
        self
    }
}

/// Sets how time passes. Returns how it did.
fn replace_strategy(app: &mut App, strategy: TimeUpdateStrategy) -> TimeUpdateStrategy {
    std::mem::replace(&mut *app.world_mut().resource_mut::<TimeUpdateStrategy>(), strategy)
}
