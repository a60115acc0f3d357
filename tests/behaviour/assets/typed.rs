//! Scripts that are no files and require some.

use bevy::prelude::*;
use bevy_luau_os::LuauScript;
use bevy_luau_os::prelude::*;

use super::app_with_assets;
use crate::common::{ended, persistent_vm, text, update_until};

fn run(path: &'static str, source: &str) -> Outcome {
    let (mut app, _dir) = app_with_assets(&[
        ("players/library/vectors.luau", "return { length = require('../base').length }"),
        ("players/base.luau", "return { length = function(x, y) return math.sqrt(x * x + y * y) end }"),
        (".luaurc", r#"{ "aliases": { "lib": "players/library" } }"#),
    ]);
    let vm = persistent_vm(&mut app);
    let script = LuauScript::from_source(app.world().resource::<AssetServer>(), path, source);
    app.world_mut().spawn((Process::new(script), ProcessOf(vm)));
    update_until(&mut app, |app| !ended(app).processes.is_empty());
    ended(&app).processes[0].outcome.clone()
}

#[test]
fn what_is_typed_requires_files_as_if_it_were_one() {
    for specifier in ["./library/vectors", "@lib/vectors"] {
        let source = format!("return require('{specifier}').length(3, 4), process.name");
        let expected = vec![5.into(), text("players/typed.luau")];
        assert_eq!(run("players/typed.luau", &source), Outcome::Finished(expected));
    }
}

#[test]
fn what_is_wrong_with_it_is_an_error_of_its_process() {
    for (source, expected) in [
        ("local x = ", "players/typed.luau:1: "),
        ("require('./nothing')", "players/typed.luau:1: require(\"./nothing\"): no such module"),
    ] {
        let Outcome::Failed(error) = run("players/typed.luau", source) else { panic!("{source} is wrong") };
        assert!(error.message.contains(expected), "{error}");
    }
}
