//! Scripts as assets: loading them, and what modules and hot reload need to be tested.

mod modules;
mod reload;
mod typed;

use std::path::Path;

use bevy::asset::io::memory::{Dir, MemoryAssetReader};
use bevy::asset::io::{AssetSourceBuilder, AssetSourceId};
use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{LuauScriptLoader, ScriptReloaded};

use crate::common::{self, console, ended, exists, metrics, persistent_vm, state, ticks, update_until, vm};

/// An app whose assets are in memory, and those assets.
fn app_with_assets(files: &[(&str, &str)]) -> (App, Dir) {
    let dir = Dir::default();
    for (path, text) in files {
        dir.insert_asset_text(Path::new(path), text);
    }
    (app_with_dir(&dir, AssetPlugin::default()), dir)
}

/// The same with assets that are there.
fn app_with_dir(dir: &Dir, plugin: AssetPlugin) -> App {
    let mut app = App::new();
    let root = dir.clone();
    let source = AssetSourceBuilder::new(move || Box::new(MemoryAssetReader { root: root.clone() }));
    app.register_asset_source(AssetSourceId::Default, source);
    app.add_plugins((MinimalPlugins, plugin));
    common::configure(&mut app, common::plugin());
    app.init_resource::<Reloads>().add_systems(Update, record_reloads);
    app
}

#[derive(Resource, Default)]
struct Reloads(Vec<Result<usize, String>>);

fn record_reloads(mut messages: MessageReader<ScriptReloaded>, mut reloads: ResMut<Reloads>) {
    reloads.0.extend(messages.read().map(|reload| reload.result.clone()));
}

/// Spawns a process of an asset, on a VM that stays.
fn spawn(app: &mut App, path: &str) -> (Entity, Entity) {
    let vm = persistent_vm(app);
    let script: Handle<LuauScript> = app.world().resource::<AssetServer>().load(path.to_owned());
    (vm, app.world_mut().spawn((Process::new(script), ProcessOf(vm))).id())
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

#[test]
fn a_process_starts_when_its_script_has_loaded() {
    let (mut app, _dir) = app_with_assets(&[("robot.luau", "return 1 + 1"), ("old.lua", "return 2")]);
    let (vm, process) = spawn(&mut app, "robot.luau");
    let waiting = app.world().get::<Process>(process).expect("waits");
    assert_eq!((state(&app, process), waiting.name()), (ProcessState::New, "robot.luau"));
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
fn scripts_that_the_game_adds_are_assets_too() {
    let (mut app, _dir) = app_with_assets(&[]);
    let script = LuauScript::new(Script::new("made", "print(pcall(require, './x')) while true do end"));
    let handle = app.world_mut().resource_mut::<Assets<LuauScript>>().add(script);
    let vm = persistent_vm(&mut app);
    app.world_mut().spawn((Process::new(handle.clone()), ProcessOf(vm)));
    update_until(&mut app, |app| !console(app, vm).is_empty());
    assert!(console(&app, vm).contains("the script has no modules"), "{}", console(&app, vm));
    let changed = LuauScript::new(Script::new("made", "print('changed') while true do end"));
    app.world_mut().resource_mut::<Assets<LuauScript>>().insert(&handle, changed).expect("there");
    update_until(&mut app, |app| console(app, vm).ends_with("changed\n"));
}
