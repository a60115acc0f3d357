//! What inspectors and Bevy's remote protocol see of VMs and processes.

use std::any::TypeId;

use bevy::ecs::reflect::{AppTypeRegistry, ReflectComponent, ReflectResource};
use bevy::prelude::*;
use bevy::reflect::serde::{ReflectDeserializer, TypedReflectDeserializer, TypedReflectSerializer};
use bevy::reflect::{GetPath, PartialReflect, ReflectRef, TypeRegistry};
use bevy_luau_os::Metrics;
use bevy_luau_os::prelude::*;
use serde::de::DeserializeSeed;
use serde_json::{Value, json};

use crate::common::{self, process, ticks, vm};

/// The components of an entity as an inspector walks them, by type.
fn seen(app: &App, entity: Entity) -> serde_json::Map<String, Value> {
    let registry = app.world().resource::<AppTypeRegistry>().read();
    let entity = app.world().entity(entity);
    let reflected = registry.iter().filter_map(|registration| {
        let component = registration.data::<ReflectComponent>()?.reflect(entity)?;
        Some((registration.type_info().type_path_table().short_path(), walk(component.as_partial_reflect())))
    });
    reflected.map(|(path, value)| (path.to_owned(), value)).collect()
}

/// Everything in a value that reflection reaches.
fn walk(value: &dyn PartialReflect) -> Value {
    match value.reflect_ref() {
        ReflectRef::Struct(it) => (0..it.field_len())
            .map(|i| (it.name_at(i).unwrap().to_owned(), walk(it.field_at(i).unwrap())))
            .collect(),
        ReflectRef::TupleStruct(it) => walk(it.field(0).expect("all of ours have one")),
        ReflectRef::List(it) => it.iter().map(walk).collect(),
        ReflectRef::Enum(it) => match (it.variant_name(), it.field_at(0)) {
            ("None", _) => Value::Null,
            (name, None) => name.into(),
            (_, Some(field)) => walk(field),
        },
        _ => {
            let text = format!("{value:?}");
            serde_json::from_str(&text).unwrap_or(text.into())
        }
    }
}

/// A value as a remote client gets it.
fn to_json(value: &dyn Reflect, registry: &TypeRegistry) -> Value {
    let serializer = TypedReflectSerializer::new(value.as_partial_reflect(), registry);
    serde_json::to_value(serializer).expect("it serializes")
}

fn component(app: &App, type_id: TypeId) -> ReflectComponent {
    let registry = app.world().resource::<AppTypeRegistry>().read();
    registry.get_type_data::<ReflectComponent>(type_id).expect("it is a component").clone()
}

/// Inserts a component as a remote client does.
fn insert<C: Component>(app: &mut App, entity: Entity, json: Value) {
    let registry = app.world().resource::<AppTypeRegistry>().clone();
    let registry = registry.read();
    let registration = registry.get(TypeId::of::<C>()).expect("it is registered");
    let value: Box<dyn PartialReflect> =
        TypedReflectDeserializer::new(registration, &registry).deserialize(json).expect("it deserializes");
    let component = registration.data::<ReflectComponent>().expect("it is a component");
    component.insert(&mut app.world_mut().entity_mut(entity), &*value, &registry);
}

#[test]
fn a_vm_and_its_processes_are_seen() {
    let mut app = common::app();
    let vm =
        app.world_mut().spawn((Vm::persistent(), VmLimits::from(Limits { processes: 3, ..default() }))).id();
    let one = process(&mut app, vm, "print('hello') while true do end");
    let two = app
        .world_mut()
        .spawn((Process::new(Script::new("two", "task.wait(9)")), ProcessOf(vm), Priority(2.0)))
        .id();
    let new = app.world_mut().spawn(Process::new(Script::new("new", ""))).id();
    ticks(&mut app, 3);

    let text = |entity: Entity| format!("{entity:?}");
    let seen_vm = seen(&app, vm);
    assert_eq!(seen_vm["Vm"], json!({ "persistent": true }));
    assert_eq!(seen_vm["VmLimits"]["processes"], json!(3));
    assert_eq!(seen_vm["VmLimits"]["memory_bytes"], json!(8 << 20));
    assert_eq!(seen_vm["VmConsole"], json!({ "text": "hello\n", "dropped_bytes": 0 }));
    assert_eq!(seen_vm["Processes"], json!([text(one), text(two)]));
    assert_eq!(seen(&app, one)["Process"]["pid"], json!(1));
    assert_eq!(seen(&app, two)["Process"]["pid"], json!(2));
    assert_eq!(seen(&app, two)["ProcessOf"], json!(text(vm)));
    assert_eq!(seen(&app, two)["Priority"], json!(2.0));
    assert_eq!(seen(&app, new)["Process"]["pid"], Value::Null);

    let registry = app.world().resource::<AppTypeRegistry>().read();
    let as_text = |entity: Entity| to_json(app.world().get::<Process>(entity).expect("spawned"), &registry);
    assert_eq!(as_text(one), json!({ "program": "test", "pid": 1 }));
    assert_eq!(as_text(new), json!({ "program": "new", "pid": null }));
    assert_eq!(to_json(app.world().get::<VmLimits>(vm).expect("spawned"), &registry)["processes"], json!(3));
}

#[test]
fn the_fields_of_limits_are_reached_by_their_paths() {
    let limits = VmLimits::from(Limits { coroutines: 7, ..default() });
    assert_eq!(limits.path::<u32>("coroutines").expect("it has one"), &7);
    assert!(limits.reflect_partial_eq(&Limits { coroutines: 7, ..default() }) == Some(true));
}

#[test]
fn resources_are_seen_and_the_budget_can_be_set() {
    let mut app = common::app();
    let vm = vm(&mut app);
    process(&mut app, vm, "while true do end");
    ticks(&mut app, 3);
    let registry = app.world().resource::<AppTypeRegistry>().clone();
    let registry = registry.read();
    for type_id in [TypeId::of::<Metrics>(), TypeId::of::<LuauRuntime>()] {
        assert!(registry.get_type_data::<ReflectResource>(type_id).is_some());
    }
    let metrics = to_json(app.world().resource::<Metrics>(), &registry);
    assert_eq!((&metrics["processes_created"], &metrics["ticks"]), (&json!(1), &json!(2)));
    assert_eq!(to_json(app.world().resource::<LuauRuntime>(), &registry), json!({ "budget": "Unlimited" }));
    let mut runtime = app.world_mut().resource_mut::<LuauRuntime>();
    *runtime.path_mut::<TickBudget>("budget").expect("it has one") = TickBudget::Auto;
    assert_eq!(runtime.budget(), TickBudget::Auto);
}

#[test]
fn a_remote_client_can_make_vms_and_set_their_limits() {
    let mut app = common::app();
    let vm = app.world_mut().spawn_empty().id();
    insert::<Vm>(&mut app, vm, json!({ "persistent": true }));
    process(&mut app, vm, "for i = 1, 9 do pcall(process.spawn, 'task.wait(9)') end while true do end");
    insert::<VmLimits>(&mut app, vm, json!({ "processes": 2 }));
    let limits = app.world().get::<VmLimits>(vm).expect("inserted");
    assert_eq!((limits.processes, limits.memory_bytes), (2, 8 << 20), "what is not named has its default");
    ticks(&mut app, 20);
    assert!(app.world().get::<Vm>(vm).is_some_and(Vm::is_persistent));
    assert_eq!(app.world().get::<Processes>(vm).map(|it| it.len()), Some(2));
}

#[test]
fn what_reflection_cannot_make_is_refused_without_a_panic() {
    let mut app = common::app();
    let entity = app.world_mut().spawn_empty().id();
    insert::<Process>(&mut app, entity, json!({ "pid": 5 }));
    assert!(app.world().get::<Process>(entity).is_none());
    insert::<LuauRuntime>(&mut app, entity, json!({ "budget": "Auto" }));
    assert!(app.world().get_resource::<LuauRuntime>().is_some());
    let registry = app.world().resource::<AppTypeRegistry>().clone();
    let registry = registry.read();
    let with_source = json!({ "bevy_luau_os::process::Process": { "program": "while true do end" } });
    let refused = ReflectDeserializer::new(&registry).deserialize(with_source);
    assert!(refused.is_err(), "a program is not made from text");
}

#[test]
fn a_copy_by_reflection_is_a_new_process() {
    let mut app = common::app();
    let vm = vm(&mut app);
    let script = Script::new("counted", "return");
    let original = app.world_mut().spawn((Process::new(script).with_name("original"), ProcessOf(vm))).id();
    let copy = app.world_mut().spawn(ProcessOf(vm)).id();
    let reflected = component(&app, TypeId::of::<Process>());
    let value = app.world().get::<Process>(original).expect("spawned").to_dynamic();
    let registry = app.world().resource::<AppTypeRegistry>().clone();
    reflected.insert(&mut app.world_mut().entity_mut(copy), &*value, &registry.read());
    let exits = common::until_ended(&mut app, 2);
    assert_eq!([&*exits[0].name, &*exits[1].name], ["original", "counted"]);
}
