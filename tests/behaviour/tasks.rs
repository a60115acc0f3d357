//! Tasks: threads that the scheduler resumes.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::common::{self, console, persistent_vm, process, until_ended};

/// Errors that leave tasks, each with what the process does then.
const FAILING: [&str; 6] = [
    "task.spawn(function() task.wait(0.05) error('late') end) task.wait(0.2)",
    "task.spawn(function() error('late') end) for _ = 1, 5000 do end",
    "pcall(function() task.spawn(function() error('late') end) end) task.wait(0.1)",
    "task.defer(function() error('late') end)",
    "local _ = #setmetatable({}, {__len = function() task.spawn(function() error('late') end) return 1 end})",
    "coroutine.wrap(function() task.wait(0.05) error('late') end)()",
];

/// What was told of errors of tasks.
#[derive(Resource, Default)]
struct Failures(Vec<TaskFailed>);

fn app_with_failures(plugin: LuauOsPlugin) -> App {
    let mut app = common::app_with(plugin);
    app.init_resource::<Failures>().add_observer(
        |failure: On<TaskFailed>, mut failures: ResMut<Failures>| {
            failures.0.push(failure.event().clone());
        },
    );
    app
}

#[test]
fn an_error_in_a_task_ends_that_task_and_is_told_to_the_game_and_in_the_console() {
    for quantum in [2, 7, 1000] {
        let mut app = app_with_failures(LuauOsPlugin { quantum, ..common::plugin() });
        for source in FAILING {
            let vm = persistent_vm(&mut app);
            let process = process(&mut app, vm, &format!("{source} return 'goes on'"));
            let before = common::results(&app).len();
            until_ended(&mut app, before + 1);
            assert_eq!(common::results(&app)[before], Outcome::Finished(vec!["goes on".into()]), "{source}");
            let failures = std::mem::take(&mut app.world_mut().resource_mut::<Failures>().0);
            let [TaskFailed { entity, vm: of_vm, pid, name, error }] = &failures[..] else {
                panic!("{source}: {failures:?}")
            };
            assert_eq!((*entity, *of_vm, pid.get(), &**name), (process, vm, 1, "test"));
            assert_eq!(&*error.message, "test:1: late", "{source}");
            assert!(error.traceback.starts_with("[C] function error\ntest:1"), "{}", error.traceback);
            let text = console(&app, vm);
            assert!(text.starts_with("test:1: late\n    [C] function error\n    test:1"), "{text}");
        }
        assert_eq!(common::metrics(&app).tasks_failed, FAILING.len() as u64);
        assert_eq!(common::metrics(&app).processes_failed, 0);
    }
}

#[test]
fn a_setting_makes_any_error_end_the_process() {
    let mut app = app_with_failures(LuauOsPlugin { task_errors_end_process: true, ..common::plugin() });
    for source in FAILING {
        let Outcome::Failed(error) = common::outcome(&mut app, &format!("{source} task.wait(5)")) else {
            panic!("{source}")
        };
        assert_eq!(&*error.message, "test:1: late", "{source}");
        assert!(error.traceback.starts_with("[C] function error\ntest:1"), "{}", error.traceback);
    }
    // Each of those that fail in one tick has its own error.
    let before = common::results(&app).len();
    let vm = persistent_vm(&mut app);
    for i in 0..4 {
        let source = ["error('X', 0)", "task.spawn(error, 'X', 0) while true do end"][i % 2];
        process(&mut app, vm, &source.replace('X', &i.to_string()));
    }
    until_ended(&mut app, before + 4);
    for (i, outcome) in common::results(&app)[before..].iter().enumerate() {
        let Outcome::Failed(error) = outcome else { panic!("{outcome:?}") };
        assert_eq!(&*error.message, i.to_string());
    }
    assert!(app.world().resource::<Failures>().0.is_empty());
}

#[test]
fn an_error_of_the_main_chunk_ends_the_process_whoever_has_resumed_it() {
    let mut app = app_with_failures(common::plugin());
    for source in [
        "task.delay(5, print) error('late')",
        "task.delay(5, print) task.wait(0.05) error('late')",
        "local main = coroutine.running() task.defer(task.spawn, main) coroutine.yield() error('late')",
        "local main = coroutine.running() task.defer(function() task.spawn(main) task.wait(9) end)
         coroutine.yield() for _ = 1, 5000 do end error('late')",
    ] {
        let Outcome::Failed(error) = common::outcome(&mut app, source) else { panic!("{source}") };
        assert!(error.message.ends_with(": late"), "{source}: {}", error.message);
    }
    // Who resumes it as a coroutine gets its error.
    let source = "local main = coroutine.running()
                  task.defer(function() print(coroutine.resume(main)) task.wait(0.1) print('the last') end)
                  coroutine.yield() error('late', 0)";
    let vm = persistent_vm(&mut app);
    process(&mut app, vm, source);
    until_ended(&mut app, 5);
    assert_eq!(common::results(&app)[4], Outcome::Finished(Vec::new()));
    assert_eq!(console(&app, vm), "false\tlate\nthe last\n");
    assert!(app.world().resource::<Failures>().0.is_empty());
}

#[test]
fn a_process_floods_the_game_with_no_errors() {
    let mut app = app_with_failures(common::plugin());
    let vm = common::vm(&mut app);
    process(&mut app, vm, "local function f() error() end while true do task.spawn(f) end");
    common::ticks(&mut app, 100);
    let count = app.world().resource::<Failures>().0.len();
    assert!((100..=500).contains(&count), "{count} in 100 ticks");
}

#[test]
fn a_process_ends_when_nobody_can_resume_what_is_left() {
    let mut app = common::app();
    for (source, expected) in [
        ("task.spawn(coroutine.yield) return 1", Some(1.0)),
        ("task.spawn(function() task.wait(0.1) coroutine.yield() end) return 1", Some(1.0)),
        ("local co = coroutine.create(print) task.spawn(task.join, co) return 1", Some(1.0)),
        ("task.delay(0.1, print) coroutine.running() coroutine.yield(2) return 1", None),
        ("coroutine.running() coroutine.yield(2) return 1", None),
        ("task.defer(print) coroutine.yield(2) return 1", Some(1.0)),
        ("coroutine.yield(2) return 1", Some(1.0)),
        ("local t = task.spawn(task.wait, 1e9) task.delay(0.1, task.cancel, t) return 1", Some(1.0)),
        ("local t = task.spawn(mailbox.receive) task.delay(0.1, coroutine.close, t) return 1", Some(1.0)),
        ("local t = task.spawn(process.list) task.cancel(t) return 1", Some(1.0)),
        ("local d d = signal.connect('x', print) task.delay(0.1, d) return 1", Some(1.0)),
        ("task.spawn(task.join, coroutine.running()) return 1", Some(1.0)),
        ("task.delay(0.1, coroutine.close, coroutine.running()) task.wait(5) return 1", None),
    ] {
        for _ in 0..2 {
            let results = expected.map(Into::into).into_iter().collect();
            assert_eq!(common::outcome(&mut app, source), Outcome::Finished(results), "{source}");
        }
    }
}

#[test]
fn a_main_chunk_that_yields_goes_on_in_the_next_tick_until_somebody_may_have_its_thread() {
    let mut app = common::app();
    let ticks = |app: &mut App, source: &str| {
        let before = common::metrics(app).ticks;
        let Outcome::Finished(values) = common::outcome(app, source) else { panic!("{source}") };
        (common::metrics(app).ticks - before, values)
    };
    assert_eq!(ticks(&mut app, "coroutine.yield() coroutine.yield()").0, 3);
    // Tasks run before it, and what it yields is nobody's.
    let source = "local log = {} task.defer(function() table.insert(log, 'task') end)
                  coroutine.yield(1, 2) table.insert(log, 'main') return table.concat(log, ' ')";
    assert_eq!(ticks(&mut app, source), (2, vec!["task main".into()]));
    let source = "local main = coroutine.running() task.delay(0.5, task.spawn, main, 'woken', 7)
                  return coroutine.yield()";
    let (ticks, values) = ticks(&mut app, source);
    assert_eq!(values, ["woken".into(), 7.0.into()]);
    assert!((30..=32).contains(&ticks), "{ticks}");
}

#[test]
fn tasks_that_start_each_other_for_ever_do_not_nest() {
    let mut app = common::app();
    let source = "local n = 0
                  local function again() n += 1 task.wait() if n < 1000 then task.spawn(again) end end
                  again() task.wait(18) return n";
    common::returns(&mut app, source, 1000.0.into());
    let source = "local n = 0 local errors = 0
                  local function deeper() n += 1 if n < 1000 then local ok = pcall(task.spawn, deeper)
                  if not ok then errors += 1 end end end
                  deeper() return n > 50 and n < 200 and errors == 1";
    common::returns(&mut app, source, true.into());
}

#[test]
fn tasks_and_connections_are_bounded() {
    let mut app = common::app();
    let limits = VmLimits::from(Limits { tasks: 5, ..default() });
    let vm = app.world_mut().spawn((Vm::persistent(), limits)).id();
    process(
        &mut app,
        vm,
        "for i = 1, 4 do task.spawn(task.wait, 1) end
         print(pcall(task.defer, print)) print(pcall(task.delay, 1, print)) print(pcall(task.spawn, print))
         task.wait(2) task.spawn(print, 'room again')
         for i = 1, 5 do signal.connect('x', print) end print(pcall(signal.connect, 'x', print))
         process.exit()",
    );
    until_ended(&mut app, 1);
    let text = console(&app, vm);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "false\ttask.defer: this process has 5 tasks, of 5",
            "false\ttask.delay: this process has 5 tasks, of 5",
            "false\ttask.spawn: this process has 5 tasks, of 5",
            "room again",
            "false\tsignal.connect: this process has 5 connections and exports, of 5"
        ]
    );
}

#[test]
fn a_process_keeps_its_name_while_its_tasks_run() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    process(&mut app, vm, "task.delay(0.1, function() print(process.name) end)");
    until_ended(&mut app, 1);
    assert_eq!(console(&app, vm), "test\n");
}
