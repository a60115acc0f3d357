//! What a VM may reach.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{EcsAccess, EntityValue};

use super::{Enemy, Health, all_types, app, run, vm};

/// An app whose scripts get the entity `other()`.
fn app_with_other(bundle: impl Bundle) -> (App, Entity) {
    let mut app = app();
    let other = app.world_mut().spawn((Health { current: 7.0, ..default() }, bundle)).id();
    app.add_syscall("other", move |In(calls): In<Vec<Syscall<(), EntityValue>>>| {
        calls.into_iter().for_each(|call| call.reply(EntityValue(other)));
    });
    (app, other)
}

#[test]
fn nothing_is_reached_by_default() {
    let mut app = app();
    let without = app.world_mut().spawn(Vm::persistent()).id();
    assert!(run(&mut app, without, "return ecs.own()").contains("no VM reaches anything"));
    let nothing = vm(&mut app, EcsAccess::new());
    assert!(run(&mut app, without, "return ecs.own()").contains("this VM reaches nothing"));
    let error = run(&mut app, nothing, "return ecs.get(ecs.own(), 'Transform')");
    assert!(
        error.ends_with("this VM may not read `Transform`: `EcsAccess::read::<Transform>` grants it"),
        "{error}"
    );
    let types = vm(&mut app, all_types());
    let error = run(&mut app, types, "return ecs.get(ecs.own(), 'Transform')");
    assert!(error.contains("this VM does not reach entity"), "{error}");
    for (call, expected) in [
        ("ecs.spawn({})", "may not spawn"),
        ("ecs.despawn(ecs.own())", "may not despawn"),
        ("#ecs.query({ 'Transform' })", "0"),
    ] {
        let found = run(&mut app, types, &format!("return {call}"));
        assert!(found.contains(expected), "{call}: {found}");
    }
}

#[test]
fn what_may_be_read_may_not_be_written() {
    let mut app = app();
    let vm = vm(&mut app, EcsAccess::new().read::<Health>().own());
    app.world_mut().entity_mut(vm).insert(Health { current: 3.0, ..default() });
    assert_eq!(run(&mut app, vm, "return ecs.get(ecs.own(), 'Health.current')"), "3");
    for call in
        ["set(ecs.own(), 'Health.current', 1)", "insert(ecs.own(), 'Health')", "remove(ecs.own(), 'Health')"]
    {
        let error = run(&mut app, vm, &format!("return ecs.{call}"));
        assert!(error.contains("this VM may not write `Health`"), "{error}");
    }
    app.update();
    assert_eq!(app.world().get::<Health>(vm).map(|health| health.current), Some(3.0));
}

#[test]
fn entities_are_granted_by_what_they_are_to_the_vm() {
    let script = "local is_read, value = pcall(ecs.get, other(), 'Health.current') return if is_read then value else 'no'";
    let found = |access: EcsAccess, make: fn(&mut World, Entity, Entity)| {
        let (mut app, other) = app_with_other(());
        let vm = vm(&mut app, access);
        make(app.world_mut(), vm, other);
        run(&mut app, vm, script)
    };
    let nothing: fn(&mut World, Entity, Entity) = |_, _, _| ();
    let grandchild: fn(&mut World, Entity, Entity) = |world, vm, other| {
        let child = world.spawn(ChildOf(vm)).id();
        world.entity_mut(other).insert(ChildOf(child));
    };
    let marked: fn(&mut World, Entity, Entity) = |world, _, other| _ = world.entity_mut(other).insert(Enemy);
    assert_eq!(found(all_types().own(), nothing), "\"no\"");
    assert_eq!(found(all_types().all(), nothing), "7");
    assert_eq!(found(all_types().children(), nothing), "\"no\"");
    assert_eq!(found(all_types().children(), grandchild), "7");
    assert_eq!(found(all_types().own(), grandchild), "\"no\"");
    assert_eq!(found(all_types().with::<Enemy>(), nothing), "\"no\"");
    assert_eq!(found(all_types().with::<Enemy>(), marked), "7");
}

#[test]
fn a_grant_is_looked_at_at_each_use() {
    let (mut app, other) = app_with_other(Enemy);
    let vm = vm(&mut app, all_types().with::<Enemy>());
    let script = "local e = other() local reached = {} for i = 1, 4 do reached[i] = ecs.exists(e) task.wait() end return reached";
    let process = crate::common::process(&mut app, vm, script);
    app.update();
    app.update();
    app.update();
    app.world_mut().entity_mut(other).remove::<Enemy>();
    app.update();
    app.world_mut().entity_mut(other).insert(Enemy);
    app.update();
    app.world_mut().despawn(other);
    crate::common::ticks(&mut app, 3);
    let Some(Outcome::Finished(values)) = crate::common::exit(&app, process).map(|exit| &exit.outcome) else {
        panic!("it has ended");
    };
    assert_eq!(values[0].clone().to::<Vec<bool>>(), Ok(vec![true, false, true, false]));
}

#[test]
fn all_functions_have_types() {
    let types = include_str!("../../../assets/scripts/luau_os.d.luau");
    let (_, types) = types.split_once("declare ecs: {\n").expect("they are there");
    let (types, _) = types.split_once("\n}\n").expect("they end");
    let names = types.lines().filter_map(|line| line.strip_prefix('\t')?.split_once(": ("));
    let mut names: Vec<&str> = names
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .collect();
    names.sort();
    let mut app = app();
    let vm = vm(&mut app, EcsAccess::new());
    let script = "local names = {} for name in ecs do names[#names + 1] = name end table.sort(names) return table.concat(names, ' ')";
    assert_eq!(run(&mut app, vm, script), format!("{:?}", names.join(" ")));
}

#[test]
fn what_a_vm_may_reach_has_types_for_editors() {
    use bevy_luau_os::EcsTypesExt;
    let app = app();
    let types = app.world().ecs_types(&EcsAccess::new().write::<Health>().read::<Name>().read::<Transform>());
    let health = "--- Health, read and written.\n--- - \"Health.current\"\n--- - \"Health.max\"\n--- - \"Health.history\"\n\
        export type Health = { current: number, max: number, history: { number } }\n";
    assert!(types.contains(health), "{types}");
    assert!(types.contains("--- Name, read.\nexport type Name = string\n"), "{types}");
    assert!(types.contains("export type Transform = { translation: vector, rotation: "), "{types}");
    assert!(!types.contains("Enemy"));
}
