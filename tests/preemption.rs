//! A script cannot notice that it is preempted: at any quantum it does exactly what it does when it
//! runs through on a plain Luau state.

mod common;

use std::path::{Path, PathBuf};

use bevy_luau_os::prelude::*;
use mlua::Lua;

const QUANTA: [u32; 4] = [2, 3, 7, 1000];

/// The result of a script: what it returned, or the error that ended it.
fn uninterrupted(name: &str, source: &[u8]) -> Result<String, String> {
    let lua = Lua::new();
    let main = lua.load(source).set_name(format!("={name}")).into_function().expect("compiles");
    // On a thread, as in a process: the main thread cannot yield.
    let thread = lua.create_thread(main).expect("thread");
    loop {
        match thread.resume::<mlua::Value>(()) {
            Ok(_) if thread.is_resumable() => {}
            Ok(value) => return Ok(value.to_string().expect("a string")),
            Err(mlua::Error::RuntimeError(message)) => {
                return Err(message.split("\nstack traceback:").next().unwrap_or_default().to_owned());
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn preempted(name: &str, source: &[u8], quantum: u32) -> (Result<String, String>, u64) {
    let mut app = common::app_with(LuauOsPlugin { quantum, ..common::plugin() });
    let vm = common::vm(&mut app);
    app.world_mut().spawn((Process::new(Script::new(name, source)), ProcessOf(vm)));
    let exit = common::until_ended(&mut app, 1)[0].clone();
    let result = match exit.outcome {
        Outcome::Finished(values) => {
            Ok(values.first().and_then(|value| value.as_str()).unwrap_or("no string").to_owned())
        }
        Outcome::Failed(error) => Err(error.message.into()),
        other => panic!("{name} at quantum {quantum}: {other:?}"),
    };
    (result, exit.cpu.slices)
}

fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(folder);
    let entries = std::fs::read_dir(&folder).expect("folder of scripts");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    paths
}

fn compare(folder: &str, expect_error: bool) {
    for path in scripts(folder) {
        let name = path.file_name().expect("file").to_string_lossy().into_owned();
        let source = std::fs::read(&path).expect("source");
        let expected = uninterrupted(&name, &source);
        assert_eq!(expected.is_err(), expect_error, "{name} uninterrupted: {expected:?}");
        let mut slices = Vec::new();
        for quantum in QUANTA {
            let (result, used) = preempted(&name, &source, quantum);
            assert_eq!(result, expected, "{name} at quantum {quantum}");
            slices.push(used);
        }
        assert!(slices[0] > slices[3], "{name} was never preempted: {slices:?} slices");
    }
}

#[test]
fn scripts_give_the_same_results_at_every_quantum() {
    compare("pass", false);
}

#[test]
fn scripts_fail_with_the_same_errors_at_every_quantum() {
    compare("fault", true);
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
        let workers = std::num::NonZeroUsize::new(workers);
        let mut app =
            common::app_with(LuauOsPlugin { quantum, workers, vms_per_isolate, ..common::plugin() });
        app.add_host_function("deep", |levels: u32| Ok::<_, String>(deep(levels.min(DEPTH)) as f64));
        for _ in 0..VMS {
            let vm = common::vm(&mut app);
            common::process(&mut app, vm, script);
            common::process(&mut app, vm, "while true do local t = {} for i = 1, 50 do t[i] = { i } end end");
        }
        for exit in common::until_ended(&mut app, VMS) {
            assert_eq!(exit.outcome, Outcome::Finished(expected.clone()), "quantum {quantum}");
        }
    }
}
