//! Nothing that a script does hurts the others: every attack in `tests/hostile` runs beside 100
//! well-behaved processes on the same isolate.
//!
//! The first line of each script says what must happen: `runs for ever`, `finished`, `failed: ` and a
//! part of the message, or `killed: ` and the reason. `{{1000 text}}` stands for a text repeated so often.

#[path = "common/attack.rs"]
mod attack;
mod common;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{CpuUsage, LuauRuntime, ProcessExited};

const NEIGHBOURS: usize = 100;
/// Ticks within which a script must have ended, or have shown that it goes on.
const TICKS: usize = 3_000;
/// Ticks for which a script that runs for ever is watched beyond the end of its neighbours.
const MORE_TICKS: usize = 60;
/// Generous: the tests run unoptimised, several at a time, on busy machines. What it is to find takes
/// minutes or does not end.
const LONGEST_TICK: Duration = Duration::from_secs(10);
/// What a slice may be charged at most: one call, and what it runs on in code that is not preempted.
const MOST_SAFEPOINTS: u64 = 1 << 24;
/// Bytes by which garbage may make the isolate larger than it was before the attack.
const GARBAGE: usize = 1 << 20;
/// Bytes that the code of scripts may take that an isolate keeps loaded.
const LOADED: usize = 16 << 20;

/// Strings, tables, generators, errors: some of everything that an attack could break.
const WELL_BEHAVED: &str = include_str!("scripts/well_behaved.luau");
/// Stays on the isolate and makes garbage, so that it is collected.
const CHURN: &str = "while true do local t = {} for i = 1, 100 do t[i] = { i } end end";

struct Range {
    app: App,
    expected: Vec<bevy_luau_os::Value>,
    slowest: (Duration, String),
    /// Bytes that an attack may leave on the isolate.
    slack: usize,
}

impl Range {
    fn new() -> Self {
        let mut app = common::app_with(LuauOsPlugin {
            budget: TickBudget::Time(Duration::from_millis(100)),
            workers: NonZeroUsize::new(1),
            ..default()
        });
        let Outcome::Finished(expected) = common::outcome(&mut app, WELL_BEHAVED) else { panic!() };
        let vm = common::vm(&mut app);
        common::process(&mut app, vm, CHURN);
        common::ticks(&mut app, 100);
        Self { app, expected, slowest: (Duration::ZERO, String::new()), slack: GARBAGE }
    }

    fn runtime(&self) -> &LuauRuntime {
        self.app.world().resource()
    }

    fn tick(&mut self, name: &str) {
        // One worker: all of it is on this thread, and what else the machine does is not counted.
        let began = ThreadTime::now();
        self.app.update();
        let time = began.elapsed();
        assert!(time < LONGEST_TICK, "{name}: a tick took {time:?}");
        if time > self.slowest.0 {
            self.slowest = (time, name.to_owned());
        }
    }

    /// The most that the isolate has within some ticks, in which it is collected several times.
    fn isolate_bytes(&mut self, ticks: usize) -> usize {
        (0..ticks)
            .map(|_| {
                self.tick("no attack");
                self.runtime().isolate_bytes()
            })
            .max()
            .unwrap_or_default()
    }

    fn attack(&mut self, name: &str, source: &[u8], expected: &str) {
        let heap_before = self.isolate_bytes(60);
        self.app.world_mut().resource_mut::<common::Ended>().processes.clear();
        let neighbours: Vec<Entity> = (0..NEIGHBOURS)
            .map(|_| {
                let vm = common::vm(&mut self.app);
                common::process(&mut self.app, vm, WELL_BEHAVED)
            })
            .collect();
        let vm = common::vm(&mut self.app);
        let script = Script::new(name, source);
        let hostile = self.app.world_mut().spawn((Process::new(script), ProcessOf(vm))).id();
        let limits = self.app.world().get::<VmLimits>(vm).expect("it has").clone();
        let most_bytes = limits.memory_bytes + limits.memory_slack();

        let exit = |range: &Self, process| {
            let exits = &common::ended(&range.app).processes;
            exits.iter().find(|exit: &&ProcessExited| exit.entity == process).cloned()
        };
        let (mut cpu, mut more) = (CpuUsage::default(), 0);
        for tick in 0.. {
            self.tick(name);
            if let Some(bytes) = self.app.world().get::<Vm>(vm).and_then(|vm| self.runtime().vm_bytes(vm)) {
                assert!(bytes <= most_bytes, "{name}: its VM has {bytes} bytes, of {most_bytes}");
            }
            let process = self.app.world().get::<Process>(hostile);
            let now = process.and_then(|process| self.runtime().process_info(process));
            let now = now.map(|info| info.cpu).or(exit(self, hostile).map(|exit| exit.cpu));
            if let Some(now) = now {
                let used = now.safepoints - cpu.safepoints;
                assert!(used <= MOST_SAFEPOINTS, "{name}: {used} safepoints in one tick");
                cpu = now;
            }
            // Those that the attack has started end, too.
            let exits = common::ended(&self.app).processes.iter();
            let neighbours_ended = exits.filter(|exit| neighbours.contains(&exit.entity)).count();
            let neighbours_are_over = neighbours_ended == NEIGHBOURS;
            more += usize::from(neighbours_are_over);
            let has_ended = exit(self, hostile).is_some();
            let is_over =
                neighbours_are_over && (has_ended || (expected == "runs for ever" && more > MORE_TICKS));
            if is_over {
                break;
            }
            assert!(
                tick < TICKS,
                "{name}: {neighbours_ended} neighbours have ended, {:?}",
                exit(self, hostile)
            );
        }

        for neighbour in neighbours {
            let exit = exit(self, neighbour).expect("it ended");
            assert_eq!(exit.outcome, Outcome::Finished(self.expected.clone()), "a neighbour of {name}");
        }
        let outcome = exit(self, hostile).map(|exit| exit.outcome);
        assert!(is_as_expected(outcome.as_ref(), expected), "{name}: {outcome:?} instead of {expected}");
        if outcome.is_none() {
            assert!(cpu.slices > 1, "{name} had {} slices", cpu.slices);
        }
        if common::exists(&self.app, vm) {
            self.app.world_mut().entity_mut(vm).despawn();
        }
        let heap_after = (0..10).map(|_| self.isolate_bytes(60)).min().unwrap_or_default();
        assert!(
            heap_after <= heap_before + self.slack,
            "{name}: {heap_before} bytes before, {heap_after} after"
        );
        assert_eq!(self.runtime().isolate_count(), 1);
    }
}

fn is_as_expected(outcome: Option<&Outcome>, expected: &str) -> bool {
    expected.split(" | ").any(|expected| match (outcome, expected.split_once(": ")) {
        (None, None) => expected == "runs for ever",
        (Some(Outcome::Finished(_)), None) => expected == "finished",
        (Some(Outcome::Failed(error)), Some(("failed", text))) => error.message.contains(text),
        (Some(Outcome::Killed(reason)), Some(("killed", name))) => format!("{reason:?}").starts_with(name),
        _ => false,
    })
}

/// Runs all attacks of a class, one after the other on the same isolate.
fn attacks(class: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile").join(class);
    let entries = std::fs::read_dir(&folder).expect("folder of scripts");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    let only = std::env::var("ATTACK").ok();
    let mut range = Range::new();
    if class == "source" {
        range.slack += LOADED;
    }
    for path in paths {
        let name = path.file_stem().expect("file").to_string_lossy().into_owned();
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let source = attack::expand(&std::fs::read_to_string(&path).expect("source"));
        let expected = source.lines().next().and_then(|line| line.strip_prefix("-- expect: "));
        let began = Instant::now();
        range.attack(
            &name,
            source.as_bytes(),
            expected.unwrap_or_else(|| panic!("{name} says what to expect")),
        );
        println!("{class}/{name}: {:?}", began.elapsed());
    }
    println!("{class}: the longest tick took {:?}, {}", range.slowest.0, range.slowest.1);
}

macro_rules! classes {
    ($($class:ident),*) => {$(
        #[test]
        fn $class() {
            attacks(stringify!($class));
        }
    )*};
}

classes!(
    cpu,
    not_yieldable,
    one_call,
    memory,
    collector,
    coroutines,
    isolation,
    crash,
    accounting,
    source,
    system
);

/// What the attacks cost a tick with the plugin's defaults. It measures, so it checks nothing:
/// `cargo test --release --test hostile -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn longest_ticks() {
    let mut longest = Vec::new();
    let classes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    for class in std::fs::read_dir(classes).expect("folder").map(|entry| entry.expect("entry").path()) {
        for path in std::fs::read_dir(class).expect("folder").map(|entry| entry.expect("entry").path()) {
            let mut app =
                common::app_with(LuauOsPlugin { workers: NonZeroUsize::new(1), ..LuauOsPlugin::default() });
            let vm = common::vm(&mut app);
            common::process(&mut app, vm, CHURN);
            common::ticks(&mut app, 10);
            let vm = common::vm(&mut app);
            let source = attack::expand(&std::fs::read_to_string(&path).expect("source"));
            common::process(&mut app, vm, &source);
            let mut times: Vec<Duration> = (0..200)
                .map(|_| {
                    let began = ThreadTime::now();
                    app.update();
                    began.elapsed()
                })
                .collect();
            times.sort();
            let name = path.file_stem().expect("file").to_string_lossy().into_owned();
            longest.push((times[199], times[195], name));
        }
    }
    longest.sort();
    for (first, fifth, name) in longest.iter().rev().take(40) {
        println!("longest tick {first:?}, fifth longest {fifth:?}: {name}");
    }
}
