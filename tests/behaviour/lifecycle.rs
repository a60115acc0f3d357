//! VMs and processes as entities: from spawning to their end.

use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::Value;
use bevy_luau_os::prelude::*;

use crate::common::{
    self, SPIN, ended, exists, info, metrics, persistent_vm, process, state, ticks, until_ended, vm,
};

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
    assert_eq!(state(&app, entity), ProcessState::New);
    assert_eq!(app.world().get::<Process>(entity).expect("alive").pid(), None);
    ticks(&mut app, 3);
    let info = info(&app, entity);
    assert_eq!(info.state, ProcessState::Runnable);
    assert!(info.cpu.slices >= 1 && info.cpu.safepoints >= 1000 * info.cpu.slices);
    assert_eq!(app.world().get::<Processes>(vm).expect("has one").iter().collect::<Vec<_>>(), [entity]);
}

#[test]
fn a_persistent_vm_stays_and_takes_new_processes() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
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
fn a_process_waits_for_its_vm() {
    let mut app = common::app();
    let entity = app.world_mut().spawn(Process::new(Script::new("early", "return"))).id();
    ticks(&mut app, 3);
    assert_eq!(state(&app, entity), ProcessState::New);
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
    let vm = persistent_vm(&mut app);
    process(
        &mut app,
        vm,
        "print('a', 1, nil, true) print() print(setmetatable({}, {__tostring = function() print('inner') return \
         'outer' end}))",
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
