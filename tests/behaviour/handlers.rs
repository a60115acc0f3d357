//! Functions that the game calls, and handlers of signals, run although their process is busy.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::common::{self, console, exists, exit, persistent_vm, process, ticks};

fn send(app: &mut App, vm: Entity, name: &str, payload: u32) {
    app.world_mut().commands().entity(vm).send_signal(name, payload);
    app.world_mut().flush();
}

/// Sends a signal, and runs three ticks: in the first the handler has its turn.
fn poke(app: &mut App, vm: Entity, payload: u32) {
    send(app, vm, "poke", payload);
    ticks(app, 3);
}

#[test]
fn a_handler_runs_although_its_process_is_busy() {
    for busy in [
        "while true do n += 1 end",
        // The thread that is busy is not the main chunk's.
        "local f = coroutine.wrap(function() while true do n += 1 end end) f()",
        "task.spawn(function() while true do n += 1 end end)",
        // A C stack is kept.
        "local co = coroutine.wrap(function() pcall(function() while true do n += 1 end end) end) co()",
    ] {
        let mut app = common::app();
        let vm = persistent_vm(&mut app);
        let script = format!(
            "n = 0
             local last = 0
             signal.connect('poke', function(number) print(number, n > last) last = n end)
             {busy}"
        );
        process(&mut app, vm, &script);
        ticks(&mut app, 3);
        (1..=3).for_each(|number| poke(&mut app, vm, number));
        assert_eq!(console(&app, vm), "1\ttrue\n2\ttrue\n3\ttrue\n", "{busy}");
    }
}

#[test]
fn a_handler_that_waits_goes_on_although_its_process_is_busy() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let script = "
        signal.connect('poke', function(number)
            for i = 1, 3 do task.wait(0.05) end
            print(number)
            if number == 2 then process.exit('poked') end
        end)
        while true do end";
    let busy = process(&mut app, vm, script);
    ticks(&mut app, 3);
    send(&mut app, vm, "poke", 1);
    send(&mut app, vm, "poke", 2);
    ticks(&mut app, 30);
    assert_eq!(console(&app, vm), "1\n2\n");
    let outcome = exit(&app, busy).map(|exit| exit.outcome.clone());
    assert_eq!(outcome, Some(Outcome::Finished(vec!["poked".into()])));
}

#[test]
fn busy_handlers_and_a_busy_process_share_its_slices() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let script = "
        local counts = { 0, 0, 0 }
        local function count(i) while true do counts[i] += 1 end end
        signal.connect('poke', count)
        signal.connect('tell', function() print(counts[1] > 20000, counts[2] > 20000, counts[3] > 20000) end)
        count(3)";
    process(&mut app, vm, script);
    ticks(&mut app, 3);
    send(&mut app, vm, "poke", 1);
    send(&mut app, vm, "poke", 2);
    ticks(&mut app, 100);
    send(&mut app, vm, "tell", 0);
    ticks(&mut app, 8);
    assert_eq!(console(&app, vm), "true\ttrue\ttrue\n");
}

#[test]
fn a_flood_of_signals_leaves_a_busy_process_half_of_its_slices() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let script = "
        signal.connect('poke', function() for i = 1, 5000 do end end)
        local n = 0
        repeat n += 1 until n == 50000
        process.exit()";
    let busy = process(&mut app, vm, script);
    ticks(&mut app, 2);
    let mut taken = 0;
    while exists(&app, busy) && taken < 1_000 {
        send(&mut app, vm, "poke", 0);
        ticks(&mut app, 1);
        taken += 1;
    }
    assert!((50..120).contains(&taken), "{taken}");
}

#[test]
fn tasks_of_a_script_do_not_interrupt_each_other() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let script = "
        local inside = false
        local function alone()
            assert(not inside, 'interrupted')
            inside = true
            for i = 1, 5000 do end
            inside = false
        end
        signal.connect('poke', function(number) task.defer(alone) task.spawn(print, number) end)
        task.spawn(function() while true do task.wait() alone() end end)
        for i = 1, 20 do alone() task.wait() end
        process.exit('done')";
    let busy = process(&mut app, vm, script);
    for number in 1..=5 {
        ticks(&mut app, 11);
        send(&mut app, vm, "poke", number);
    }
    ticks(&mut app, 600);
    assert_eq!(console(&app, vm), "1\n2\n3\n4\n5\n");
    let outcome = exit(&app, busy).map(|exit| exit.outcome.clone());
    assert_eq!(outcome, Some(Outcome::Finished(vec!["done".into()])));
}

#[test]
fn a_handler_cannot_touch_a_thread_that_is_broken() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let script = "
        local main = coroutine.running()
        local generator = coroutine.create(function() while true do for i = 1, 5000 do end coroutine.yield() end end)
        signal.connect('poke', function()
            for _, thread in { main, generator } do
                print(coroutine.status(thread), coroutine.resume(thread), (pcall(task.cancel, thread)))
            end
            print(task.join(main, 0.1))
        end)
        for i = 1, 10 do coroutine.resume(generator) end
        print('done')
        return 7";
    process(&mut app, vm, script);
    ticks(&mut app, 3);
    poke(&mut app, vm, 0);
    ticks(&mut app, 100);
    let line = "normal\tfalse\tfalse\n";
    let text = console(&app, vm);
    assert!(text.starts_with(line) && text.ends_with("done\n"), "{text}");
    assert_eq!(text.matches(line).count(), 2, "{text}");
}

#[test]
fn an_error_of_a_handler_is_its_own_and_one_of_the_main_chunk_ends_all() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let script = "
        signal.connect('poke', function(number)
            if number == 1 then error('mine') end
            while true do end
        end)
        for i = 1, 3e4 do end
        error('main')";
    let busy = process(&mut app, vm, script);
    ticks(&mut app, 3);
    poke(&mut app, vm, 1);
    assert!(exists(&app, busy) && common::metrics(&app).tasks_failed == 1);
    poke(&mut app, vm, 2);
    ticks(&mut app, 100);
    let outcome = exit(&app, busy).map(|exit| exit.outcome.clone());
    assert!(
        matches!(&outcome, Some(Outcome::Failed(error)) if &*error.message == "test:7: main"),
        "{outcome:?}"
    );
}

#[test]
fn a_busy_process_answers_calls() {
    let mut app = common::app();
    app.add_observer(|call: On<CallEnded>, mut commands: Commands| {
        assert!(call.to::<f64>().is_ok_and(|n| n > 0.0), "{call:?}");
        commands.entity(call.entity).kill();
    });
    let vm = persistent_vm(&mut app);
    let script = "
        local n = 0
        host.export('count', function() return n end)
        while true do n += 1 end";
    let busy = process(&mut app, vm, script);
    ticks(&mut app, 3);
    app.world_mut().commands().entity(busy).call("count", ());
    ticks(&mut app, 2);
    assert!(exit(&app, busy).is_some(), "it has answered");
}
