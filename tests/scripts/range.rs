//! A firing range: an app in which one attack runs beside well-behaved processes on the same isolate.

use std::num::NonZeroUsize;
use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{CpuUsage, Value};
use cpu_time::ThreadTime;

use crate::hostile::Expectation;
use crate::{app, one_thread, run};

/// Well-behaved processes beside an attack, and after it.
const NEIGHBOURS: usize = 100;
/// Ticks within which a script must have ended, or have shown that it goes on. On a slow machine each slice is paid off
/// by very many.
const MAX_TICKS: usize = 100_000;
/// Ticks for which a script that runs for ever is watched beyond the end of its neighbours.
const MORE_TICKS: usize = 60;
/// Generous: the tests run unoptimised, several at a time, on busy machines. What it is to find takes
/// minutes or does not end.
const LONGEST_TICK: Duration = Duration::from_secs(10);
/// What the slices of a tick may be charged at most. One call may be charged for all memory that its VM may have.
const MAX_SAFEPOINTS: u64 = 1 << 26;

/// Ticks in which the isolate is collected several times.
const SOME_COLLECTIONS: usize = 60;
/// Within so many times [`SOME_COLLECTIONS`] the isolate must be as small as it was.
const PATIENCE: usize = 10;
/// Bytes by which garbage may make the isolate larger than it was before the attack.
const GARBAGE: usize = 1 << 20;
/// What the isolate keeps for each byte of a script that it may run again.
const CODE_PER_BYTE: usize = 50;

/// Strings, tables, generators, errors: some of everything that an attack could break.
const WELL_BEHAVED: &str = include_str!("well_behaved.luau");
/// Stays on the isolate and makes garbage, so that it is collected.
const CHURN: &str = "while true do local t = {} for i = 1, 100 do t[i] = { i } end end";

/// See the [module](self).
pub struct Range {
    app: App,
    /// What well-behaved processes return.
    expected: Vec<Value>,
}

impl Range {
    pub fn new() -> Self {
        let mut app = one_thread::app_with(LuauOsPlugin {
            budget: TickBudget::Time(Duration::from_millis(100)),
            workers: NonZeroUsize::new(1),
            ..default()
        });
        let Outcome::Finished(expected) = run::outcome(&mut app, WELL_BEHAVED) else { panic!() };
        let vm = app::vm(&mut app);
        app::process(&mut app, vm, CHURN);
        run::ticks(&mut app, 100);
        Self { app, expected }
    }

    /// Runs an attack, and checks what becomes of it and of all others.
    ///
    /// # Panics
    ///
    /// When others notice it.
    pub fn attack(&mut self, script: Script, expected: &Expectation) -> Result<(), String> {
        let bytes_before = self.isolate_bytes();
        let may_leave = GARBAGE + CODE_PER_BYTE * script.source().len();
        let neighbours = self.spawn_neighbours();
        let vm = app::vm(&mut self.app);
        let hostile = self.app.world_mut().spawn((Process::new(script), ProcessOf(vm))).id();
        self.watch(vm, hostile, &neighbours, expected);
        self.assert_finished(&neighbours);

        let outcome = app::exit(&self.app, hostile).map(|exit| &exit.outcome);
        if !expected.includes(outcome) {
            return Err(format!("{outcome:?} instead of {expected:?}"));
        }
        if app::exists(&self.app, vm) {
            self.app.world_mut().entity_mut(vm).despawn();
        }

        // It leaves nothing that those notice who come later.
        let neighbours = self.spawn_neighbours();
        for _ in 0..MAX_TICKS {
            self.tick();
            if self.ended(&neighbours) == NEIGHBOURS {
                break;
            }
        }
        self.assert_finished(&neighbours);
        let mut bytes_after = usize::MAX;
        for _ in 0..PATIENCE {
            bytes_after = bytes_after.min(self.isolate_bytes());
            if bytes_after <= bytes_before + may_leave {
                break;
            }
        }
        assert!(bytes_after <= bytes_before + may_leave, "{bytes_before} bytes before, {bytes_after} after");
        assert_eq!(self.runtime().isolate_count(), 1);
        Ok(())
    }

    /// Runs ticks until the neighbours have ended, and the attack has or shows that it goes on.
    fn watch(&mut self, vm: Entity, hostile: Entity, neighbours: &[Entity], expected: &Expectation) {
        let limits = self.app.world().get::<VmLimits>(vm).expect("it has").clone();
        let max_bytes = limits.memory_bytes + limits.memory_slack();
        let (mut cpu, mut more) = (CpuUsage::default(), 0);
        for _ in 0..MAX_TICKS {
            self.tick();
            if let Some(bytes) = self.app.world().get::<Vm>(vm).and_then(|vm| self.runtime().vm_bytes(vm)) {
                assert!(bytes <= max_bytes, "its VM has {bytes} bytes, of {max_bytes}");
            }
            let process = self.app.world().get::<Process>(hostile);
            let info = process.and_then(|process| self.runtime().process_info(process));
            let exit = app::exit(&self.app, hostile);
            if let Some(now) = info.map(|info| info.cpu).or(exit.map(|exit| exit.cpu)) {
                let used = now.safepoints - cpu.safepoints;
                assert!(used <= MAX_SAFEPOINTS, "{used} safepoints in one tick");
                cpu = now;
            }
            let goes_on = expected.includes(None) && more > MORE_TICKS && cpu.slices > 1;
            if self.ended(neighbours) == NEIGHBOURS {
                more += 1;
                if exit.is_some() || goes_on {
                    return;
                }
            }
        }
        let (ended, outcome) = (self.ended(neighbours), app::exit(&self.app, hostile));
        panic!(
            "after {MAX_TICKS} ticks {ended} of {NEIGHBOURS} neighbours have ended, and the attack: {outcome:?}"
        );
    }

    fn spawn_neighbours(&mut self) -> Vec<Entity> {
        let spawn = |_| {
            let vm = app::vm(&mut self.app);
            app::process(&mut self.app, vm, WELL_BEHAVED)
        };
        (0..NEIGHBOURS).map(spawn).collect()
    }

    /// How many of these have ended. Those that the attack has started end, too.
    fn ended(&self, processes: &[Entity]) -> usize {
        let exits = app::ended(&self.app).processes.iter();
        exits.filter(|exit| processes.contains(&exit.entity)).count()
    }

    fn assert_finished(&self, neighbours: &[Entity]) {
        let expected = Outcome::Finished(self.expected.clone());
        for &neighbour in neighbours {
            let exit = app::exit(&self.app, neighbour).expect("a neighbour has ended");
            assert_eq!(exit.outcome, expected, "a neighbour");
        }
    }

    /// The most that the isolate has within [`SOME_COLLECTIONS`].
    fn isolate_bytes(&mut self) -> usize {
        let bytes = |_| {
            self.tick();
            self.runtime().isolate_bytes()
        };
        (0..SOME_COLLECTIONS).map(bytes).max().unwrap_or_default()
    }

    fn tick(&mut self) {
        // One worker: all of it is on this thread, and what else the machine does is not counted.
        let began = ThreadTime::now();
        self.app.update();
        let time = began.elapsed();
        assert!(time < LONGEST_TICK, "a tick took {time:?}");
    }

    fn runtime(&self) -> &LuauRuntime {
        self.app.world().resource()
    }
}
