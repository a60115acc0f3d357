//! What reaches processes from outside: messages of other processes, and signals of the game.

use std::num::NonZeroUsize;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use serde::Serialize;

use crate::common::{self, console, info, persistent_vm, process, ticks};

#[test]
fn messages_reach_other_vms_whichever_isolate_they_are_on() {
    for vms_per_isolate in [1, 255] {
        let mut app = common::app_with(LuauOsPlugin {
            vms_per_isolate,
            workers: NonZeroUsize::new(2),
            ..common::plugin()
        });
        let (server, client) = (persistent_vm(&mut app), persistent_vm(&mut app));
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
fn two_runs_of_processes_that_talk_across_isolates_are_the_same() {
    let run = || {
        let mut app = common::app_with(LuauOsPlugin {
            vms_per_isolate: 3,
            quantum: 20,
            workers: NonZeroUsize::new(2),
            ..common::plugin()
        });
        let vms: Vec<Entity> = (0..12).map(|_| persistent_vm(&mut app)).collect();
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
        let addresses: Vec<String> = vms
            .iter()
            .map(|&vm| format!("{}:1", app.world().get::<Vm>(vm).and_then(Vm::id).expect("it has a process")))
            .collect();
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
    let (hit, other) = (persistent_vm(&mut app), persistent_vm(&mut app));
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
    assert_eq!(info(&app, connected).state, ProcessState::Waiting, "a connection keeps it alive");
    app.world_mut().commands().broadcast_signal("stop", ());
    app.world_mut().commands().broadcast_signal("hit", Hit { by: "bear", damage: 9 });
    app.world_mut().flush();
    ticks(&mut app, 3);
    assert!(!common::exists(&app, connected));
    assert_eq!(console(&app, other), "waited\tbear\t9\ttrue\n");
}
