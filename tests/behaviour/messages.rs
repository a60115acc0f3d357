//! What reaches processes from outside: messages of other processes, and signals of the game.

use std::num::NonZeroUsize;

use bevy::prelude::*;
use bevy_luau_os::VmId;
use bevy_luau_os::prelude::*;
use serde::Serialize;

use crate::common::{self, console, info, process, ticks};

/// Spawns a VM that stays and takes messages of all.
fn persistent_vm(app: &mut App) -> Entity {
    app.world_mut().spawn((Vm::persistent(), MailPolicy::All)).id()
}

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

fn address(app: &App, vm: Entity) -> String {
    format!("{}:1", app.world().get::<Vm>(vm).and_then(Vm::id).expect("it has had a process"))
}

#[test]
fn strangers_cannot_fill_a_mailbox_so_that_an_own_child_finds_no_room() {
    let mut app = common::app();
    let victim = persistent_vm(&mut app);
    let source = "process.spawn(\"task.wait(8) print(process.send(1, 'mine'))\") task.wait(1e6)";
    process(&mut app, victim, source);
    ticks(&mut app, 3);
    let stranger = persistent_vm(&mut app);
    let flood = "local to = ... for i = 1, 1000 do
            local sent, why = process.send(to, i)
            if not sent then print(i, why) break end
        end";
    let flood = Process::new(Script::new("flood", flood)).with_args([&*address(&app, victim)]);
    app.world_mut().spawn((flood, ProcessOf(stranger)));
    ticks(&mut app, 600);
    assert_eq!(console(&app, stranger), "193\tmailbox is full\n");
    assert_eq!(console(&app, victim), "true\n");
}

#[test]
fn addresses_are_not_found_by_counting_and_the_game_may_choose_them() {
    let run = |seed| {
        let mut app = common::app_with(LuauOsPlugin { seed, ..common::plugin() });
        let vms: Vec<Entity> = (0..20).map(|_| persistent_vm(&mut app)).collect();
        vms.iter().for_each(|&vm| _ = process(&mut app, vm, "print(process.address) task.wait(1e6)"));
        ticks(&mut app, 3);
        for &vm in &vms {
            assert_eq!(console(&app, vm).trim(), address(&app, vm));
            assert!(!address(&app, vm).contains(&format!("{:x}", vm.to_bits())), "not its entity");
        }
        let ids: Vec<u64> =
            vms.iter().map(|&vm| app.world().get::<Vm>(vm).and_then(Vm::id).expect("it has one").0).collect();
        for (i, id) in ids.iter().enumerate() {
            assert!(ids[..i].iter().all(|other| id.abs_diff(*other) > 1 << 32), "{ids:?}");
        }
        ids
    };
    assert_eq!(run(5), run(5));
    assert!(run(6).iter().all(|id| !run(5).contains(id)));

    let mut app = common::app();
    let bank = app.world_mut().spawn((Vm::persistent().with_id(VmId(0xc07)), MailPolicy::All)).id();
    process(&mut app, bank, "print(mailbox.receive())");
    let customer = persistent_vm(&mut app);
    process(&mut app, customer, "task.wait(0.1) print(process.send('0000000000000c07:1', 'hello'))");
    ticks(&mut app, 20);
    assert!(console(&app, bank).starts_with("hello\t") && console(&app, customer) == "true\n");
    assert_eq!(app.world().resource::<LuauRuntime>().vm(VmId(0xc07)), Some(bank));
    app.world_mut().despawn(bank);
    assert_eq!(app.world().resource::<LuauRuntime>().vm(VmId(0xc07)), None);
}

#[test]
fn names_do_not_grow_from_generation_to_generation() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let source =
        "local s, n = ... if n == 100 then print(process.name) else process.spawn(s, s, (n or 1) + 1) end";
    let first = Process::new(Script::new("first", source)).with_args([source]);
    app.world_mut().spawn((first, ProcessOf(vm)));
    ticks(&mut app, 600);
    assert_eq!(console(&app, vm), "first:spawned\n");
}

#[test]
fn mailboxes_are_closed_to_strangers_until_the_game_opens_them() {
    let mut app = common::app();
    let [own, stranger, friend] = [(); 3].map(|()| common::persistent_vm(&mut app));
    process(&mut app, own, "print(process.address) while true do print((mailbox.receive())) end");
    ticks(&mut app, 3);
    let address = console(&app, own).trim().to_owned();
    app.world_mut().entity_mut(own).remove::<VmConsole>();
    let mut send = |policy: Option<MailPolicy>| {
        if let Some(policy) = policy {
            app.world_mut().entity_mut(own).insert(policy);
        }
        for (name, vm) in [("own", own), ("stranger", stranger), ("friend", friend)] {
            process(&mut app, vm, &format!("process.send('{address}', '{name}')"));
            let refused = format!("print(select(2, process.send('{address}', '')) or 'taken')");
            if vm == stranger {
                process(&mut app, vm, &refused);
            }
        }
        ticks(&mut app, 5);
        [own, stranger].map(|vm| {
            let mut lines: Vec<_> = console(&app, vm).trim().lines().map(str::to_owned).collect();
            lines.retain(|line| !line.is_empty());
            lines.sort();
            app.world_mut().entity_mut(vm).remove::<VmConsole>();
            lines.join(" ")
        })
    };
    let closed = "it takes no messages of this VM";
    assert_eq!(send(None), ["own", closed]);
    assert_eq!(send(Some(MailPolicy::Listed(vec![friend]))), ["friend own", closed]);
    assert_eq!(send(Some(MailPolicy::All)), ["friend own stranger", "taken"]);
}
