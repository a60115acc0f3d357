//! What crosses the border of a VM: messages to other VMs, signals, and what the game does to processes.

mod common;

use std::num::NonZeroUsize;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{KillReason, Value};
use common::{ended, process, ticks, until_ended};
use serde::Serialize;

/// A VM that stays.
fn vm(app: &mut App) -> Entity {
    app.world_mut().spawn(Vm::persistent()).id()
}

fn console(app: &App, vm: Entity) -> String {
    app.world().get::<VmConsole>(vm).map(VmConsole::text).unwrap_or_default().to_owned()
}

fn state(app: &App, process: Entity) -> ProcessState {
    let process = app.world().get::<Process>(process).expect("alive");
    app.world().resource::<LuauRuntime>().process_info(process).expect("admitted").state
}

#[test]
fn messages_reach_other_vms_whichever_heap_they_are_on() {
    for vms_per_isolate in [1, 255] {
        let mut app = common::app_with(LuauOsPlugin {
            vms_per_isolate,
            workers: NonZeroUsize::new(2),
            ..common::plugin()
        });
        let (server, client) = (vm(&mut app), vm(&mut app));
        process(
            &mut app,
            server,
            "print(process.address) while true do local n, from = mailbox.receive() process.send(from, n * 2) end",
        );
        ticks(&mut app, 3);
        let address = console(&app, server).trim().to_owned();
        let script = "local to = ... for i = 1, 3 do assert(process.send(to, i)) print(mailbox.receive() == i * 2) end";
        let script = Process::new(Script::new("client", script)).with_args([&*address]);
        app.world_mut().spawn((script, ProcessOf(client)));
        ticks(&mut app, 30);
        assert_eq!(console(&app, client), "true\ntrue\ntrue\n");
        app.world_mut().despawn(server);
        process(&mut app, client, &format!("print(process.send('{address}', 1))"));
        ticks(&mut app, 5);
        assert!(console(&app, client).ends_with("false\tno such process\n"));
    }
}

#[test]
fn two_runs_of_processes_that_talk_across_heaps_are_the_same() {
    let run = || {
        let mut app = common::app_with(LuauOsPlugin {
            vms_per_isolate: 3,
            quantum: 20,
            workers: NonZeroUsize::new(2),
            ..common::plugin()
        });
        let vms: Vec<Entity> = (0..12).map(|_| vm(&mut app)).collect();
        for &vm in &vms {
            process(
                &mut app,
                vm,
                "local to = signal.wait('go')
                 task.spawn(function() for i = 1, 30 do process.send(to[math.random(#to)], math.random()) end end)
                 while true do print(mailbox.receive()) end",
            );
        }
        ticks(&mut app, 3);
        let addresses: Vec<String> = vms.iter().map(|vm| format!("{:x}:1", vm.to_bits())).collect();
        app.world_mut().commands().broadcast_signal("go", addresses);
        app.world_mut().flush();
        ticks(&mut app, 100);
        vms.iter().map(|&vm| console(&app, vm)).collect::<Vec<_>>()
    };
    let first = run();
    assert!(first.iter().any(|console| console.lines().count() > 5), "{first:?}");
    assert_eq!(first, run());
}

#[derive(Serialize)]
struct Hit {
    by: &'static str,
    damage: u32,
}

#[test]
fn signals_reach_those_that_wait_and_those_that_are_connected() {
    let mut app = common::app();
    let (hit, other) = (vm(&mut app), vm(&mut app));
    let waits = "local hit, came = signal.wait('hit') print('waited', hit.by, hit.damage, came)";
    let connects = "
        local disconnect
        disconnect = signal.connect('hit', function(hit)
            print('handler', hit.damage)
            task.wait(0.1)
            if hit.damage == 2 then disconnect() disconnect() print('no more') end
        end)
        signal.connect('stop', function() process.exit() end)
        print('main ends')";
    for vm in [hit, other] {
        process(&mut app, vm, waits);
    }
    let connected = process(&mut app, hit, connects);
    process(&mut app, hit, "print('timeout', signal.wait('never', 0.1))");
    ticks(&mut app, 3);
    let send = |app: &mut App, damage| {
        app.world_mut().commands().entity(hit).send_signal("hit", Hit { by: "wolf", damage });
        app.world_mut().flush();
    };
    send(&mut app, 1);
    send(&mut app, 2);
    ticks(&mut app, 20);
    send(&mut app, 3);
    ticks(&mut app, 3);
    assert_eq!(
        console(&app, hit),
        "main ends\nwaited\twolf\t1\ttrue\nhandler\t1\nhandler\t2\ntimeout\tnil\nno more\n"
    );
    assert_eq!(console(&app, other), "");
    assert_eq!(state(&app, connected), ProcessState::Waiting, "a connection keeps it alive");
    app.world_mut().commands().broadcast_signal("stop", ());
    app.world_mut().commands().broadcast_signal("hit", Hit { by: "bear", damage: 9 });
    app.world_mut().flush();
    ticks(&mut app, 3);
    assert!(!common::exists(&app, connected));
    assert_eq!(console(&app, other), "waited\tbear\t9\ttrue\n");
}

#[test]
fn a_process_is_ended_on_request_with_a_report() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let sources =
        ["while true do end", "task.wait(100)", "task.spawn(task.wait, 100) while true do task.wait() end"];
    let entities = sources.map(|source| process(&mut app, vm, source));
    ticks(&mut app, 3);
    for entity in entities {
        app.world_mut().commands().entity(entity).kill();
    }
    app.world_mut().flush();
    app.update();
    assert_eq!(ended(&app).processes.len(), 3);
    for exit in &ended(&app).processes {
        assert_eq!(exit.outcome, Outcome::Killed(KillReason::Requested));
        assert!(!common::exists(&app, exit.entity));
    }
    let new = process(&mut app, vm, "print('never')");
    app.world_mut().commands().entity(new).kill();
    app.world_mut().flush();
    ticks(&mut app, 3);
    assert!(!common::exists(&app, new));
}

#[test]
fn a_suspended_process_runs_on_where_it_was() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let counts = process(&mut app, vm, "for i = 1, 1e9 do print(i) task.wait() end");
    let spins = process(&mut app, vm, "while true do end");
    ticks(&mut app, 5);
    let slices = |app: &App, process| {
        let process = app.world().get::<Process>(process).expect("alive");
        app.world().resource::<LuauRuntime>().process_info(process).expect("admitted").cpu.slices
    };
    for process in [counts, spins] {
        app.world_mut().commands().entity(process).suspend();
    }
    app.world_mut().flush();
    ticks(&mut app, 1);
    let before = (console(&app, vm), slices(&app, spins));
    ticks(&mut app, 10);
    assert_eq!((console(&app, vm), slices(&app, spins)), before);
    assert_eq!([counts, spins].map(|process| state(&app, process)), [ProcessState::Suspended; 2]);
    assert_eq!(app.world().resource::<LuauRuntime>().runnable(), 0);
    for process in [counts, spins] {
        // Once more changes nothing.
        app.world_mut().commands().entity(process).resume().suspend().resume().resume();
    }
    app.world_mut().flush();
    ticks(&mut app, 5);
    assert_eq!(slices(&app, spins), before.1 + 5);
    let lines: Vec<usize> = console(&app, vm).lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(lines, (1..=lines.len()).collect::<Vec<_>>());
    assert!(lines.len() > before.0.lines().count());
}

#[test]
fn priority_is_a_factor_on_the_quantum() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let spin = || Process::new(Script::new("spin", "while true do end"));
    let normal = app.world_mut().spawn((spin(), ProcessOf(vm))).id();
    let high = app.world_mut().spawn((spin(), ProcessOf(vm), Priority(2.5))).id();
    let low = app.world_mut().spawn((spin(), ProcessOf(vm), Priority(0.25))).id();
    let safepoints = |app: &App, process| {
        let process = app.world().get::<Process>(process).expect("alive");
        app.world().resource::<LuauRuntime>().process_info(process).expect("admitted").cpu.safepoints
    };
    ticks(&mut app, 3);
    let before = [normal, high, low].map(|process| safepoints(&app, process));
    ticks(&mut app, 4);
    let after = [normal, high, low].map(|process| safepoints(&app, process));
    let used: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(used, [4000, 10_000, 1000]);
    app.world_mut().entity_mut(high).insert(Priority(1.0));
    app.world_mut().entity_mut(low).remove::<Priority>();
    let before = [normal, high, low].map(|process| safepoints(&app, process));
    ticks(&mut app, 1);
    let after = [normal, high, low].map(|process| safepoints(&app, process));
    assert!(after.iter().zip(before).all(|(after, before)| after - before == 1000));
}

#[test]
fn arguments_and_names_reach_the_script() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let script =
        Script::new("script", "local a, b = ... return a, b, process.args[1], process.name, process.pid");
    let named = Process::new(script.clone()).with_name("named").with_args([1.0]).with_args(["two"]);
    app.world_mut().spawn((named, ProcessOf(vm)));
    app.world_mut().spawn((Process::new(script), ProcessOf(vm)));
    let exits = until_ended(&mut app, 2);
    let results = |i: usize| match &exits[i].outcome {
        Outcome::Finished(values) => values.clone(),
        other => panic!("{other:?}"),
    };
    let text = |text: &str| -> Value { text.into() };
    let one = || Value::Number(1.0);
    assert_eq!(results(0), [one(), text("two"), one(), text("named"), one()]);
    assert_eq!(results(1), [Value::Nil, Value::Nil, Value::Nil, text("script"), Value::Number(2.0)]);
    assert_eq!((&*exits[0].name, &*exits[1].name), ("named", "script"));
}

#[test]
fn an_error_in_a_task_ends_the_process_with_its_traceback() {
    let mut app = common::app();
    for source in [
        "task.spawn(function() task.wait(0.05) error('late') end)\nwhile true do task.wait(1) end",
        "task.spawn(function() error('late') end)\nwhile true do end",
        "pcall(function() task.spawn(function() error('late') end) end)\ntask.wait(5)",
        "task.defer(function() error('late') end)\ntask.wait(5)",
        "setmetatable({}, {__len = function() task.spawn(function() error('late') end) while true do pcall(print) end end})",
    ] {
        let source = source.replace("setmetatable({}, {__len", "local _ = #setmetatable({}, {__len");
        let Outcome::Failed(error) = common::outcome(&mut app, &source) else { panic!("{source}") };
        assert_eq!(&*error.message, "test:1: late", "{source}");
        assert!(error.traceback.contains("function error\ntest:1"), "{}", error.traceback);
    }
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
            "false\tsignal.connect: this process has 5 connections, of 5"
        ]
    );
}

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
    let vm = vm(&mut app);
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
    let vm = vm(&mut app);
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
fn a_function_does_not_leave_its_heap() {
    let mut app = common::app_with(LuauOsPlugin {
        vms_per_isolate: 1,
        workers: NonZeroUsize::new(1),
        ..common::plugin()
    });
    let vm = vm(&mut app);
    process(&mut app, vm, "process.spawn(function() print('never') end) while true do end");
    // Until the process is there that runs the function and has not started.
    while app.world_mut().query::<&Process>().iter(app.world()).count() < 2 {
        app.update();
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
fn a_process_keeps_its_name_while_its_tasks_run() {
    let mut app = common::app();
    let vm = vm(&mut app);
    process(&mut app, vm, "task.delay(0.1, function() print(process.name) end)");
    until_ended(&mut app, 1);
    assert_eq!(console(&app, vm), "test\n");
}

#[test]
fn ends_of_children_are_known_to_their_own_vm_only() {
    let mut app = common::app();
    let first = vm(&mut app);
    process(&mut app, first, "process.join(process.spawn('return 1')) print(process.join(2))");
    until_ended(&mut app, 2);
    assert_eq!(console(&app, first), "finished\t1\n");
    app.world_mut().despawn(first);
    // In the same place of the same isolate.
    let second = vm(&mut app);
    process(&mut app, second, "print(process.join(2)) print(process.send(1, 'me'), mailbox.poll())");
    until_ended(&mut app, 3);
    assert_eq!(console(&app, second), "nil\tno such process\ntrue\tme\t1\n");
}
