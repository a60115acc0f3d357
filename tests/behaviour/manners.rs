//! A plugin among others: the app's clock, its schedules, the order in which things are added.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bevy::ecs::schedule::ScheduleLabel;
use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::Value;
use bevy_luau_os::prelude::*;

use crate::common::{self, SPIN, metrics, process, vm};

#[derive(ScheduleLabel, Clone, Debug, PartialEq, Eq, Hash)]
struct Simulate;

fn timestep(app: &App) -> Duration {
    app.world().resource::<Time<Fixed>>().timestep()
}

fn minimal() -> App {
    let mut app = App::new();
    app.add_plugins(MinimalPlugins);
    app
}

#[test]
fn an_app_that_has_not_chosen_a_timestep_gets_60_hz() {
    let mut app = minimal();
    app.add_plugins(LuauOsPlugin::default());
    assert_eq!(timestep(&app), Duration::from_secs_f64(1.0 / 60.0));
    let mut app = App::new();
    app.add_plugins((LuauOsPlugin { tick_rate: Some(20.0), ..default() }, MinimalPlugins));
    assert_eq!(timestep(&app), Duration::from_millis(50), "also before Bevy's own plugin");
}

#[test]
fn a_timestep_that_the_app_has_set_stays() {
    let mut app = minimal();
    app.insert_resource(Time::<Fixed>::from_hz(30.0)).add_plugins(LuauOsPlugin::default());
    assert_eq!(timestep(&app), Duration::from_secs_f64(1.0 / 30.0));
    let mut app = minimal();
    app.add_plugins(LuauOsPlugin::default()).insert_resource(Time::<Fixed>::from_hz(64.0));
    app.update();
    assert_eq!(timestep(&app), Duration::from_micros(15_625), "set after the plugin, even Bevy's default");
    let mut app = minimal();
    app.add_plugins(LuauOsPlugin { tick_rate: None, ..default() });
    assert_eq!(timestep(&app), Duration::from_micros(15_625));
    let mut app = minimal();
    app.add_plugins(LuauOsPlugin { schedule: Simulate.intern(), ..default() });
    assert_eq!(timestep(&app), Duration::from_micros(15_625), "it does not run in the fixed loop");
}

#[test]
fn each_run_of_a_schedule_that_the_game_runs_is_a_tick() {
    let mut app = common::app_with(LuauOsPlugin { schedule: Simulate.intern(), ..common::plugin() });
    let vm = vm(&mut app);
    process(&mut app, vm, SPIN);
    for _ in 0..10 {
        app.world_mut().run_schedule(Simulate);
    }
    assert_eq!((metrics(&app).ticks, metrics(&app).resumes), (10, 10), "no frame has begun");
    // As for rollback: many runs in one frame.
    app.add_systems(PreUpdate, |world: &mut World| (0..8).for_each(|_| world.run_schedule(Simulate)));
    common::ticks(&mut app, 2);
    assert_eq!((metrics(&app).ticks, metrics(&app).late_ticks), (26, 0));
}

#[test]
fn the_fixed_loop_is_limited_and_runs_outside_of_it_are_not() {
    let mut app = common::app_with(LuauOsPlugin { max_ticks_per_frame: 2, ..common::plugin() });
    app.update(); // the clock starts
    app.insert_resource(TimeUpdateStrategy::FixedTimesteps(5));
    app.update();
    assert_eq!((metrics(&app).ticks, metrics(&app).late_ticks), (2, 3));
    app.insert_resource(TimeUpdateStrategy::ManualDuration(Duration::ZERO));
    app.add_systems(Update, |world: &mut World| (0..4).for_each(|_| world.run_schedule(FixedUpdate)));
    app.update();
    assert_eq!((metrics(&app).ticks, metrics(&app).late_ticks), (6, 3));
}

#[test]
fn time_of_a_schedule_that_the_game_runs_is_what_scripts_wait_for() {
    let mut app = common::app_with(LuauOsPlugin { schedule: Simulate.intern(), ..common::plugin() });
    let vm = vm(&mut app);
    process(&mut app, vm, "task.wait(1)");
    let mut ticks = 0;
    while common::ended(&app).processes.is_empty() {
        assert!(ticks < 20, "it waits for longer than a second");
        app.world_mut().resource_mut::<Time>().advance_by(Duration::from_millis(100));
        app.world_mut().run_schedule(Simulate);
        ticks += 1;
    }
    assert_eq!(ticks, 11, "it starts in the first");
}

fn return_of(app: &mut App, source: &str) -> Value {
    match common::outcome(app, source) {
        Outcome::Finished(values) => values[0].clone(),
        other => panic!("{source}: {other:?}"),
    }
}

fn double(In(calls): In<Vec<Syscall<(f64,), f64>>>) {
    for call in calls {
        let (number,) = call.args;
        call.reply(2.0 * number);
    }
}

#[test]
fn functions_and_syscalls_may_be_added_before_the_plugin_and_after_it() {
    let mut app = minimal();
    app.add_host_function("early.one", || Ok::<_, String>(1.0)).add_syscall("early.double", double);
    common::configure(&mut app, common::plugin());
    app.add_host_function("late.three", || Ok::<_, String>(3.0)).add_syscall("late.double", double);
    let source = "return early.one() + 10 * early.double(2) + 100 * late.three() + 1000 * late.double(4)";
    assert_eq!(return_of(&mut app, source), Value::Number(8_341.0));
}

#[test]
fn a_wrong_registration_says_what_is_wrong_with_it() {
    let panics = |app: &mut App, path: &str| {
        let added = catch_unwind(AssertUnwindSafe(|| _ = app.add_syscall(path, double)));
        *added.expect_err("it is wrong").downcast::<String>().expect("a message")
    };
    let mut early = minimal();
    early.add_host_function("robot.turn", || Ok::<_, String>(()));
    assert!(panics(&mut early, "robot.turn").contains("there is `robot.turn`"));
    assert!(panics(&mut early, "robot turn").contains("expected names"));
    common::configure(&mut early, common::plugin());
    assert!(panics(&mut early, "robot.turn").contains("there is `robot.turn`"), "the plugin knows it");
    assert_eq!(return_of(&mut early, "return robot ~= nil"), Value::Boolean(true));
    assert!(panics(&mut early, "robot.jump").contains("before the first process starts"));
}

#[test]
fn systems_that_answer_syscalls_have_names() {
    let mut app = common::app();
    app.add_syscall("robot.double", double);
    let mut names = app.world_mut().query::<&Name>();
    assert!(names.iter(app.world()).any(|name| name.as_str() == "syscall robot.double"));
}

#[test]
#[should_panic(expected = "LuauOsPlugin::tick_rate is 0")]
fn a_rate_out_of_range_is_refused() {
    minimal().add_plugins(LuauOsPlugin { tick_rate: Some(0.0), ..default() });
}

#[test]
fn the_quick_start_is_the_same_everywhere() {
    let files = [
        include_str!("../../README.md"),
        include_str!("../../examples/minimal.rs"),
        include_str!("../../src/lib.rs"),
    ];
    let [readme, example, documentation] = files.map(|text| {
        let lines = text.lines().map(|line| line.strip_prefix("//! ").unwrap_or(line));
        let program = lines.skip_while(|line| *line != "fn main() {");
        program.take_while(|line| *line != "}").collect::<Vec<_>>()
    });
    assert!(example.len() > 10);
    assert_eq!(readme, example);
    assert_eq!(documentation, example);
}
