//! Two runs of the same app give the same results, in operating-system processes of their own: with memory elsewhere,
//! other keys of hash maps, and as many processors as they get.

use std::num::NonZeroUsize;
use std::process::Command;

use bevy::prelude::*;
use bevy_luau_os::VmId;
use bevy_luau_os::prelude::*;

use crate::common;

/// VMs that observe. They do not share isolates evenly.
const VMS: u64 = 11;

/// What stands before each line that counts.
const MARK: &str = "observed: ";

/// What the scripts of an app print, and how all processes end.
fn observed(plugin: LuauOsPlugin) -> String {
    let mut app = common::app_with(plugin);
    let script = Script::new("observe", include_str!("repeatability/observe.luau"));
    let limits = Limits { console_bytes: 1 << 20, memory_bytes: 2 << 20, ..default() };
    let vms: Vec<Entity> = (1..=VMS)
        .map(|number| {
            let vm =
                (Vm::persistent().with_id(VmId(number)), VmLimits::from(limits.clone()), MailPolicy::All);
            let vm = app.world_mut().spawn(vm).id();
            let process = Process::new(script.clone()).with_args([number as f64, VMS as f64]);
            app.world_mut().spawn((process, ProcessOf(vm)));
            vm
        })
        .collect();
    let mut ticks = 0;
    while ticks == 0 || common::metrics(&app).processes() > 0 {
        app.update();
        ticks += 1;
        assert!(ticks < 20_000, "some go on");
    }
    let console = |vm: &Entity| app.world().get::<VmConsole>(*vm).expect("they print").text().to_owned();
    let mut lines: Vec<String> = vms.iter().map(console).collect();
    let ends = &common::ended(&app).processes;
    lines
        .extend(ends.iter().map(|exit| format!("{} {:?} {:?}", exit.pid, exit.outcome, exit.cpu.safepoints)));
    lines.push(format!("{ticks} ticks"));
    lines.join("\n")
}

fn plugin() -> LuauOsPlugin {
    LuauOsPlugin { seed: 17, workers: None, ..common::plugin() }
}

/// Not a test: what another operating-system process runs.
#[test]
#[ignore = "the other test runs it"]
fn observes() {
    if std::env::var_os("ONE_PROCESSOR").is_some() {
        let first = core_affinity::get_core_ids().and_then(|cores| cores.first().copied());
        assert!(first.is_none_or(core_affinity::set_for_current), "it may");
    }
    println!(); // what the harness has begun is no line of ours
    for line in observed(plugin()).lines() {
        println!("{MARK}{line}");
    }
}

/// What an operating-system process of its own observes.
fn observed_elsewhere(has_one_processor: bool) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().expect("this one"));
    command.args(["--exact", "repeatability::observes", "--ignored", "--nocapture"]);
    if has_one_processor {
        command.env("ONE_PROCESSOR", "1");
    }
    let output = command.output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter_map(|line| line.strip_prefix(MARK)).map(str::to_owned).collect()
}

fn assert_same(first: &[String], second: &[String], what: &str) {
    for (first, second) in first.iter().zip(second) {
        assert_eq!(first, second, "{what}");
    }
    assert_eq!(first.len(), second.len(), "{what}");
}

#[test]
#[cfg_attr(not(all(unix, target_pointer_width = "64")), ignore = "addresses show")]
fn whatever_a_script_observes_is_the_same_in_each_run() {
    let first = observed_elsewhere(false);
    assert!(first.len() > 1_000, "{} lines", first.len());
    for kind in ["Finished", "Failed", "Memory", "greets", "order", "weak", "heard"] {
        assert!(first.iter().any(|line| line.contains(kind)), "nothing shows {kind}");
    }
    assert_same(&first, &observed_elsewhere(false), "in another run");
    assert_same(&first, &observed_elsewhere(true), "on one processor");
}

#[test]
fn the_seed_decides_and_the_number_of_workers_does_not() {
    let observe = |seed, workers| {
        observed(LuauOsPlugin { seed, workers: NonZeroUsize::new(workers), vms_per_isolate: 1, ..plugin() })
    };
    let first = observe(1, 1);
    assert_eq!(first, observe(1, 3));
    assert_ne!(first, observe(2, 1));
}
