//! Random programs do as processes, at any quantum and beside others that come and go, what they do
//! when they run through on a plain Luau state.

mod grammar;
mod neighbours;
mod plain;

use std::fmt;

use bevy::prelude::*;
use bevy_luau_os::Metrics;
use bevy_luau_os::prelude::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::{app, one_thread};

use neighbours::{Event, Neighbours};
use plain::Behaviour;

/// Ticks in which all programs must have ended, whatever their quantum: they pass some ten
/// thousand safepoints, sorts included.
const MAX_TICKS: u32 = 100_000;

/// Where a scenario is found that crashed the test.
const LAST_SCENARIO: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/random_programs.txt");

/// A generated program.
#[derive(Clone)]
struct Program {
    statements: String,
    /// Steps that it may take until it fails; see `prelude.luau`.
    fuel: u32,
}

impl Program {
    fn source(&self) -> String {
        let prelude = include_str!("random_programs/prelude.luau").replace("FUEL", &self.fuel.to_string());
        // `math.floor` may be the program's own by now.
        let end = "
            say(n0, n1, n2, s0, #t0, #t1, G, math.floor(n0))
            return cut(`{n0} {s0} {s1} {depth} {fuel}`)";
        [&prelude, &self.statements, end].concat()
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program with {} steps:\n{}", self.fuel, self.statements)
    }
}

/// Programs that run side by side, each on a VM of its own, and what happens around them.
#[derive(Clone, Debug)]
struct Scenario {
    programs: Vec<Program>,
    quantum: u32,
    vms_per_isolate: usize,
    /// Each so many ticks after the one before it.
    events: Vec<(u32, Event)>,
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let program =
        (grammar::program(), 10u32..1000).prop_map(|(statements, fuel)| Program { statements, fuel });
    (vec(program, 1..6), 2u32..50, 1usize..6, vec((0u32..20, neighbours::events()), 0..30)).prop_map(
        |(programs, quantum, vms_per_isolate, events)| Scenario {
            programs,
            quantum,
            vms_per_isolate,
            events,
        },
    )
}

/// Runs the scenario. What each program did.
fn run(scenario: &Scenario) -> Vec<Behaviour> {
    let Scenario { programs, quantum, vms_per_isolate, events } = scenario;
    let plugin = LuauOsPlugin { quantum: *quantum, vms_per_isolate: *vms_per_isolate, ..app::plugin() };
    let mut app = one_thread::app_with(plugin);
    let sources: Vec<_> = programs.iter().map(Program::source).collect();
    let limits = VmLimits::from(Limits { console_bytes: 1 << 20, ..default() });
    let processes: Vec<_> = sources
        .iter()
        .map(|source| {
            let vm = app.world_mut().spawn((Vm::persistent(), limits.clone())).id();
            (vm, app::process(&mut app, vm, source))
        })
        .collect();
    let vms = processes.iter().map(|&(vm, _)| vm).collect();
    let mut neighbours = Neighbours::new(vms, sources);
    let mut events = events.iter();
    let mut next = events.next().map(|(wait, event)| (*wait, event));
    for tick in 0..MAX_TICKS {
        while let Some((due, event)) = next.filter(|&(due, _)| due <= tick) {
            neighbours.apply(&mut app, event);
            next = events.next().map(|(wait, event)| (due + wait, event));
        }
        app.update();
        if processes.iter().all(|&(_, process)| !app::exists(&app, process)) {
            break;
        }
    }
    let behaviours = processes.iter().map(|&(vm, process)| behaviour(&app, vm, process)).collect();
    neighbours.remove_all(&mut app);
    assert_eq!(app.world().resource::<Metrics>().processes(), 0);
    behaviours
}

fn behaviour(app: &App, vm: Entity, process: Entity) -> Behaviour {
    let exit = app::exit(app, process);
    let result = match exit.map(|exit| &exit.outcome) {
        Some(Outcome::Finished(values)) => match &values[..] {
            [bevy_luau_os::Value::String(text)] => Ok(String::from_utf8_lossy(text).into_owned()),
            other => Err(format!("returned {other:?}")),
        },
        Some(Outcome::Failed(error)) => Err(error.message.to_string()),
        Some(other) => Err(format!("{other:?}")),
        None => Err("goes on".to_owned()),
    };
    let printed = app.world().get::<VmConsole>(vm).map(VmConsole::text).unwrap_or_default();
    Behaviour { result, printed: printed.to_owned() }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{:?}", self.printed, self.result)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(128),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        max_shrink_iters: 4096,
        ..ProptestConfig::default()
    })]

    #[test]
    fn programs_do_what_they_do_when_nobody_interrupts_them(scenario in scenarios()) {
        // A crash leaves nothing to print.
        std::fs::write(LAST_SCENARIO, format!("{scenario:#?}")).expect("target directory");
        let expected: Vec<_> = scenario.programs.iter().map(|program| plain::run(&program.source())).collect();
        let behaviours = run(&scenario);
        for ((program, ours), luaus) in scenario.programs.iter().zip(behaviours).zip(expected) {
            let Some(luaus) = luaus else { continue };
            prop_assert!(ours == luaus, "{program:?}\nas a process:\n{ours:?}\non a plain state:\n{luaus:?}");
        }
    }
}
