//! Scripts as assets: loading, `require`, hot reload.

mod common;

use std::path::Path;

use bevy::asset::io::memory::{Dir, MemoryAssetReader};
use bevy::asset::io::{AssetSourceBuilder, AssetSourceId};
use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{LuauScriptLoader, ScriptReloaded};
use common::{ended, exists, metrics, ticks, vm};

/// An app whose assets are in memory, and those assets.
fn app_with_assets(files: &[(&str, &str)]) -> (App, Dir) {
    let dir = Dir::default();
    for (path, text) in files {
        dir.insert_asset_text(Path::new(path), text);
    }
    let mut app = App::new();
    let root = dir.clone();
    let source = AssetSourceBuilder::new(move || Box::new(MemoryAssetReader { root: root.clone() }));
    app.register_asset_source(AssetSourceId::Default, source);
    app.add_plugins((MinimalPlugins, AssetPlugin::default()));
    common::configure(&mut app, common::plugin());
    app.init_resource::<Reloads>().add_systems(Update, record_reloads);
    (app, dir)
}

#[derive(Resource, Default)]
struct Reloads(Vec<Result<usize, String>>);

fn record_reloads(mut messages: MessageReader<ScriptReloaded>, mut reloads: ResMut<Reloads>) {
    reloads.0.extend(messages.read().map(|reload| reload.result.clone()));
}

/// Spawns a process of an asset, on a VM that stays.
fn spawn(app: &mut App, path: &str) -> (Entity, Entity) {
    let vm = app.world_mut().spawn(Vm::persistent()).id();
    let script: Handle<LuauScript> = app.world().resource::<AssetServer>().load(path.to_owned());
    (vm, app.world_mut().spawn((Process::new(script), ProcessOf(vm))).id())
}

/// Updates until `done`. Assets load on other threads, so how many updates it takes is not known.
#[track_caller]
fn update_until(app: &mut App, mut done: impl FnMut(&App) -> bool) {
    for _ in 0..10_000 {
        app.update();
        if done(app) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("it never happened");
}

/// Changes a file and waits for what becomes of it.
#[track_caller]
fn change(app: &mut App, dir: &Dir, path: &str, text: &str) -> Result<usize, String> {
    let before = app.world().resource::<Reloads>().0.len();
    dir.insert_asset_text(Path::new(path), text);
    app.world().resource::<AssetServer>().reload(path.to_owned());
    update_until(app, |app| app.world().resource::<Reloads>().0.len() > before);
    app.world().resource::<Reloads>().0[before].clone()
}

#[track_caller]
fn outcome(files: &[(&str, &str)]) -> Outcome {
    let (mut app, _dir) = app_with_assets(files);
    spawn(&mut app, files[0].0);
    update_until(&mut app, |app| !ended(app).processes.is_empty());
    ended(&app).processes[0].outcome.clone()
}

/// What a script returns, as text.
#[track_caller]
fn result(files: &[(&str, &str)]) -> String {
    match outcome(files) {
        Outcome::Finished(values) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        other => panic!("{other:?}"),
    }
}

/// The error of a script that fails.
#[track_caller]
fn failure(files: &[(&str, &str)]) -> String {
    match outcome(files) {
        Outcome::Failed(error) => error.message.into(),
        other => panic!("{other:?}"),
    }
}

fn console(app: &App, vm: Entity) -> String {
    app.world().get::<VmConsole>(vm).map(VmConsole::text).unwrap_or_default().to_owned()
}

#[test]
fn a_process_starts_when_its_script_has_loaded() {
    let (mut app, _dir) = app_with_assets(&[("robot.luau", "return 1 + 1"), ("old.lua", "return 2")]);
    let (vm, process) = spawn(&mut app, "robot.luau");
    let waiting = app.world().get::<Process>(process).expect("waits");
    assert_eq!((common::state(&app, process), waiting.name()), (ProcessState::New, "robot.luau"));
    assert!(waiting.script().is_none() && waiting.asset().is_some());
    update_until(&mut app, |app| !ended(app).processes.is_empty());
    let exit = &ended(&app).processes[0];
    assert_eq!((exit.vm, exit.pid.get(), &*exit.name), (vm, 1, "robot.luau"));
    assert!(matches!(&exit.outcome, Outcome::Finished(values) if values[0].as_f64() == Some(2.0)));
    // The script is loaded by now: a process that comes later does not wait.
    let keep = app.world().resource::<AssetServer>().load::<LuauScript>("robot.luau");
    update_until(&mut app, |app| app.world().resource::<Assets<LuauScript>>().contains(&keep));
    spawn(&mut app, "robot.luau");
    ticks(&mut app, 2);
    assert_eq!(ended(&app).processes.len(), 2);
    spawn(&mut app, "old.lua");
    update_until(&mut app, |app| ended(app).processes.len() == 3);
}

#[test]
fn a_script_that_cannot_be_loaded_fails_its_processes() {
    let (mut app, dir) = app_with_assets(&[("typo.luau", "local x = 1\nlocal = 2")]);
    dir.insert_asset(Path::new("blob.luau"), b"\x06\x01\x02".to_vec());
    dir.insert_asset(Path::new("long.luau"), vec![b' '; LuauScriptLoader::MAX_BYTES + 1]);
    for (path, expected) in [
        ("typo.luau", "typo.luau:2: "),
        ("blob.luau", "blob.luau: this is compiled bytecode (it starts with byte 0x06)"),
        ("long.luau", "long.luau: the source is larger than 1024 KiB"),
        ("missing.luau", "missing.luau"),
    ] {
        let (vm, process) = spawn(&mut app, path);
        let before = ended(&app).processes.len();
        update_until(&mut app, |app| ended(app).processes.len() > before);
        let exit = &ended(&app).processes[before];
        assert_eq!((exit.vm, exit.pid.get(), &*exit.name), (vm, 1, path));
        let Outcome::Failed(error) = &exit.outcome else { panic!("{:?}", exit.outcome) };
        assert!(error.message.contains(expected), "{error}");
        assert!(!exists(&app, process));
    }
    assert_eq!(metrics(&app).processes(), 0);
}

#[test]
fn without_assets_the_error_says_what_to_add() {
    let mut app = common::app();
    let vm = vm(&mut app);
    app.world_mut().spawn((Process::new(Handle::<LuauScript>::default()), ProcessOf(vm)));
    ticks(&mut app, 2);
    let Outcome::Failed(error) = &ended(&app).processes[0].outcome else { panic!() };
    assert!(error.message.contains("AssetPlugin before LuauOsPlugin"), "{error}");
}

#[test]
fn a_process_that_waits_for_its_script_can_be_despawned() {
    let (mut app, _dir) = app_with_assets(&[("robot.luau", "return")]);
    let (_, process) = spawn(&mut app, "robot.luau");
    ticks(&mut app, 1);
    app.world_mut().entity_mut(process).despawn();
    ticks(&mut app, 10);
    assert_eq!((metrics(&app).processes(), ended(&app).processes.len()), (0, 0));
}

#[test]
fn scripts_require_modules_by_path() {
    let files = [
        ("scripts/main.luau", "local a = require('./lib/a') return a.name, require('../shared').x"),
        ("scripts/lib/a.luau", "return { name = 'a' .. require('./b') .. require('./folder') }"),
        ("scripts/lib/b.lua", "return 'b'"),
        ("scripts/lib/folder/init.luau", "return require('./folder/inner') .. require('./b')"),
        ("scripts/lib/folder/inner.luau", "return 'inner'"),
        ("shared.luau", "return { x = 7 }"),
    ];
    assert_eq!(result(&files), "\"abinnerb\" 7");
}

#[test]
fn aliases_come_from_the_nearest_luaurc_that_knows_them() {
    let files = [
        ("a/b/main.luau", "return require('@lib/x'), require('@Top'), require('@here/y')"),
        ("a/b/.luaurc", "{ \"aliases\": { \"here\": \"./\", \"lib\": \"../../lib\", } } // as Luau allows"),
        ("a/.luaurc", "{ \"aliases\": { \"lib\": \"./wrong\", \"top\": \"../top\" } }"),
        ("lib/x.luau", "return 'x'"),
        ("top.luau", "return 'top'"),
        ("a/b/y.luau", "return 'y'"),
    ];
    assert_eq!(result(&files), "\"x\" \"top\" \"y\"");
}

#[test]
fn each_process_has_its_own_instance_of_a_module() {
    let (mut app, _dir) = app_with_assets(&[
        ("main.luau", "local c = require('./counter') c.n += 1 return c.n + require('./counter').n, other"),
        ("counter.luau", "other = (other or 0) + 1 return { n = 0 }"),
    ]);
    for _ in 0..3 {
        spawn(&mut app, "main.luau");
    }
    update_until(&mut app, |app| ended(app).processes.len() == 3);
    for exit in &ended(&app).processes {
        let Outcome::Finished(values) = &exit.outcome else { panic!("{:?}", exit.outcome) };
        assert_eq!(values.iter().map(|value| value.as_f64()).collect::<Vec<_>>(), [Some(2.0), Some(1.0)]);
    }
}

#[test]
fn modules_are_preempted_and_killed_like_any_code() {
    let (mut app, _dir) = app_with_assets(&[
        ("main.luau", "return require('./slow')"),
        ("slow.luau", "for i = 1, 20000 do end return coroutine.wrap(function() return 'done' end)()"),
        ("endless.luau", "require('./spin')"),
        ("spin.luau", "while true do end"),
    ]);
    spawn(&mut app, "main.luau");
    let (endless, _) = spawn(&mut app, "endless.luau");
    update_until(&mut app, |app| !ended(app).processes.is_empty());
    let exit = &ended(&app).processes[0];
    assert!(exit.cpu.slices >= 20, "{:?}", exit.cpu);
    assert!(matches!(&exit.outcome, Outcome::Finished(values) if values[0].as_str() == Some("done")));
    app.world_mut().entity_mut(endless).despawn();
    ticks(&mut app, 2);
    assert_eq!(metrics(&app).processes(), 0);
}

#[test]
fn what_cannot_be_required_fails_the_process_with_the_chain() {
    let missing =
        failure(&[("main.luau", "require('./a')"), ("a.luau", "-- first line\nreturn require('./gone')")]);
    assert_eq!(
        missing,
        "a.luau:2: require(\"./gone\"): no such module; looked for gone.luau, gone.lua, gone/init.luau, \
         gone/init.lua (required by main.luau)"
    );
    let broken = failure(&[("main.luau", "require('./a')"), ("a.luau", "return {")]);
    assert!(broken.starts_with("a.luau:1: ") && broken.ends_with("(required by main.luau)"), "{broken}");
    let cycle = failure(&[
        ("main.luau", "require('./a')"),
        ("a.luau", "return require('./b')"),
        ("b.luau", "return require('./a')"),
    ]);
    assert_eq!(cycle, "modules require each other: a.luau -> b.luau -> a.luau");
    let itself = failure(&[("main.luau", "return require('./main')")]);
    assert_eq!(itself, "modules require each other: main.luau -> main.luau");
    let outside = failure(&[("main.luau", "require('../../etc/passwd')")]);
    assert_eq!(
        outside,
        "main.luau:1: require(\"../../etc/passwd\"): ../../etc/passwd is outside of the asset source"
    );
    let bare = failure(&[("main.luau", "require('lib')")]);
    assert!(bare.contains("must begin with \"./\""), "{bare}");
    let alias = failure(&[("main.luau", "require('@lib/x')")]);
    assert!(alias.contains("defines the alias @lib"), "{alias}");
    let config = failure(&[("main.luau", "require('@lib/x')"), (".luaurc", "{ \"aliases\": 3 }")]);
    assert!(config.contains(".luaurc: \"aliases\" must be an object"), "{config}");
}

#[test]
fn errors_of_require_at_run_time_are_the_scripts() {
    let computed =
        failure(&[("main.luau", "local _ = require('./a')\nrequire('./' .. 'b')"), ("a.luau", "return 1")]);
    assert!(computed.contains("must be a string literal"), "{computed}");
    let nothing = failure(&[("main.luau", "require('./a')"), ("a.luau", "return 1, 2")]);
    assert_eq!(nothing, "main.luau:1: require(\"./a\"): the module must return exactly one value");
    let files = [("main.luau", "return pcall(require, './a')"), ("a.luau", "error('inside')")];
    assert_eq!(result(&files), "false \"a.luau:1: inside\"");
    let again = [
        ("main.luau", "pcall(require, './a') return select(2, pcall(require, './a'))"),
        ("a.luau", "error('inside')"),
    ];
    assert!(result(&again).contains("has not finished loading"));
    let traceback = outcome(&[("main.luau", "require('./a')"), ("a.luau", "\nerror('inside')")]);
    let Outcome::Failed(error) = traceback else { panic!() };
    assert!(error.traceback.contains("a.luau:2") && error.traceback.ends_with("main.luau:1\n"), "{error:?}");
}

#[test]
fn a_change_restarts_every_process_of_the_script() {
    let spin = |text: &str| format!("print('{text}', ...) while true do end");
    let (mut app, dir) = app_with_assets(&[("robot.luau", &spin("one")), ("other.luau", &spin("other"))]);
    let robots: Vec<_> = (0..5).map(|_| spawn(&mut app, "robot.luau")).collect();
    let (other, _) = spawn(&mut app, "other.luau");
    update_until(&mut app, |app| robots.iter().all(|&(vm, _)| console(app, vm) == "one\n"));
    assert_eq!(change(&mut app, &dir, "robot.luau", &spin("two")), Ok(5));
    ticks(&mut app, 3);
    for &(vm, entity) in &robots {
        assert_eq!(console(&app, vm), "one\ntwo\n");
        let process = app.world().get::<Process>(entity).expect("the same entity");
        assert_eq!(
            (common::state(&app, entity), process.pid().map(|pid| pid.get())),
            (ProcessState::Runnable, Some(1))
        );
        assert_eq!(process.script().expect("loaded").source(), spin("two").as_bytes());
        let info = app.world().resource::<LuauRuntime>().process_info(process).expect("runs");
        assert!(info.cpu.slices >= 3, "what it cost so far counts: {info:?}");
    }
    assert_eq!(console(&app, other), "other\n");
    // New ones get the new version, on the same slots, and everything can still be stopped.
    spawn(&mut app, "robot.luau");
    ticks(&mut app, 3);
    assert_eq!((metrics(&app).processes(), metrics(&app).last_tick_resumes), (7, 7));
    for (vm, _) in robots {
        app.world_mut().entity_mut(vm).despawn();
    }
    ticks(&mut app, 2);
    assert_eq!((metrics(&app).processes(), metrics(&app).last_tick_resumes), (2, 2));
}

#[test]
fn a_change_that_cannot_be_loaded_is_reported_and_the_old_one_runs_on() {
    let source = "print('one') while true do end";
    let (mut app, dir) = app_with_assets(&[("robot.luau", source)]);
    let (vm, process) = spawn(&mut app, "robot.luau");
    update_until(&mut app, |app| console(app, vm) == "one\n");
    let error = change(&mut app, &dir, "robot.luau", "print('two'\nwhile").unwrap_err();
    assert!(error.starts_with("robot.luau:2: "), "{error}");
    let error = change(&mut app, &dir, "robot.luau", "require('./gone')").unwrap_err();
    assert!(error.contains("no such module"), "{error}");
    let error = change(&mut app, &dir, "robot.luau", "require('./robot')").unwrap_err();
    assert!(error.contains("robot.luau -> robot.luau"), "{error}");
    ticks(&mut app, 3);
    assert_eq!((console(&app, vm).as_str(), metrics(&app).last_tick_resumes), ("one\n", 1));
    // So does a process that is new.
    let (late, _) = spawn(&mut app, "robot.luau");
    ticks(&mut app, 3);
    assert_eq!(console(&app, late), "one\n");
    assert_eq!(change(&mut app, &dir, "robot.luau", "print('three')"), Ok(2));
    update_until(&mut app, |app| ended(app).processes.len() == 2);
    assert_eq!(console(&app, vm), "one\nthree\n");
    assert!(!exists(&app, process));
}

#[test]
fn a_changed_module_restarts_the_processes_that_require_it() {
    let (mut app, dir) = app_with_assets(&[
        ("main.luau", "print(require('./a')) while true do end"),
        ("a.luau", "return require('./b') .. '!'"),
        ("b.luau", "return 'one'"),
        ("alone.luau", "print('alone') while true do end"),
    ]);
    let (main, _) = spawn(&mut app, "main.luau");
    let (alone, _) = spawn(&mut app, "alone.luau");
    update_until(&mut app, |app| console(app, main) == "one!\n" && console(app, alone) == "alone\n");
    assert_eq!(change(&mut app, &dir, "b.luau", "return 'two'"), Ok(1));
    ticks(&mut app, 3);
    assert_eq!((console(&app, main).as_str(), console(&app, alone).as_str()), ("one!\ntwo!\n", "alone\n"));
    // A module that is new is loaded first.
    dir.insert_asset_text(Path::new("c.luau"), "return 'three'");
    assert_eq!(change(&mut app, &dir, "a.luau", "return require('./c')"), Ok(1));
    ticks(&mut app, 3);
    assert!(console(&app, main).ends_with("\ntwo!\nthree\n"));
    assert_eq!(change(&mut app, &dir, "c.luau", "return"), Ok(1));
    update_until(&mut app, |app| !ended(app).processes.is_empty());
    assert!(matches!(&ended(&app).processes[0].outcome, Outcome::Failed(_)));
}

#[test]
fn on_reload_is_handed_the_state_table_of_the_version_before() {
    let version = |name: &str, rest: &str| {
        format!(
            "state = {{ runs = 1, by = '{name}' }}
             function on_reload(old) old.runs += 1 state = old print('{name} took over from', old.by, old.runs) end
             {rest} while true do end"
        )
    };
    let (mut app, dir) = app_with_assets(&[("robot.luau", &version("one", ""))]);
    let (vm, _) = spawn(&mut app, "robot.luau");
    update_until(&mut app, |app| metrics(app).resumes > 3);
    assert_eq!(console(&app, vm), "");
    assert_eq!(change(&mut app, &dir, "robot.luau", &version("two", "")), Ok(1));
    ticks(&mut app, 3);
    assert_eq!(console(&app, vm), "two took over from\tone\t2\n");
    assert_eq!(change(&mut app, &dir, "robot.luau", &version("three", "print(state.runs)")), Ok(1));
    ticks(&mut app, 3);
    assert_eq!(console(&app, vm), "two took over from\tone\t2\nthree took over from\tone\t3\n3\n");
    // A version without the function just restarts; the next one with it finds what is still there.
    assert_eq!(change(&mut app, &dir, "robot.luau", "print(state) while true do end"), Ok(1));
    ticks(&mut app, 3);
    assert!(console(&app, vm).ends_with("\nnil\n"));
    assert_eq!(change(&mut app, &dir, "robot.luau", &version("five", "")), Ok(1));
    ticks(&mut app, 3);
    assert!(console(&app, vm).ends_with("\nnil\nfive took over from\tone\t4\n"), "{}", console(&app, vm));
}

#[test]
fn versions_that_follow_each_other_at_once_hand_the_state_on() {
    let version = |name: &str| {
        format!(
            "state = {{}} function on_reload(old) print('{name}', old.by) end state.by = '{name}' while true do end"
        )
    };
    let (mut app, dir) = app_with_assets(&[("robot.luau", &version("one"))]);
    let (vm, process) = spawn(&mut app, "robot.luau");
    update_until(&mut app, |app| metrics(app).resumes > 3);
    // Paused, so that the second version never runs.
    app.world_mut().resource_mut::<Time<Virtual>>().pause();
    assert_eq!(change(&mut app, &dir, "robot.luau", &version("two")), Ok(1));
    assert_eq!(change(&mut app, &dir, "robot.luau", &version("three")), Ok(1));
    app.world_mut().resource_mut::<Time<Virtual>>().unpause();
    ticks(&mut app, 3);
    assert_eq!(console(&app, vm), "three\tone\n");
    // A process that is stopped before it runs again leaves nothing to the next one in its place.
    app.world_mut().resource_mut::<Time<Virtual>>().pause();
    assert_eq!(change(&mut app, &dir, "robot.luau", &version("four")), Ok(1));
    app.world_mut().entity_mut(process).despawn();
    app.world_mut().resource_mut::<Time<Virtual>>().unpause();
    spawn(&mut app, "robot.luau");
    ticks(&mut app, 5);
    assert_eq!(console(&app, vm), "three\tone\n");
}

#[test]
fn processes_that_wait_are_restarted_at_once_and_what_they_waited_for_is_forgotten() {
    let (mut app, dir) = app_with_assets(&[
        ("sleeper.luau", "print('one') task.wait(0.5) print('too late')"),
        ("caller.luau", "print('one') print(slow())"),
    ]);
    #[derive(Resource, Default)]
    struct Kept(Vec<ReplyTo<&'static str>>);
    app.init_resource::<Kept>().add_syscall(
        "slow",
        |In(calls): In<Vec<Syscall<(), &'static str>>>, mut kept: ResMut<Kept>| {
            kept.0.extend(calls.into_iter().map(|call| call.reply_to));
        },
    );
    let (sleeper, _) = spawn(&mut app, "sleeper.luau");
    let (caller, _) = spawn(&mut app, "caller.luau");
    update_until(&mut app, |app| console(app, sleeper) == "one\n" && console(app, caller) == "one\n");
    for path in ["sleeper.luau", "caller.luau"] {
        assert_eq!(change(&mut app, &dir, path, "print('two') print(task.wait(1) >= 1)"), Ok(1));
    }
    ticks(&mut app, 3);
    for reply in std::mem::take(&mut app.world_mut().resource_mut::<Kept>().0) {
        reply.reply("for nobody");
    }
    update_until(&mut app, |app| ended(app).processes.len() == 2);
    assert_eq!(console(&app, sleeper), "one\ntwo\ntrue\n");
    assert_eq!(console(&app, caller), "one\ntwo\ntrue\n");
}

#[test]
fn an_on_reload_that_does_not_return_is_killed() {
    let (mut app, dir) = app_with_assets(&[("robot.luau", "state = {} while true do end")]);
    spawn(&mut app, "robot.luau");
    update_until(&mut app, |app| metrics(app).resumes > 3);
    let source = "function on_reload() while true do end end while true do end";
    assert_eq!(change(&mut app, &dir, "robot.luau", source), Ok(1));
    update_until(&mut app, |app| !ended(app).processes.is_empty());
    assert!(matches!(ended(&app).processes[0].outcome, Outcome::Killed(_)));
}

#[test]
fn scripts_that_the_game_adds_are_assets_too() {
    let (mut app, _dir) = app_with_assets(&[]);
    let script = LuauScript::new(Script::new("made", "print(pcall(require, './x')) while true do end"));
    let handle = app.world_mut().resource_mut::<Assets<LuauScript>>().add(script);
    let vm = app.world_mut().spawn(Vm::persistent()).id();
    app.world_mut().spawn((Process::new(handle.clone()), ProcessOf(vm)));
    update_until(&mut app, |app| !console(app, vm).is_empty());
    assert!(console(&app, vm).contains("the script has no modules"), "{}", console(&app, vm));
    let changed = LuauScript::new(Script::new("made", "print('changed') while true do end"));
    app.world_mut().resource_mut::<Assets<LuauScript>>().insert(&handle, changed).expect("there");
    update_until(&mut app, |app| console(app, vm).ends_with("changed\n"));
}

#[test]
fn modules_go_with_their_processes() {
    let (mut app, _dir) = app_with_assets(&[
        ("main.luau", "local module = require('./module') task.wait(0.1) return module.f()"),
        ("module.luau", "local data = table.create(2000, 1) return { f = function() return #data end }"),
    ]);
    let (vm, _) = spawn(&mut app, "main.luau");
    update_until(&mut app, |app| !ended(app).processes.is_empty());
    let script: Handle<LuauScript> = app.world().resource::<AssetServer>().load("main.luau");
    let mut most = 0;
    for round in 0..100 {
        for _ in 0..10 {
            app.world_mut().spawn((Process::new(script.clone()), ProcessOf(vm)));
        }
        ticks(&mut app, 12);
        if round >= 10 {
            most = most.max(app.world().resource::<LuauRuntime>().isolate_bytes());
        }
    }
    let finished = Outcome::Finished(vec![bevy_luau_os::Value::Number(2000.0)]);
    assert_eq!(ended(&app).processes.len(), 1001);
    assert!(ended(&app).processes.iter().all(|exit| exit.outcome == finished));
    // Each has 32 KB of its own; together that would be 32 MB.
    assert!(most < 4_000_000, "{most} bytes");
}
