//! What scripts change in the world, and when.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use super::{Badge, Enemy, Health, Weather, all_types, app, run, vm};
use crate::common;

fn health(app: &App, entity: Entity) -> f32 {
    app.world().get::<Health>(entity).map_or(f32::NAN, |health| health.current)
}

#[test]
fn what_is_set_is_there_in_the_next_tick() {
    let mut app = app();
    let vm = vm(&mut app, all_types().own());
    app.world_mut().entity_mut(vm).insert(Transform::from_xyz(1.0, 2.0, 3.0));
    let script = "
        local me = ecs.own()
        local old = ecs.get(me, 'Transform.translation')
        assert(ecs.set(me, 'Transform.translation', old + vector.create(1, 0, 0)))
        assert(ecs.set(me, 'Transform.scale.y', 5))
        local same = ecs.get(me, 'Transform.translation') == old
        task.wait()
        local new = ecs.get(me, 'Transform.translation')
        return same, new, ecs.get(me, 'Transform').scale
    ";
    assert_eq!(run(&mut app, vm, script), "true 2, 2, 3 1, 5, 1");
    let transform = app.world().get::<Transform>(vm).copied();
    let expected = Transform::from_xyz(2.0, 2.0, 3.0).with_scale(Vec3::new(1.0, 5.0, 1.0));
    assert_eq!(transform, Some(expected));
}

#[test]
fn a_value_that_is_the_same_is_no_change() {
    let mut app = app();
    let vm = vm(&mut app, all_types().own());
    app.world_mut().entity_mut(vm).insert((Health { current: 3.0, ..default() }, Transform::default()));
    app.update();
    app.world_mut().increment_change_tick();
    let before = app.world().entity(vm).get_change_ticks::<Health>().expect("it has some");
    run(&mut app, vm, "ecs.set(ecs.own(), 'Health.current', 3) ecs.set(ecs.own(), 'Health', { max = 0 })");
    app.update();
    assert_eq!(
        app.world().entity(vm).get_change_ticks::<Health>().map(|ticks| ticks.changed),
        Some(before.changed)
    );
    run(&mut app, vm, "ecs.set(ecs.own(), 'Health', { max = 9 })");
    app.update();
    assert_ne!(
        app.world().entity(vm).get_change_ticks::<Health>().map(|ticks| ticks.changed),
        Some(before.changed)
    );
}

#[test]
fn what_does_not_fit_is_an_error_at_the_call_and_changes_nothing() {
    let mut app = app();
    let vm = vm(&mut app, all_types().own());
    app.world_mut().entity_mut(vm).insert((Health { current: 3.0, max: 5, history: vec![1] }, Badge(1)));
    let before = app.world().get::<Health>(vm).cloned();
    for (call, expected) in [
        ("ecs.set(me, 'Health.current', 'x')", "`Health.current`: expected number, got string"),
        ("ecs.set(me, 'Health.max', 300)", "`Health.max`: expected integer that is not negative, got 300"),
        (
            "ecs.set(me, 'Health', { current = 1, maximum = 2 })",
            "there is no field \"maximum\", but current, max, history",
        ),
        ("ecs.set(me, 'Health.history[7]', 2)", "`Health.history[7]`"),
        ("ecs.set(me, 'Transform.scale.x', 2)", "has no `Transform`: `ecs.insert` adds it"),
        ("ecs.set(me, 'Badge', 2)", "`Badge` cannot be changed: `ecs.insert` replaces it"),
        ("ecs.insert(me, 'Badge')", "`Badge`: it has no `#[reflect(Default)]`: pass its value"),
        ("ecs.insert(me, 'Health.max', 1)", "`Health.max` is a part of a component"),
        ("ecs.set({ me }, 'Health.max', { 1, 2 })", "2 values for 1 entities"),
        (
            "ecs.set({ me, me }, 'Health.max', { 1, 'x' })",
            "expected integer that is not negative, got string",
        ),
        ("ecs.set({ 1 }, 'Health.max', { 1 })", "argument 1: expected an array of entities"),
        ("ecs.set(7, 'Health.max', 1)", "argument 1: expected entity"),
        ("ecs.despawn(me)", "may not despawn"),
    ] {
        let error = run(&mut app, vm, &format!("local me = ecs.own() return {call}"));
        assert!(error.contains(expected), "{call}: {error}");
    }
    app.update();
    assert_eq!(app.world().get::<Health>(vm).cloned(), before);
}

#[test]
fn components_come_and_go() {
    let mut app = app();
    let vm = vm(&mut app, all_types().own());
    let script = "
        local me = ecs.own()
        ecs.insert(me, 'Health', { current = 4, history = { 1, 2 } })
        ecs.insert(me, 'Enemy')
        ecs.insert(me, 'Badge', 7)
        task.wait()
        local badge = ecs.get(me, 'Badge')
        return ecs.get(me, 'Health.history[1]'), badge, ecs.remove(me, 'Enemy'), ecs.remove(me, 'Transform')
    ";
    assert_eq!(run(&mut app, vm, script), "2 7 true false");
    let entity = app.world().entity(vm);
    assert!(!entity.contains::<Enemy>());
    assert_eq!(entity.get::<Health>(), Some(&Health { current: 4.0, max: 0, history: vec![1, 2] }));
}

#[test]
fn a_script_spawns_what_its_vm_owns() {
    let mut app = app();
    let vm = app.world_mut().spawn((Vm::new(), all_types().own().spawn(2).despawn())).id();
    let script = "
        local a = ecs.spawn({ Health = { current = 1 }, Enemy = {} })
        local b = ecs.spawn({ 'Transform' })
        local is_spawned, why = pcall(ecs.spawn, { 'Transform' })
        assert(not is_spawned and string.find(why, 'this VM has spawned 2 entities, of 2'), why)
        ecs.set(a, 'Health.current', 5)
        ecs.despawn(b)
        local seen = ecs.exists(b)
        task.wait()
        ecs.set(b, 'Transform.scale.x', 1) -- it is gone
        assert(not ecs.exists(b) and ecs.get(b, 'Transform') == nil and not ecs.despawn(b))
        return seen, ecs.get(a, 'Health.current'), #ecs.query({}, { with = 'Enemy' })
    ";
    let process = common::process(&mut app, vm, script);
    common::ticks(&mut app, 4);
    let enemies =
        |app: &mut App| app.world_mut().query_filtered::<(), With<Enemy>>().iter(app.world()).count();
    assert_eq!(enemies(&mut app), 1);
    common::ticks(&mut app, 3);
    let values = match common::exit(&app, process).map(|exit| &exit.outcome) {
        Some(Outcome::Finished(values)) => values.iter().map(ToString::to_string).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(values, ["true", "5", "1"]);
    assert_eq!(enemies(&mut app), 0, "it went with its VM");
}

#[test]
fn resources_are_read_and_changed() {
    let mut app = app();
    let vm = vm(&mut app, all_types());
    let script = "
        local rain = ecs.resource('Weather.rain')
        ecs.set_resource('Weather', { rain = rain + 1 })
        return rain, ecs.resource('Health'), ecs.set_resource('Health.current', 1)
    ";
    assert_eq!(run(&mut app, vm, script), "0.5 nil false");
    app.update();
    assert_eq!(app.world().resource::<Weather>(), &Weather { rain: 1.5 });
}

#[test]
fn a_watch_ends_when_the_field_is_another() {
    let mut app = app();
    let vm = vm(&mut app, all_types().own());
    app.world_mut().entity_mut(vm).insert(Health { current: 3.0, ..default() });
    let watching = common::process(&mut app, vm, "return ecs.watch(ecs.own(), 'Health.current')");
    let timed = common::process(&mut app, vm, "return ecs.watch(ecs.own(), 'Health.max', 0.05)");
    common::ticks(&mut app, 2);
    app.world_mut().get_mut::<Health>(vm).expect("it has one").history.push(1);
    common::ticks(&mut app, 6);
    assert!(common::exit(&app, watching).is_none(), "another field has changed");
    let ended = |app: &App, process| common::exit(app, process).map(|exit| exit.outcome.clone());
    assert_eq!(ended(&app, timed), Some(Outcome::Finished(vec![bevy_luau_os::Value::Nil])));
    app.world_mut().get_mut::<Health>(vm).expect("it has one").current = 8.0;
    common::ticks(&mut app, 3);
    assert_eq!(ended(&app, watching), Some(Outcome::Finished(vec![8.into()])));
}

#[test]
fn changes_are_made_in_an_order_that_does_not_change() {
    let run = || {
        let mut app = common::app_with(LuauOsPlugin { vms_per_isolate: 1, ..common::plugin() });
        app.register_type::<Health>();
        let shared = app.world_mut().spawn((Enemy, Health::default())).id();
        for i in 1..=8 {
            let vm = app.world_mut().spawn((Vm::new(), all_types().with::<Enemy>())).id();
            let script = format!("local e = ecs.query('Health') ecs.set(e[1], 'Health.current', {i})");
            common::process(&mut app, vm, &script);
        }
        common::until_ended(&mut app, 8);
        health(&app, shared)
    };
    assert_eq!([run(), run()], [8.0, 8.0], "the last VM was spawned last");
}
