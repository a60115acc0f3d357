//! Ticks, passes and budgets.

use std::num::NonZeroUsize;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bevy::prelude::*;
use bevy::tasks::AsyncComputeTaskPool;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::LuauOsDiagnosticsPlugin;
use bevy_luau_os::prelude::*;

use crate::common::{
    self, NOTHING, exists, info, metrics, process, runtime, spinners, state, ticks, until_ended, vm,
};

#[test]
fn every_process_gets_one_slice_in_a_tick() {
    let mut app = common::app();
    let processes = spinners(&mut app, 1000);
    ticks(&mut app, 2);
    for _ in 0..5 {
        let before: Vec<_> = processes.iter().map(|&process| info(&app, process).cpu.slices).collect();
        app.update();
        assert_eq!(metrics(&app).last_tick_resumes, 1000);
        for (&process, before) in processes.iter().zip(before) {
            assert_eq!(info(&app, process).cpu.slices, before + 1);
        }
    }
}

#[test]
fn a_pass_goes_on_in_the_next_tick_when_the_budget_is_used_up() {
    // Into the second one some of the pass may fit, or all of it.
    for (budget, most_slices) in [(NOTHING, 10), (Duration::from_millis(5), 600)] {
        let mut app = common::app_with(LuauOsPlugin { quantum: 20_000, ..common::plugin() });
        let processes = spinners(&mut app, 600);
        // Counting begins where a pass ends.
        ticks(&mut app, 3);
        app.world_mut().resource_mut::<LuauRuntime>().set_budget(TickBudget::Time(budget));
        let slices = |app: &App| -> Vec<u64> {
            processes.iter().map(|&process| info(app, process).cpu.slices).collect()
        };
        let (at_first, passes) = (slices(&app), metrics(&app).passes);
        for _ in 0..10_000 {
            app.update();
            let since: Vec<u64> = slices(&app).iter().zip(&at_first).map(|(now, then)| now - then).collect();
            let (least, most) = (since.iter().min().unwrap(), since.iter().max().unwrap());
            assert!(most - least <= 1, "{least} to {most} slices");
            let in_this_tick = metrics(&app).last_tick_resumes;
            assert!((1..=most_slices).contains(&in_this_tick), "{in_this_tick} slices in {budget:?}");
            if metrics(&app).passes == passes + 3 {
                break;
            }
        }
        assert_eq!(metrics(&app).passes, passes + 3);
    }
}

#[test]
fn processes_start_over_several_ticks_when_the_budget_is_used_up() {
    let budget = TickBudget::Time(NOTHING);
    let mut app = common::app_with(LuauOsPlugin { budget, ..common::plugin() });
    let processes = spinners(&mut app, 600);
    let started = |app: &App| {
        let process = |&process| app.world().get::<Process>(process).expect("alive");
        let info = |process| runtime(app).process_info(process);
        processes
            .iter()
            .map(process)
            .filter(|process| info(process).is_some_and(|info| info.cpu.slices > 0))
            .count()
    };
    ticks(&mut app, 2);
    assert!((1..100).contains(&started(&app)), "{} have started in no time", started(&app));
    common::update_until(&mut app, |app| started(app) == 600);
}

/// Keeps the threads that compile in the background busy, as long as it lives.
struct Occupation(Arc<Barrier>);

impl Occupation {
    fn new() -> Self {
        let pool = AsyncComputeTaskPool::get();
        let gate = Arc::new(Barrier::new(pool.thread_num() + 1));
        for _ in 0..pool.thread_num() {
            let gate = gate.clone();
            let occupy = async move {
                gate.wait(); // all of them are here
                gate.wait(); // and may go
            };
            pool.spawn(occupy).detach();
        }
        gate.wait();
        Self(gate)
    }
}

impl Drop for Occupation {
    fn drop(&mut self) {
        self.0.wait();
    }
}

#[test]
fn long_scripts_are_compiled_in_the_background() {
    let budget = TickBudget::Time(Duration::from_millis(50));
    let mut app = common::app_with(LuauOsPlugin { budget, ..common::plugin() });
    let (long, short) = ("x = 1\n".repeat(30_000), "return 1");
    let occupation = Occupation::new();
    let [first, second] = [&long, short].map(|source| {
        let vm = vm(&mut app);
        process(&mut app, vm, source)
    });
    ticks(&mut app, 5);
    assert_eq!(state(&app, first), ProcessState::New);
    assert!(!exists(&app, second));
    drop(occupation);
    common::update_until(&mut app, |app| !exists(app, first));
    // Without a budget it is started in its first tick.
    let mut app = common::app();
    let _occupation = Occupation::new();
    let vm = vm(&mut app);
    let process = process(&mut app, vm, &long);
    ticks(&mut app, 2); // the first frame has no tick
    assert_ne!(state(&app, process), ProcessState::New);
}

#[test]
fn even_the_smallest_budget_makes_progress_and_other_systems_are_not_charged() {
    for budget in [NOTHING, Duration::from_millis(2)] {
        let mut app = common::app_with(LuauOsPlugin { budget: TickBudget::Time(budget), ..common::plugin() });
        let slow = || std::thread::sleep(Duration::from_millis(4));
        app.add_systems(FixedUpdate, slow.in_set(LuauOsSystems::Wake));
        for i in 0..20 {
            let vm = vm(&mut app);
            process(&mut app, vm, &format!("for i = 1, 3000 do end return {i}"));
        }
        until_ended(&mut app, 20);
    }
}

#[test]
fn work_beyond_the_maximum_of_a_frame_is_left_out_and_counted_late() {
    let mut app = common::app();
    app.insert_resource(TimeUpdateStrategy::FixedTimesteps(5));
    ticks(&mut app, 1);
    let before = metrics(&app).clone();
    app.update();
    assert_eq!(metrics(&app).ticks - before.ticks, 2);
    assert!(metrics(&app).late_ticks - before.late_ticks >= 3);
}

/// What two runs have in common. Time is measured.
fn without_time(exit: &ProcessExited) -> (Entity, u32, [u64; 2], Duration, String) {
    let cpu = [exit.cpu.safepoints, exit.cpu.slices];
    (exit.entity, exit.pid.get(), cpu, exit.lifetime, format!("{:?}", exit.outcome))
}

#[test]
fn all_layouts_give_the_same_results() {
    let outcomes = |vms_per_isolate, workers| {
        let mut app = common::app_with(LuauOsPlugin {
            vms_per_isolate,
            workers: NonZeroUsize::new(workers),
            quantum: 5,
            ..common::plugin()
        });
        for i in 0..40 {
            let vm = vm(&mut app);
            process(
                &mut app,
                vm,
                &format!("local s = {i} for i = 1, 20 do s += i * math.random(3) end return s"),
            );
            process(
                &mut app,
                vm,
                "return coroutine.wrap(function() for i = 1, 9 do coroutine.yield(i) end end)()",
            );
        }
        let mut ended: Vec<_> = until_ended(&mut app, 80).iter().map(without_time).collect();
        ended.sort_by_key(|exit| exit.0);
        let isolates = app.world().resource::<LuauRuntime>().isolate_count();
        (ended, isolates)
    };
    let (expected, isolates) = outcomes(usize::MAX, 1);
    assert_eq!(isolates, 1, "one state for everything");
    for (vms_per_isolate, workers) in [(1, 1), (3, 2), (255, 4)] {
        let (ended, isolates) = outcomes(vms_per_isolate, workers);
        assert_eq!(ended, expected, "{vms_per_isolate} VMs an isolate, {workers} workers");
        assert!(isolates >= workers && isolates >= 40_usize.div_ceil(vms_per_isolate));
    }
}

#[test]
fn two_runs_of_the_same_app_are_the_same() {
    let run = || {
        let mut app = common::app_with(LuauOsPlugin { seed: 9, quantum: 3, ..common::plugin() });
        for _ in 0..50 {
            let vm = vm(&mut app);
            process(
                &mut app,
                vm,
                "local s = 0 for i = 1, math.random(30) do s += math.random() end return s, os.clock()",
            );
        }
        until_ended(&mut app, 50).iter().map(without_time).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn diagnostics_are_measured() {
    use bevy::diagnostic::{DiagnosticPath, DiagnosticsPlugin, DiagnosticsStore};
    let mut app = common::app();
    app.add_plugins((DiagnosticsPlugin, LuauOsDiagnosticsPlugin));
    spinners(&mut app, 10);
    ticks(&mut app, 5);
    let store = app.world().resource::<DiagnosticsStore>();
    let value =
        |path: DiagnosticPath| store.get(&path).and_then(|diagnostic| diagnostic.value()).expect("measured");
    type Paths = LuauOsDiagnosticsPlugin;
    assert_eq!(value(Paths::VMS), 10.0);
    assert_eq!(value(Paths::PROCESSES), 10.0);
    assert_eq!(value(Paths::RUNNABLE), 10.0);
    assert_eq!(value(Paths::RESUMES), 10.0);
    assert!(value(Paths::TICK_TIME) > 0.0 && value(Paths::ISOLATE_BYTES) > 0.0);
    assert!(value(Paths::GC_TIME) >= 0.0 && value(Paths::LATE_TICKS) >= 0.0);
}

#[test]
#[should_panic(expected = "LuauOsPlugin::quantum is 1; it must be at least 2")]
fn a_setting_out_of_range_is_explained() {
    App::new().add_plugins((MinimalPlugins, LuauOsPlugin { quantum: 1, ..default() }));
}
