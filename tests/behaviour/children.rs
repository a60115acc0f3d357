//! Processes that scripts start and watch: `process.spawn`, `join` and `monitor`.

use std::num::NonZeroUsize;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::common::{self, console, ended, persistent_vm, process, ticks, until_ended};

#[test]
fn scripts_cannot_start_more_processes_than_their_vm_may_have() {
    let mut app = common::app();
    let limits = VmLimits::from(Limits { processes: 4, ..default() });
    let vm = app.world_mut().spawn((Vm::new(), limits)).id();
    process(
        &mut app,
        vm,
        "local bomb bomb = function() while true do process.spawn('task.wait(1e6)') end end bomb()",
    );
    let Outcome::Failed(error) = until_ended(&mut app, 1)[0].outcome.clone() else { panic!() };
    assert_eq!(&*error.message, "test:1: process.spawn: its VM has 4 processes, of 4");
}

#[test]
fn the_end_of_a_monitored_process_finds_room_in_a_mailbox_that_is_full() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    process(
        &mut app,
        vm,
        "local short = process.spawn('task.wait(3) return 1')
         local long = process.spawn('task.wait(3.1) return string.rep(\"x\", 60000)')
         for i = 1, 3 do assert(process.monitor(short)) end
         assert(process.monitor(long))
         local count = 0
         while process.send(process.pid, string.rep('y', 1000)) do count += 1 end
         task.wait(5)
         for i = 1, count do mailbox.poll() end
         for i = 1, 2 do
             local ended, sender = mailbox.poll()
             print(ended.pid == sender, sender == short, ended.outcome, ended.details ~= nil)
         end
         print(mailbox.poll())
         count = 0
         while process.send(process.pid, 0) do count += 1 end
         print(count, process.monitor(process.spawn('')))
         process.exit()",
    );
    ticks(&mut app, 1000);
    let expected =
        "true\ttrue\tfinished\tfalse\ntrue\tfalse\tfinished\tfalse\nnil\n256\tfalse\tmailbox is full\n";
    assert_eq!(console(&app, vm), expected);
}

#[test]
fn a_process_that_never_starts_is_an_error_for_the_script_that_wants_it() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    app.add_observer(|added: On<Add, Process>, processes: Query<&Process>, mut commands: Commands| {
        if processes.get(added.entity).is_ok_and(|process| process.name().ends_with(":spawned")) {
            commands.entity(added.entity).despawn();
        }
    });
    process(&mut app, vm, "print(pcall(process.spawn, 'return 1'))");
    until_ended(&mut app, 1);
    assert_eq!(console(&app, vm), "false\tprocess.spawn: the game ended it before it started\n");
}

#[test]
fn a_function_does_not_leave_its_isolate() {
    let mut app = common::app_with(LuauOsPlugin {
        vms_per_isolate: 1,
        workers: NonZeroUsize::new(1),
        ..common::plugin()
    });
    let vm = persistent_vm(&mut app);
    process(&mut app, vm, "process.spawn(function() print('never') end) while true do end");
    // Until the process is there that runs the function and has not started.
    for _ in 0..100 {
        app.update();
        if app.world_mut().query::<&Process>().iter(app.world()).count() == 2 {
            break;
        }
    }
    // The same entity becomes another computer, on another isolate.
    app.world_mut().entity_mut(vm).remove::<Vm>();
    let other = app.world_mut().spawn(Vm::persistent()).id();
    process(&mut app, other, "while true do end");
    ticks(&mut app, 3);
    app.world_mut().entity_mut(vm).insert(Vm::persistent());
    ticks(&mut app, 5);
    let failed = ended(&app).processes.iter().find_map(|exit| match &exit.outcome {
        Outcome::Failed(error) => Some(error.to_string()),
        _ => None,
    });
    assert_eq!(failed.as_deref(), Some("the VM that its function comes from has gone"));
    assert_eq!(console(&app, vm), "");
}

#[test]
fn ends_of_children_are_known_to_their_own_vm_only() {
    let mut app = common::app();
    let first = persistent_vm(&mut app);
    process(&mut app, first, "process.join(process.spawn('return 1')) print(process.join(2))");
    until_ended(&mut app, 2);
    assert_eq!(console(&app, first), "finished\t1\n");
    app.world_mut().despawn(first);
    // In the same place of the same isolate.
    let second = persistent_vm(&mut app);
    process(&mut app, second, "print(process.join(2)) print(process.send(1, 'me'), mailbox.poll())");
    until_ended(&mut app, 3);
    assert_eq!(console(&app, second), "nil\tno such process\ntrue\tme\t1\n");
}
