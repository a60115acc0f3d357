//! VMs and processes as entities: from spawning to despawning.

mod common;

use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{KillReason, Value};
use common::{ended, exists, metrics, process, ticks, until_ended, vm};

const SPIN: &str = "while true do end";

#[test]
fn a_process_finishes_with_its_results_and_goes_with_its_vm() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let entity = process(&mut app, vm, "return 1, 'two', {3}, nil, print, vector.create(1, 2, 3), true");
    let exit = until_ended(&mut app, 1)[0].clone();
    let Outcome::Finished(values) = exit.outcome else { panic!("{:?}", exit.outcome) };
    assert_eq!(
        values,
        [
            Value::Number(1.0),
            Value::String(b"two".as_slice().into()),
            Value::Table(vec![(Value::Number(1.0), Value::Number(3.0))]),
            Value::Nil,
            Value::Opaque("function"),
            Value::Vector([1.0, 2.0, 3.0]),
            Value::Boolean(true),
        ]
    );
    assert_eq!((exit.entity, exit.vm, exit.pid.get(), &*exit.name), (entity, vm, 1, "test"));
    assert_eq!(exit.cpu.slices, 1);
    assert!(exit.cpu.safepoints >= 1, "the return: {:?}", exit.cpu);
    let finished = &ended(&app).vms[0];
    assert_eq!((finished.entity, finished.processes, finished.cpu), (vm, 1, exit.cpu));
    assert!(!exists(&app, entity) && !exists(&app, vm));
    assert_eq!((metrics(&app).vms(), metrics(&app).processes()), (0, 0));
}

#[test]
fn pids_count_up_on_each_vm() {
    let mut app = common::app();
    let vms = [vm(&mut app), vm(&mut app)];
    for vm in vms {
        for _ in 0..3 {
            process(&mut app, vm, "return");
        }
    }
    let mut pids: Vec<_> = until_ended(&mut app, 6).iter().map(|exit| (exit.vm, exit.pid.get())).collect();
    pids.sort();
    let mut expected: Vec<_> = vms.iter().flat_map(|&vm| (1..=3).map(move |pid| (vm, pid))).collect();
    expected.sort();
    assert_eq!(pids, expected);
}

#[test]
fn the_state_of_a_process_is_visible() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let entity = process(&mut app, vm, SPIN);
    assert_eq!(common::state(&app, entity), ProcessState::New);
    assert_eq!(app.world().get::<Process>(entity).expect("alive").pid(), None);
    ticks(&mut app, 3);
    let process = app.world().get::<Process>(entity).expect("alive");
    let info = app.world().resource::<LuauRuntime>().process_info(process).expect("admitted");
    assert_eq!(info.state, ProcessState::Runnable);
    assert!(info.cpu.slices >= 1 && info.cpu.safepoints >= 1000 * info.cpu.slices);
    assert_eq!(app.world().get::<Processes>(vm).expect("has one").iter().collect::<Vec<_>>(), [entity]);
}

#[test]
fn a_failing_process_fails_alone_with_message_and_traceback() {
    let mut app = common::app();
    let vm = vm(&mut app);
    process(&mut app, vm, "local function inner() error('broken') end\ninner()");
    let healthy = process(&mut app, vm, SPIN);
    let Outcome::Failed(error) = until_ended(&mut app, 1)[0].outcome.clone() else { panic!() };
    assert_eq!(&*error.message, "test:1: broken");
    assert_eq!(&*error.traceback, "[C] function error\ntest:1 function inner\ntest:2\n");
    ticks(&mut app, 3);
    assert!(exists(&app, healthy) && exists(&app, vm));
}

#[test]
fn a_script_that_does_not_compile_fails_its_process() {
    let mut app = common::app();
    let Outcome::Failed(error) = common::outcome(&mut app, "local x = 1\nlocal = 2") else { panic!() };
    assert!(error.message.starts_with("test:2: "), "{error}");
    let Outcome::Failed(error) = common::outcome(&mut app, "\x03\x01\x02") else { panic!() };
    assert!(error.message.contains("bytecode"), "{error}");
    let Outcome::Finished(_) = common::outcome(&mut app, "return 1") else { panic!() };
}

#[test]
fn any_error_value_becomes_a_bounded_message() {
    let mut app = common::app();
    let mut message = |source: &str| match common::outcome(&mut app, source) {
        Outcome::Failed(error) => error.message.into_string(),
        other => panic!("{source}: {other:?}"),
    };
    assert_eq!(message("error()"), "nil");
    assert_eq!(message("error(12.5, 0)"), "12.5");
    assert_eq!(message("error(true)"), "true");
    assert_eq!(message("error({})"), "(error object is a table value)");
    assert_eq!(message("error(print)"), "(error object is a function value)");
    assert_eq!(message("error(coroutine.running())"), "(error object is a thread value)");
    assert_eq!(
        message("error(setmetatable({}, {__tostring = function() while true do end end}))"),
        "(error object is a table value)"
    );
    let long = message("error(string.rep('x', 1000000), 0)");
    assert!(long.len() < 5000 && long.ends_with("... (1000000 bytes)"), "{} bytes", long.len());
}

#[test]
fn a_persistent_vm_stays_and_takes_new_processes() {
    let mut app = common::app();
    let vm = app.world_mut().spawn(Vm::persistent()).id();
    let first = process(&mut app, vm, "return");
    until_ended(&mut app, 1);
    assert!(exists(&app, vm) && !exists(&app, first));
    process(&mut app, vm, "return");
    let exit = &until_ended(&mut app, 2)[1];
    assert_eq!((exit.vm, exit.pid.get()), (vm, 2));
    assert!(exists(&app, vm));
    assert!(ended(&app).vms.is_empty());
}

#[test]
fn an_observer_can_restart_a_process_before_its_vm_is_done() {
    let mut app = common::app();
    app.add_observer(|exit: On<ProcessExited>, mut commands: Commands| {
        if exit.pid.get() < 3 {
            let script = Script::new("again", "return");
            commands.spawn((Process::new(script), ProcessOf(exit.vm)));
        }
    });
    let vm = vm(&mut app);
    process(&mut app, vm, "return");
    let pids: Vec<_> = until_ended(&mut app, 3).iter().map(|exit| exit.pid.get()).collect();
    assert_eq!(pids, [1, 2, 3]);
    assert!(!exists(&app, vm));
    assert_eq!(ended(&app).vms[0].processes, 3);
}

#[test]
fn despawning_a_process_stops_it_and_nothing_else() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let (stopped, other) = (process(&mut app, vm, SPIN), process(&mut app, vm, SPIN));
    ticks(&mut app, 3);
    app.world_mut().entity_mut(stopped).despawn();
    let resumes = |app: &mut App| {
        app.update();
        metrics(app).last_tick_resumes
    };
    assert_eq!(resumes(&mut app), 1);
    assert!(exists(&app, other) && exists(&app, vm));
    assert_eq!(metrics(&app).processes_killed, 1);
    assert!(ended(&app).processes.is_empty(), "the game knows what it despawned");
}

#[test]
fn despawning_a_vm_stops_and_despawns_its_processes() {
    let mut app = common::app();
    let (doomed, other) = (vm(&mut app), vm(&mut app));
    let entities = [process(&mut app, doomed, SPIN), process(&mut app, doomed, SPIN)];
    process(&mut app, other, SPIN);
    ticks(&mut app, 3);
    app.world_mut().entity_mut(doomed).despawn();
    assert!(entities.iter().all(|&entity| !exists(&app, entity)));
    app.update();
    assert_eq!(metrics(&app).last_tick_resumes, 1);
    assert_eq!((metrics(&app).vms(), metrics(&app).processes()), (1, 1));
    assert_eq!(metrics(&app).processes_killed, 2);
}

#[test]
fn taking_the_vm_component_away_stops_its_processes() {
    let mut app = common::app();
    let vm = vm(&mut app);
    process(&mut app, vm, SPIN);
    ticks(&mut app, 3);
    app.world_mut().entity_mut(vm).remove::<Vm>();
    app.update();
    assert_eq!((metrics(&app).last_tick_resumes, metrics(&app).processes()), (0, 0));
}

#[test]
fn processes_that_were_never_admitted_can_be_despawned() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let entity = process(&mut app, vm, SPIN);
    app.world_mut().entity_mut(entity).despawn();
    ticks(&mut app, 3);
    assert_eq!((metrics(&app).processes(), metrics(&app).resumes), (0, 0));
    assert_eq!(metrics(&app).processes_killed, 1);
}

#[test]
fn memory_of_ended_processes_comes_back() {
    let mut app = common::app();
    let vm = app.world_mut().spawn(Vm::persistent()).id();
    let hoard = "t = {} for i = 1, 2000 do t[i] = { i } end";
    for _ in 0..3 {
        process(&mut app, vm, hoard);
    }
    ticks(&mut app, 40);
    let bytes = |app: &App| app.world().resource::<LuauRuntime>().isolate_bytes();
    let after_three = bytes(&app);
    for round in 1..=30 {
        for _ in 0..3 {
            process(&mut app, vm, hoard);
        }
        until_ended(&mut app, 3 + 3 * round);
    }
    assert!(bytes(&app) < 3 * after_three, "{after_three} bytes became {}", bytes(&app));
}

#[test]
fn a_process_waits_for_its_vm() {
    let mut app = common::app();
    let entity = app.world_mut().spawn(Process::new(Script::new("early", "return"))).id();
    ticks(&mut app, 3);
    assert_eq!(common::state(&app, entity), ProcessState::New);
    let vm = vm(&mut app);
    app.world_mut().entity_mut(entity).insert(ProcessOf(vm));
    assert_eq!(until_ended(&mut app, 1)[0].entity, entity);
}

#[test]
fn lifetimes_are_virtual_time() {
    let mut app = common::app();
    let vm = vm(&mut app);
    ticks(&mut app, 1);
    process(&mut app, vm, "for _ = 1, 9 do coroutine.yield() end");
    let lifetime = until_ended(&mut app, 1)[0].lifetime;
    assert!((lifetime.as_secs_f64() - 10.0 / 60.0).abs() < 0.02, "{lifetime:?}");
}

#[test]
fn prints_reach_the_console_of_the_vm_in_order() {
    let mut app = common::app();
    let vm = app.world_mut().spawn(Vm::persistent()).id();
    process(
        &mut app,
        vm,
        "print('a', 1, nil, true) print() print(setmetatable({}, {__tostring = function() print('inner') return 'outer' end}))",
    );
    until_ended(&mut app, 1);
    let mut console = app.world_mut().get_mut::<VmConsole>(vm).expect("printed");
    assert_eq!(console.take_text(), "a\t1\tnil\ttrue\n\ninner\nouter\n");
    assert_eq!(console.text(), "");
    process(&mut app, vm, "for i = 1, 100000 do print(i) end");
    until_ended(&mut app, 2);
    let console = app.world().get::<VmConsole>(vm).expect("printed");
    assert!(console.text().ends_with("\n99999\n100000\n"));
    assert_eq!(console.text().len() + console.dropped_bytes() as usize, 588_895);
}

/// Endless code where threads cannot be broken.
const ENDLESS: [&str; 9] = [
    "local _ = setmetatable({}, {__index = function() while true do end end}).x",
    "string.gsub('x', '.', function() while true do end end)",
    "local m = {__index = function() while true do pcall(function() while true do end end) end end}
     local _ = setmetatable({}, m).x",
    "table.foreach({1}, function() coroutine.wrap(function() while true do end end)() end)",
    "while true do pcall(function() local _ = setmetatable({}, {__len = function() while true do end end}) local _ = #_ end) end",
    "xpcall(error, function() while true do end end)",
    "string.match(('a'):rep(40), ('a?'):rep(40) .. ('a'):rep(40))",
    "task.spawn(function() local _ = setmetatable({}, {__index = function() while true do end end}).x end)",
    "local function f() return (('x'):gsub('.', function() return pcall(f) and '' end)) end
     while true do pcall(f) pcall(function() local _ = setmetatable({}, {__index = function() while true do pcall(f) end end}).x end) end",
];

#[test]
fn endless_code_is_preempted_anywhere_and_ends_as_any_process_does() {
    let mut app = common::app();
    for source in ENDLESS {
        let vms = [0, 1, 2, 3].map(|_| vm(&mut app));
        let processes = vms.map(|vm| process(&mut app, vm, source));
        ticks(&mut app, 20);
        assert!(
            processes.iter().all(|&process| exists(&app, process)),
            "{source}: {:?}",
            ended(&app).processes
        );
        let before = ended(&app).processes.len();
        app.world_mut().commands().entity(processes[0]).kill();
        app.world_mut().flush();
        app.world_mut().entity_mut(processes[1]).despawn();
        app.world_mut().entity_mut(vms[2]).despawn();
        let reloaded = Process::new(Script::new("next", "return 'new'"));
        app.world_mut().entity_mut(processes[3]).insert(reloaded);
        ticks(&mut app, 5);
        assert!(processes.iter().all(|&process| !exists(&app, process)), "{source}");
        let outcomes: Vec<_> = ended(&app).processes[before..].iter().map(|exit| &exit.outcome).collect();
        assert!(outcomes.contains(&&Outcome::Killed(KillReason::Requested)), "{outcomes:?}");
        assert!(outcomes.contains(&&Outcome::Finished(vec!["new".into()])), "{outcomes:?}");
    }
    let Outcome::Finished(values) = common::outcome(&mut app, "return 'still fine'") else { panic!() };
    assert_eq!(values[0].as_str(), Some("still fine"));
    // What is parked goes with the app, too.
    let vm = vm(&mut app);
    process(&mut app, vm, ENDLESS[0]);
    ticks(&mut app, 3);
}

#[test]
fn more_processes_than_may_be_parked_are_killed() {
    let mut app = common::app();
    let limits = VmLimits::from(Limits { parked: 2, ..default() });
    let vm = app.world_mut().spawn((Vm::new(), limits)).id();
    let processes: [Entity; 4] = std::array::from_fn(|_| process(&mut app, vm, ENDLESS[0]));
    ticks(&mut app, 10);
    assert_eq!(processes.map(|process| exists(&app, process)), [true, true, false, false]);
    for exit in &ended(&app).processes {
        assert_eq!(exit.outcome, Outcome::Killed(KillReason::Parked { limit: 2, used: 3 }));
    }
    app.world_mut().entity_mut(processes[0]).despawn();
    let next = process(&mut app, vm, ENDLESS[1]);
    ticks(&mut app, 10);
    assert!(exists(&app, next) && exists(&app, processes[1]), "there is room again");
}

#[test]
fn an_app_runs_until_its_processes_have_ended() {
    let mut app = App::new();
    app.add_plugins((MinimalPlugins, common::plugin()));
    let vms: Vec<Entity> = app.world_mut().spawn_batch((0..100).map(|_| Vm::new())).collect();
    let script = Script::new("batch", "for i = 1, 5000 do end");
    let bundles = vms.into_iter().map(move |vm| (Process::new(script.clone()), ProcessOf(vm)));
    app.world_mut().spawn_batch(bundles);
    let report = app.run_processes(1_000);
    assert_eq!((report.finished, report.failed, report.killed, report.unfinished), (100, 0, 0, 0));
    assert!((5..10).contains(&report.ticks), "{report:?}");
    let endless = vm(&mut app);
    process(&mut app, endless, SPIN);
    let report = app.run_processes(7);
    assert_eq!((report.finished, report.unfinished), (0, 1));
    assert!(report.elapsed < Duration::from_secs(60));
}

#[test]
fn a_vm_goes_when_its_last_process_is_despawned() {
    let mut app = common::app();
    let (vm, kept) = (vm(&mut app), app.world_mut().spawn(Vm::persistent()).id());
    let processes = [process(&mut app, vm, SPIN), process(&mut app, kept, SPIN)];
    ticks(&mut app, 3);
    for process in processes {
        app.world_mut().entity_mut(process).despawn();
    }
    ticks(&mut app, 2);
    assert!(!exists(&app, vm) && exists(&app, kept));
    assert_eq!(ended(&app).vms.len(), 1);
}

#[test]
fn a_vm_component_that_is_replaced_starts_over() {
    let mut app = common::app();
    let vm = vm(&mut app);
    process(&mut app, vm, SPIN);
    ticks(&mut app, 3);
    app.world_mut().entity_mut(vm).insert(Vm::new());
    process(&mut app, vm, "return");
    assert_eq!(until_ended(&mut app, 1)[0].pid.get(), 1);
    assert!(!exists(&app, vm), "the process of the old VM does not keep it");
    assert_eq!((metrics(&app).vms(), metrics(&app).processes()), (0, 0));
}

#[test]
fn a_process_component_that_is_replaced_starts_the_new_process() {
    let mut app = common::app();
    // Between the end of a process and the report of it.
    app.add_systems(
        FixedUpdate,
        (|mut commands: Commands, processes: Query<(Entity, &Process)>| {
            for (entity, process) in &processes {
                if process.name() == "first" && process.pid().is_some() {
                    commands.entity(entity).insert(Process::new(Script::new("second", SPIN)));
                }
            }
        })
        .after(LuauOsSystems::Run)
        .before(LuauOsSystems::Settle),
    );
    let vm = vm(&mut app);
    let first = Process::new(Script::new("first", "return"));
    let entity = app.world_mut().spawn((first, ProcessOf(vm))).id();
    ticks(&mut app, 6);
    let process = app.world().get::<Process>(entity).expect("runs");
    assert_eq!((process.name(), common::state(&app, entity)), ("second", ProcessState::Runnable));
    assert_eq!(metrics(&app).last_tick_resumes, 1);
    app.world_mut().entity_mut(vm).despawn();
    app.update();
    assert_eq!((metrics(&app).last_tick_resumes, metrics(&app).processes()), (0, 0));
}

#[test]
fn results_are_copied_once_and_within_limits() {
    let mut app = common::app();
    let Outcome::Finished(values) = common::outcome(&mut app, "local t = {} return t, t, ('x'):rep(100000)")
    else {
        panic!()
    };
    let expected = [Value::Table(vec![]), Value::Opaque("table"), Value::Opaque("string")];
    assert_eq!(values, expected);
    let deep = "local t = {} for _ = 1, 100 do t = { t } end return t";
    let Outcome::Finished(values) = common::outcome(&mut app, deep) else { panic!() };
    assert!(format!("{values:?}").contains("Opaque(\"table\")"), "{values:?}");
}

#[test]
fn scripts_that_are_never_used_again_do_not_pile_up() {
    let mut app = common::app();
    let vm = app.world_mut().spawn(Vm::persistent()).id();
    let mut bytes = Vec::new();
    for round in 0..40 {
        for i in 0..50 {
            let source = format!("return {round}, {i} -- {}", "local x = 1 ".repeat(200));
            process(&mut app, vm, &source);
        }
        ticks(&mut app, 2);
        bytes.push(app.world().resource::<LuauRuntime>().isolate_bytes());
    }
    assert!(bytes[39] < 3 * bytes[5], "{bytes:?}");
}
