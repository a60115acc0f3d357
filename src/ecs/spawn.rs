//! `ecs.spawn` and `ecs.watch`: what scripts wait for.

use bevy::prelude::*;
use bevy::reflect::TypeRegistry;

use super::access::{EcsAccess, SpawnedBy, SpawnedEntities};
use super::change::Prepared;
use super::field::Field;
use super::into_value::{Budget, value_of};
use crate::api::{ReplyTo, Syscall, SyscallAppExt};
use crate::runtime::LuauRuntime;
use crate::value::{EntityValue, Value};

/// Components of a new entity.
const MAX_COMPONENTS: usize = 64;

/// What scripts wait for the change of.
#[derive(Resource, Default)]
struct Watches(Vec<Watch>);

struct Watch {
    entity: Entity,
    field: Field,
    /// What they know.
    value: Value,
    /// When that was looked at.
    since: bevy::ecs::change_detection::Tick,
    until: Option<std::time::Duration>,
    reply_to: ReplyTo<Value>,
}

pub(super) fn build(app: &mut App) {
    app.init_resource::<Watches>().add_syscall("ecs.spawn", spawn).add_syscall("ecs.watch", watch);
}

/// `ecs.spawn({ Type = value })`: the entity, in the next tick.
fn spawn(In(calls): In<Vec<Syscall<(Value,), EntityValue>>>, world: &mut World) {
    let registry = world.resource::<AppTypeRegistry>().clone();
    let registry = registry.read();
    for call in calls {
        match spawn_one(world, &registry, call.vm, &call.args.0) {
            Ok(entity) => call.reply(EntityValue(entity)),
            Err(why) => call.fail(why),
        }
    }
}

fn spawn_one(
    world: &mut World,
    registry: &TypeRegistry,
    vm: Entity,
    components: &Value,
) -> Result<Entity, String> {
    let access = world.get::<EcsAccess>(vm).filter(|access| access.max_spawned() > 0);
    let access = access.ok_or("this VM may not spawn: `EcsAccess::spawn` grants it")?;
    let spawned = world.get::<SpawnedEntities>(vm).map_or(0, |spawned| spawned.len());
    if spawned >= access.max_spawned() {
        return Err(format!("this VM has spawned {spawned} entities, of {}", access.max_spawned()));
    }
    let components = match components {
        Value::Nil => &[][..],
        Value::Table(components) => components,
        _ => return Err("argument 1: expected table of components by type".to_owned()),
    };
    if components.len() > MAX_COMPONENTS {
        return Err(format!("{} components; there may be {MAX_COMPONENTS}", components.len()));
    }
    let mut made = Vec::with_capacity(components.len());
    for (name, value) in components {
        // A list names types that are as their default.
        let (name, value) = match (name.as_f64(), value.as_str()) {
            (Some(_), Some(name)) => (name, Value::Nil),
            _ => (name.as_str().unwrap_or_default(), value.clone()),
        };
        let field = Field::resolve(name, registry)?;
        if !field.is_whole() || !access.may_write(field.type_id) {
            return Err(format!("this VM may not write `{name}`: `EcsAccess::write::<{name}>` grants it"));
        }
        made.push((Prepared::component(&field, value, registry)?, field));
    }
    // The order of a table is not the same in each run.
    made.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    let mut entity = world.spawn(SpawnedBy(vm));
    for (component, field) in made {
        field.reflect.insert(&mut entity, component.as_partial_reflect(), registry);
    }
    Ok(entity.id())
}

/// `ecs.watch(entity, path, seconds?)`: the value of a field as soon as it is another; nil if the entity or the component
/// goes, or when the time has passed.
fn watch(In(calls): In<Vec<Syscall<(EntityValue, String, Option<f64>), Value>>>, world: &mut World) {
    let registry = world.resource::<AppTypeRegistry>().clone();
    let now = world.resource::<LuauRuntime>().now;
    for call in calls {
        let (EntityValue(entity), path, seconds) = call.args;
        let until =
            seconds.map(|seconds| now + std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default());
        match begin(world, &registry.read(), call.vm, entity, &path) {
            Ok(Some((field, value))) => {
                let since = world.change_tick();
                let watch = Watch { entity, field, value, since, until, reply_to: call.reply_to };
                world.resource_mut::<Watches>().0.push(watch);
            }
            Ok(None) => call.reply_to.reply(Value::Nil),
            Err(why) => call.reply_to.fail(why),
        }
    }
}

fn begin(
    world: &World,
    registry: &TypeRegistry,
    vm: Entity,
    entity: Entity,
    path: &str,
) -> Result<Option<(Field, Value)>, String> {
    let field = Field::resolve(path, registry)?;
    let access = world.get::<EcsAccess>(vm).filter(|access| access.may_read(field.type_id));
    let access = access.ok_or_else(|| {
        format!("this VM may not read `{0}`: `EcsAccess::read::<{0}>` grants it", field.type_name())
    })?;
    let Ok(found) = world.get_entity(entity) else { return Ok(None) };
    if !access.reaches(world, vm, found) {
        return Err(format!("this VM does not reach entity {entity}: see `EcsAccess`"));
    }
    let Some(value) = field.of(found) else { return Ok(None) };
    let value = value_of(value?, field.leaf, &mut Budget::new())?;
    Ok(Some((field, value)))
}

/// Answers those whose field is another now.
pub(super) fn look_at_watches(world: &mut World) {
    if world.resource::<Watches>().0.is_empty() {
        return;
    }
    let watches = std::mem::take(&mut world.resource_mut::<Watches>().0);
    let (now, tick) = (world.resource::<LuauRuntime>().now, world.change_tick());
    let mut kept = Vec::new();
    for mut watch in watches {
        match look(world, &mut watch, tick) {
            Ok(None) if watch.until.is_some_and(|until| until <= now) => watch.reply_to.reply(Value::Nil),
            Ok(None) => kept.push(watch),
            Ok(Some(value)) => watch.reply_to.reply(value),
            Err(why) => watch.reply_to.fail(why),
        }
    }
    world.resource_mut::<Watches>().0 = kept;
}

/// What the field is, if that is not what it was.
fn look(
    world: &World,
    watch: &mut Watch,
    tick: bevy::ecs::change_detection::Tick,
) -> Result<Option<Value>, String> {
    let entity = world.get_entity(watch.entity).ok();
    let ticks = entity.zip(watch.field.component(world));
    let ticks = ticks.and_then(|(entity, component)| entity.get_change_ticks_by_id(component));
    let (Some(entity), Some(ticks)) = (entity, ticks) else { return Ok(Some(Value::Nil)) };
    if !ticks.is_changed(watch.since, tick) {
        return Ok(None);
    }
    watch.since = tick;
    let Some(value) = watch.field.of(entity) else { return Ok(Some(Value::Nil)) };
    let value = value_of(value?, watch.field.leaf, &mut Budget::new())?;
    Ok((value != watch.value).then_some(value))
}
