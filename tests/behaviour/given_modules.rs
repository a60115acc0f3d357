//! Modules that the game gives to a script: a program of several files that are no assets.

use bevy_luau_os::prelude::*;
use bevy_luau_os::{KillReason, Value};

use crate::common::{self, exit, text, update_until};

fn outcome_of(script: &Script) -> Outcome {
    let mut app = common::app();
    let vm = common::vm(&mut app);
    let process = app.world_mut().spawn((Process::new(script.clone()), ProcessOf(vm))).id();
    update_until(&mut app, |app| exit(app, process).is_some());
    exit(&app, process).expect("it has ended").outcome.clone()
}

#[track_caller]
fn returns(script: &Script, expected: &[Value]) {
    assert_eq!(outcome_of(script), Outcome::Finished(expected.to_vec()));
}

#[track_caller]
fn fails(script: &Script, expected: &str) {
    let Outcome::Failed(error) = outcome_of(script) else { panic!("{:?}", outcome_of(script)) };
    assert_eq!(&*error.message, expected);
}

#[test]
fn modules_are_found_by_their_paths() {
    let script = Script::new("main", "return require('./lib/a'), require('@self/own'), require('@std/list')")
        .with_module("lib/a.luau", "return 'a' .. require('./b') .. require('../c')")
        .with_module("./lib/b", "return 'b' .. require('./folder')")
        .with_module("c.lua", "return 'c'")
        .with_module("lib/folder/init.luau", "return require('@self/inner') .. require('./d')")
        .with_module("lib/folder/inner", "return 'inner'")
        .with_module("lib/d", "return 'd'")
        .with_module("main/own", "return 'own'")
        .with_module("@std/list", "return require('./more')")
        .with_module("@std/more.luau", "return 'more'");
    returns(&script, &[text("abinnerdc"), text("own"), text("more")]);
}

#[test]
fn an_alias_is_another_way_to_the_same_module() {
    let script = Script::new("main", "return require('@Lib/a') == require('./lib/a'), require('@one').n")
        .with_alias("lib", "./lib")
        .with_alias("One", "lib/b")
        .with_module("lib/a", "return {}")
        .with_module("lib/b", "return { n = require('@lib/c') }");
    assert_eq!(script.missing_modules(), ["lib/c"]);
    returns(&script.with_module("lib/c", "return 1"), &[true.into(), 1.0.into()]);
}

#[test]
fn a_later_module_takes_the_place_of_one_with_its_path() {
    let script = Script::new("main", "return require('./a')").with_module("a", "return 1");
    returns(&script.with_module("a.luau", "return 2"), &[2.0.into()]);
    returns(&script, &[1.0.into()]);
    assert_ne!(script, script.with_module("a", "return 3"));
}

#[test]
fn what_is_missing_can_be_asked_for() {
    let script = Script::new("main", "return require('./a') + require('@std/b')");
    assert_eq!(script.missing_modules(), ["a", "@std/b"]);
    let script = script.with_module("a", "return require('./lib/c')");
    assert_eq!(script.missing_modules(), ["lib/c", "@std/b"]);
    fails(&script, "a:1: require(\"./lib/c\"): no such module; there are a");
    let script = script.with_module("lib/c", "return 1").with_module("@std/b", "return 2");
    assert_eq!(script.missing_modules(), [""; 0]);
    returns(&script, &[3.0.into()]);
}

#[test]
fn what_is_wrong_is_said() {
    let main = |source: &str| Script::new("main", source).with_module("a", "return 1");
    fails(
        &main("\nrequire('./a.luau')"),
        "main:2: require(\"./a.luau\"): the path of a module has no extension: write \"./a\"",
    );
    fails(&main("require('../a')"), "main:1: require(\"../a\"): it is outside of the script's folder");
    fails(
        &main("require('a')"),
        "main:1: require(\"a\"): it must begin with \"./\", \"../\" or \"@\" and an alias",
    );
    let circle = main("require('./b')").with_module("b", "require('./c')").with_module("c", "require('./b')");
    fails(&circle, "c:1: require(\"./b\"): modules require each other: b -> c -> b");
    let broken = main("require('./b')").with_module("b.luau", "\nreturn {");
    let Outcome::Failed(error) = outcome_of(&broken) else { panic!() };
    assert!(error.message.starts_with("main:1: require(\"./b\"): b.luau:2: "), "{error}");
    fails(
        &main("require('./a')\nrequire('./' .. 'b')"),
        "main:2: require(\"./b\"): modules are found when a script is loaded, so the path must be a string literal",
    );
}

#[test]
fn a_module_that_is_not_there_can_be_done_without() {
    let script = Script::new(
        "main",
        "local function optional(name) local ok, module = pcall(require, name) return ok and module end
        local there, gone = optional('there') or require('./a'), pcall(require, './gone')
        return there, gone, script and require(script.Parent)",
    );
    returns(&script.with_module("a", "return 1"), &[1.0.into(), false.into(), Value::Nil]);
}

/// Whoever comes second waits with the first.
#[test]
fn a_module_may_wait_while_it_loads() {
    let source = "local first, second, third
        task.spawn(function() first = require('./slow') end)
        task.spawn(function() second = require('./slow') end)
        task.spawn(function() third = pcall(require, './failing') end)
        local fourth, why = pcall(require, './failing')
        local slow = require('./slow')
        return first == slow and second == slow, slow.n, third, fourth, why";
    let script = Script::new("main", source)
        .with_module("slow", "n = (n or 0) + 1 task.wait(0.2) return { n = n }")
        .with_module("failing", "task.wait(0.1) error('late')");
    let why = "require(\"./failing\"): the module has failed before";
    returns(&script, &[true.into(), 1.0.into(), false.into(), false.into(), text(why)]);
}

#[test]
fn a_source_that_a_script_starts_has_the_same_modules() {
    let source = "local a = require('./a')
        local how, sum = process.join(process.spawn(\"return require('./a') + require('./b')\"))
        local wrong, message = process.join(process.spawn(\"return require('./gone')\"))
        return a, how, sum, wrong, message";
    let script = Script::new("main", source).with_module("a", "return 1").with_module("b", "return 2");
    let message = "main:spawned:1: require(\"./gone\"): no such module; there are a, b";
    returns(&script, &[1.0.into(), text("finished"), 3.0.into(), text("failed"), text(message)]);
}

/// Modules count as the script does.
#[test]
fn a_module_may_not_be_longer_than_a_script() {
    let script = Script::new("main", "require('./a')").with_module("a", "-".repeat(300_000));
    assert!(
        matches!(outcome_of(&script), Outcome::Killed(KillReason::SourceSize { .. })),
        "{:?}",
        outcome_of(&script)
    );
}
