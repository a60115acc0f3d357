//! Nobody pays for what an isolate shares, or for what others hold.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::common::{self, process, results, until_ended};

/// An app whose VMs are all on one isolate.
fn app(quantum: u32) -> App {
    common::app_with(LuauOsPlugin { quantum, vms_per_isolate: 255, ..common::plugin() })
}

fn vm_with(app: &mut App, memory_bytes: usize) -> Entity {
    app.world_mut().spawn((Vm::new(), VmLimits::from(Limits { memory_bytes, ..default() }))).id()
}

/// Holds so many strings that nobody else has.
fn hoard(strings: u32) -> String {
    format!(
        "local t = {{}}
        for i = 1, {strings} do
            t[i] = process.address .. '/' .. i
            if i % 20 == 0 then task.wait() end
        end
        task.wait(1)
        return #t"
    )
}

fn assert_all_finished(app: &App) {
    let killed: Vec<_> =
        results(app).into_iter().filter(|outcome| !matches!(outcome, Outcome::Finished(_))).collect();
    assert!(killed.is_empty(), "{} of them: {:?}", killed.len(), killed[0]);
}

#[test]
fn many_vms_with_some_thousand_strings_each_fill_the_table_of_strings() {
    for quantum in [1_000, 7] {
        let mut app = app(quantum);
        for _ in 0..255 {
            let vm = common::vm(&mut app);
            process(&mut app, vm, &hoard(2_300));
        }
        until_ended(&mut app, 255);
        assert_all_finished(&app);
    }
}

#[test]
fn the_table_of_strings_grows_to_more_than_the_vms_may_have() {
    let mut app = app(1_000);
    for _ in 0..255 {
        let vm = vm_with(&mut app, 192 << 10);
        process(&mut app, vm, &hoard(1_100));
    }
    until_ended(&mut app, 255);
    assert_all_finished(&app);
}

#[test]
fn who_makes_the_string_with_which_the_table_grows_is_refused_nothing() {
    // In one slice, so that the table cannot be grown before it.
    let mut app = app(10_000_000);
    for _ in 0..120 {
        let vm = vm_with(&mut app, 192 << 10);
        let source = "local t = {} for i = 1, 1100 do t[i] = process.address .. '/' .. i end
            local kept = t[1] t = nil task.wait(0.2) return kept";
        process(&mut app, vm, source);
    }
    until_ended(&mut app, 120);
    assert_all_finished(&app);
}

#[test]
fn a_newcomer_does_not_pay_for_what_another_left_in_its_memory_category() {
    let mut app = app(100_000);
    // The strings of the first are still held by the second when it has gone.
    let strings = "local t = {} for i = 1, 5000 do t[i] = 'kept ' .. i end";
    let first = common::vm(&mut app);
    process(&mut app, first, &format!("{strings} task.wait(0.2)"));
    common::ticks(&mut app, 3);
    let second = common::vm(&mut app);
    process(&mut app, second, &format!("{strings} task.wait(1e6) print(t)"));
    for _ in 0..253 {
        let vm = common::vm(&mut app);
        process(&mut app, vm, "task.wait(1e6)");
    }
    until_ended(&mut app, 1);
    // All memory categories are taken but that of the first.
    let source = "local t for i = 1, 300 do t = table.create(50, i) task.wait() end return #t";
    let newcomer = vm_with(&mut app, 128 << 10);
    process(&mut app, newcomer, source);
    let exits = until_ended(&mut app, 2);
    assert!(matches!(exits[1].outcome, Outcome::Finished(_)), "{:?}", exits[1].outcome);
}

/// Makes 4,000 texts at a time, and keeps none of them for more than half a second.
const MAKES_TEXTS: &str = "
    for wave = 1, 10 do
        local texts = {}
        for i = 1, 4000 do texts[i] = wave .. ' text ' .. i end
        task.wait(0.5)
    end";

/// Makes the same texts when they are there, and keeps them. All in all, some 2 MB.
const KEEPS_TEXTS: &str = "
    local texts = {}
    for wave = 1, 10 do
        task.wait(0.25)
        for i = 1, 4000 do table.insert(texts, wave .. ' text ' .. i) end
        task.wait(0.25)
    end
    task.wait(2)
    return #texts";

/// How a process ended.
fn outcome(app: &App, process: Entity) -> Outcome {
    let exits = &common::ended(app).processes;
    exits.iter().find(|exit| exit.entity == process).expect("it has ended").outcome.clone()
}

#[test]
fn nobody_pays_for_texts_that_another_keeps() {
    for budget in [TickBudget::Unlimited, TickBudget::default()] {
        let plugin = LuauOsPlugin { budget, quantum: 20_000, vms_per_isolate: 255, ..common::plugin() };
        let mut app = common::app_with(plugin);
        let [maker, keeper] = [(1 << 19, MAKES_TEXTS), (8 << 20, KEEPS_TEXTS)].map(|(bytes, source)| {
            let vm = vm_with(&mut app, bytes);
            process(&mut app, vm, source)
        });
        until_ended(&mut app, 2);
        for process in [maker, keeper] {
            let outcome = outcome(&app, process);
            assert!(matches!(outcome, Outcome::Finished(_)), "{budget:?}: {outcome:?}");
        }
    }
}

#[test]
fn who_keeps_texts_pays_for_them_whoever_made_them() {
    let mut app = app(20_000);
    let [maker, keeper] = [(1 << 19, MAKES_TEXTS), (1 << 20, KEEPS_TEXTS)].map(|(bytes, source)| {
        let vm = vm_with(&mut app, bytes);
        process(&mut app, vm, source)
    });
    until_ended(&mut app, 2);
    assert!(matches!(outcome(&app, maker), Outcome::Finished(_)), "{:?}", outcome(&app, maker));
    let keeper = outcome(&app, keeper);
    assert!(matches!(keeper, Outcome::Killed(KillReason::Memory { .. })), "{keeper:?}");
}

#[test]
fn what_those_leave_who_come_and_go_is_paid_for_by_who_keeps_it() {
    let mut app = app(20_000);
    let keeper = vm_with(&mut app, 2 << 20);
    let source = "local texts = {}
        while true do
            for i = 1, 8000 do
                table.insert(texts, math.floor(os.clock()) .. ' is the second, and this is text ' .. i)
            end
            task.wait(1)
        end";
    let keeper = process(&mut app, keeper, &format!("task.wait(0.5) {source}"));
    for number in 0.. {
        assert!(number < 60, "it keeps what nobody pays for");
        let vm = common::vm(&mut app);
        let source = format!("local at = {number} {source}").replace("task.wait(1)", "task.wait(0.8) return");
        process(&mut app, vm, &source);
        common::ticks(&mut app, 60);
        if common::ended(&app).processes.iter().any(|exit| exit.entity == keeper) {
            break;
        }
    }
    let outcome = outcome(&app, keeper);
    assert!(matches!(outcome, Outcome::Killed(KillReason::Memory { .. })), "{outcome:?}");
}

#[test]
fn a_flood_of_signals_ends_nobody() {
    let mut app = app(1_000);
    let vm = vm_with(&mut app, 1 << 20);
    let source =
        "local n = 0 signal.connect('flood', function(text) n += #text task.wait(1e6) print(text) end)
        task.wait(1) process.exit(n)";
    process(&mut app, vm, source);
    common::ticks(&mut app, 3);
    for number in 0..50 {
        for part in 0..10 {
            let payload = format!("{number} {part} {}", "x".repeat(60_000));
            app.world_mut().commands().broadcast_signal("flood", payload);
        }
        common::ticks(&mut app, 1);
    }
    let exits = until_ended(&mut app, 1);
    let Outcome::Finished(values) = &exits[0].outcome else { panic!("{:?}", exits[0].outcome) };
    assert!(values[0].as_f64().is_some_and(|bytes| bytes > 500_000.0), "{values:?}");
}
