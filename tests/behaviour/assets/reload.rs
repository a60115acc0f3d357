//! Hot reload: a script that changes, or a module of it, restarts the processes that run it.

use std::path::Path;

use bevy::asset::io::memory::Dir;
use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use super::{app_with_assets, app_with_dir, change, spawn};
use crate::common::{console, ended, exists, info, metrics, runtime, state, ticks, update_until};

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
            (state(&app, entity), process.pid().map(|pid| pid.get())),
            (ProcessState::Runnable, Some(1))
        );
        assert_eq!(process.script().expect("loaded").source(), spin("two").as_bytes());
        let info = runtime(&app).process_info(process).expect("runs");
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
fn an_on_reload_that_does_not_return_is_preempted_like_any_code() {
    let (mut app, dir) = app_with_assets(&[("robot.luau", "state = {} while true do end")]);
    let (vm, process) = spawn(&mut app, "robot.luau");
    update_until(&mut app, |app| metrics(app).resumes > 3);
    let source = "function on_reload() while true do end end while true do end";
    assert_eq!(change(&mut app, &dir, "robot.luau", source), Ok(1));
    let before = info(&app, process).cpu.slices;
    ticks(&mut app, 10);
    assert_eq!(info(&app, process).cpu.slices, before + 10);
    app.world_mut().despawn(vm);
    ticks(&mut app, 2);
    assert_eq!(metrics(&app).processes(), 0);
}

/// Who edits a script while the game runs makes mistakes. What waits for the script must not be lost by them.
#[test]
fn a_broken_script_that_is_corrected_starts_the_processes_that_waited_for_it() {
    let dir = Dir::default();
    dir.insert_asset_text(Path::new("robot.luau"), "print('one'\nwhile");
    dir.insert_asset_text(Path::new("other.luau"), "return require('./gone')");
    let watching = AssetPlugin { watch_for_changes_override: Some(true), ..default() };
    let mut app = app_with_dir(&dir, watching);
    let (vm, process) = spawn(&mut app, "robot.luau");
    let (other, _) = spawn(&mut app, "other.luau");
    for _ in 0..50 {
        app.update();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(exists(&app, process) && ended(&app).processes.is_empty());
    let error = change(&mut app, &dir, "robot.luau", "print('two'").unwrap_err();
    assert!(error.starts_with("robot.luau:1: "), "{error}");
    let (late, _) = spawn(&mut app, "robot.luau");
    ticks(&mut app, 3);
    dir.insert_asset_text(Path::new("robot.luau"), "print('three')");
    app.world().resource::<AssetServer>().reload("robot.luau");
    update_until(&mut app, |app| ended(app).processes.len() == 2);
    assert_eq!((console(&app, vm).as_str(), console(&app, late).as_str()), ("three\n", "three\n"));
    assert!(!exists(&app, process));
    // A module that was missing.
    dir.insert_asset_text(Path::new("gone.luau"), "return print('there')");
    app.world().resource::<AssetServer>().reload("other.luau");
    update_until(&mut app, |app| ended(app).processes.len() == 3);
    assert_eq!(console(&app, other), "there\n");
    assert!(matches!(&ended(&app).processes[2].outcome, Outcome::Failed(_)), "it returns nothing");
}
