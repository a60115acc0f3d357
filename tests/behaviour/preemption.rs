//! How long a slice is, and that all code is preempted.

use std::num::NonZeroUsize;

use bevy::prelude::*;
use bevy_luau_os::KillReason;
use bevy_luau_os::prelude::*;

use crate::common::{self, SPIN, ended, exists, info, process, spinners, ticks, until_ended, vm};

#[test]
fn the_quantum_is_counted_in_safepoints() {
    for quantum in [2, 7, 1000] {
        let mut app = common::app_with(LuauOsPlugin { quantum, ..common::plugin() });
        let process = spinners(&mut app, 1)[0];
        ticks(&mut app, 4);
        let cpu = info(&app, process).cpu;
        assert_eq!(cpu.safepoints, cpu.slices * u64::from(quantum));
    }
}

#[test]
fn priority_is_a_factor_on_the_quantum() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let spin = || Process::new(Script::new("spin", SPIN));
    let normal = app.world_mut().spawn((spin(), ProcessOf(vm))).id();
    let high = app.world_mut().spawn((spin(), ProcessOf(vm), Priority(2.5))).id();
    let low = app.world_mut().spawn((spin(), ProcessOf(vm), Priority(0.25))).id();
    let safepoints = |app: &App, process| info(app, process).cpu.safepoints;
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

/// Released at once, each on a VM of its own, they take a turn each, as anybody does.
#[test]
fn a_thousand_runaways_in_metamethods_and_comparators_are_as_any_other_process() {
    const RUNAWAYS: usize = 1_000;
    let sources = [
        ENDLESS[0],
        ENDLESS[1],
        "table.sort({ 1, 2, 3 }, function() while true do end end)",
        "local m = { __lt = function() while true do end end }
         table.sort({ setmetatable({}, m), setmetatable({}, m) })",
    ];
    for workers in [1, 2] {
        let workers = NonZeroUsize::new(workers);
        let mut app = common::app_with(LuauOsPlugin { quantum: 50, workers, ..common::plugin() });
        let robots = spinners(&mut app, 1_000);
        ticks(&mut app, 3);
        let slices = |app: &App, of: &[Entity]| -> Vec<u64> {
            of.iter().map(|&process| info(app, process).cpu.slices).collect()
        };
        let before = slices(&app, &robots);
        let runaways: Vec<Entity> = (0..RUNAWAYS)
            .map(|number| {
                let vm = vm(&mut app);
                process(&mut app, vm, sources[number % sources.len()])
            })
            .collect();
        ticks(&mut app, 10);
        let after = slices(&app, &robots);
        assert!(before.iter().zip(after).all(|(before, after)| after - before == 10), "one in each tick");
        assert!(
            slices(&app, &runaways).iter().all(|slices| (9..=11).contains(slices)),
            "none more, none less"
        );
        assert!(ended(&app).processes.is_empty(), "{:?}", ended(&app).processes[0]);
        // They leave nothing behind.
        for &runaway in &runaways {
            app.world_mut().commands().entity(runaway).kill();
        }
        ticks(&mut app, 10);
        assert_eq!(ended(&app).processes.len(), RUNAWAYS);
        assert!(robots.iter().all(|&robot| exists(&app, robot)));
    }
}

/// Code that is parked in the middle of a callback goes on there: on another worker, after collections, and with host
/// functions that need a deep stack.
#[test]
fn parked_code_goes_on_on_any_worker_while_garbage_is_collected() {
    const VMS: usize = 48;
    /// Needs more than the stack of a fiber has in a release build, and less than that of a thread.
    const DEPTH: u32 = 290;
    fn deep(levels: u32) -> u64 {
        let frame = std::hint::black_box([u64::from(levels); 256]);
        if levels == 0 { 0 } else { deep(levels - 1) + u64::from(frame[100] > 0) }
    }
    let script = "
        local kept = {}
        local text = (('abcdef'):rep(60):gsub('.', function(c)
            local garbage = {}
            for i = 1, 20 do garbage[i] = { c, i } end
            kept[#kept + 1] = garbage[7]
            return setmetatable({}, { __index = function(_, key)
                local made = c:rep(3) .. key
                return made:gsub('%w', function(x) return x:upper() end) .. deep(290)
            end }).key
        end))
        for i = 1, #kept do assert(kept[i][2] == 7) end
        return #text, text:sub(1, 20)";
    let expected = vec![(360.0 * 9.0).into(), "AAAKEY290BBBKEY290CC".into()];
    for (quantum, workers, vms_per_isolate) in [(2, 4, 3), (7, 2, 12), (1000, 4, 1), (30, 1, 255)] {
        let workers = NonZeroUsize::new(workers);
        let mut app =
            common::app_with(LuauOsPlugin { quantum, workers, vms_per_isolate, ..common::plugin() });
        app.add_host_function("deep", |levels: u32| Ok::<_, String>(deep(levels.min(DEPTH)) as f64));
        for _ in 0..VMS {
            let vm = vm(&mut app);
            process(&mut app, vm, script);
            process(&mut app, vm, "while true do local t = {} for i = 1, 50 do t[i] = { i } end end");
        }
        for exit in until_ended(&mut app, VMS) {
            assert_eq!(exit.outcome, Outcome::Finished(expected.clone()), "quantum {quantum}");
        }
    }
}
