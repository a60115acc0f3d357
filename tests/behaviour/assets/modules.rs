//! `require`: modules of scripts that are assets.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use super::{app_with_assets, failure, outcome, result, spawn};
use crate::common::{ended, metrics, runtime, ticks, update_until};

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
fn a_script_finds_its_own_modules_in_the_folder_that_it_stands_for() {
    let files = [
        ("a/main.luau", "return require('@self/x'), require('./lib')"),
        ("a/main/x.luau", "return 'own'"),
        ("a/lib/init.luau", "return require('@self/y') .. require('./z')"),
        ("a/lib/y.luau", "return 'y'"),
        ("a/z.luau", "return 'z'"),
    ];
    assert_eq!(result(&files), "\"own\" \"yz\"");
}

#[test]
fn a_source_that_a_script_starts_can_require_what_its_script_can() {
    let files = [
        (
            "main.luau",
            "require('./a') local _, x = process.join(process.spawn(\"return require('./a')\")) return x",
        ),
        ("a.luau", "return 'a' .. require('./b')"),
        ("b.luau", "return 'b'"),
    ];
    assert_eq!(result(&files), "\"ab\"");
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
    let extension = failure(&[("main.luau", "require('./a.luau')"), ("a.luau", "return 1")]);
    assert_eq!(
        extension,
        "main.luau:1: require(\"./a.luau\"): the path of a module has no extension: write \"./a\""
    );
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
    assert!(result(&again).contains("the module has failed before"));
    let traceback = outcome(&[("main.luau", "require('./a')"), ("a.luau", "\nerror('inside')")]);
    let Outcome::Failed(error) = traceback else { panic!() };
    assert!(error.traceback.contains("a.luau:2") && error.traceback.ends_with("main.luau:1\n"), "{error:?}");
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
            most = most.max(runtime(&app).isolate_bytes());
        }
    }
    let finished = Outcome::Finished(vec![bevy_luau_os::Value::Number(2000.0)]);
    assert_eq!(ended(&app).processes.len(), 1001);
    assert!(ended(&app).processes.iter().all(|exit| exit.outcome == finished));
    // Each has 32 KB of its own; together that would be 32 MB.
    assert!(most < 4_000_000, "{most} bytes");
}
