//! The world during a phase in which scripts run: what they may ask of it.

use bevy::prelude::*;
use bevy::reflect::TypeRegistry;

use super::access::EcsAccess;
use super::change::{Change, Prepared};
use super::field::Field;
use super::fields::{Fields, Found, RESOLVED};
use super::into_value::{Budget, value_of};
use crate::luau::CallArguments;
use crate::luau::world::{WorldChange, WorldResults};
use crate::value::{Column, Value};

/// Entities that are read or changed in one call.
pub(super) const MAX_ENTITIES: usize = 16 * 1024;

/// What it takes to move an entity between archetypes, in safepoints.
const MOVED: u64 = 32;

/// See the [module](self). Nobody changes the world as long as this is there.
pub(super) struct WorldView<'w> {
    pub(super) world: &'w World,
    pub(super) registry: &'w TypeRegistry,
    pub(super) fields: &'w Fields,
}

/// A call of a script whose VM has access.
pub(super) struct AccessCall<'c> {
    pub(super) vm: Entity,
    pub(super) access: &'c EcsAccess,
    pub(super) arguments: &'c CallArguments<'c>,
}

pub(super) type Answer = Result<WorldResults, String>;

pub(super) fn one(value: Value) -> Answer {
    Ok(WorldResults::One(value))
}

impl<'w> WorldView<'w> {
    /// The entity that is an argument, if it is there and the VM reaches it.
    fn entity(&self, call: &AccessCall<'_>, position: u32) -> Result<Option<EntityRef<'w>>, String> {
        let Some(entity) = call.arguments.entity(position) else {
            return Err(format!("argument {position}: expected entity"));
        };
        self.reached(call, entity)
    }

    /// An entity, if it is there.
    ///
    /// # Errors
    ///
    /// When the VM does not reach it.
    #[inline]
    fn reached(&self, call: &AccessCall<'_>, entity: Entity) -> Result<Option<EntityRef<'w>>, String> {
        let Ok(found) = self.world.get_entity(entity) else { return Ok(None) };
        if !call.access.reaches(self.world, call.vm, found) {
            return Err(format!("this VM does not reach entity {entity}: see `EcsAccess`"));
        }
        Ok(Some(found))
    }

    /// The field that an argument names, which may be read.
    #[inline]
    fn field(&self, call: &AccessCall<'_>, position: u32) -> Result<Found<'w>, String> {
        let found = call.arguments.with_bytes(position, |name| self.find(call, name));
        let field = found.ok_or_else(|| {
            format!("argument {position}: expected a type, with a path or without: \"Transform.translation\"")
        })??;
        self.may_read(call, &field)?;
        Ok(field)
    }

    /// The field with a name, whoever may read it.
    #[inline]
    pub(super) fn find(&self, call: &AccessCall<'_>, name: &[u8]) -> Result<Found<'w>, String> {
        let found = self.fields.find(name, self.registry);
        if !matches!(found, Ok(Found::Kept(..))) {
            call.arguments.charge(RESOLVED);
        }
        found
    }

    pub(super) fn may_read(&self, call: &AccessCall<'_>, field: &Field) -> Result<(), String> {
        match call.access.may_read(field.type_id) {
            true => Ok(()),
            false => Err(format!(
                "this VM may not read `{0}`: `EcsAccess::read::<{0}>` grants it",
                field.type_name()
            )),
        }
    }

    fn may_write(&self, call: &AccessCall<'_>, field: &Field) -> Result<(), String> {
        match call.access.may_write(field.type_id) {
            true => Ok(()),
            false => Err(format!(
                "this VM may not write `{0}`: `EcsAccess::write::<{0}>` grants it",
                field.type_name()
            )),
        }
    }

    /// `ecs.get(entity, path)`: nil if the entity is gone, or has no such component.
    #[inline]
    pub(super) fn get(&self, call: &AccessCall<'_>) -> Answer {
        let field = self.field(call, 2)?;
        let Some(entity) = self.entity(call, 1)? else { return one(Value::Nil) };
        self.read(call, entity, &field)
    }

    #[inline]
    fn read(&self, call: &AccessCall<'_>, entity: EntityRef<'_>, field: &Field) -> Answer {
        let mut budget = Budget::new();
        let value = match field.of(entity) {
            Some(found) => value_of(found?, field.leaf, &mut budget),
            None => Ok(Value::Nil),
        };
        call.arguments.charge(budget.cost());
        one(value?)
    }

    /// `ecs.set(entity, path, value)`, or with two arrays: whether all entities are there. What is set is there in the
    /// next tick.
    #[inline]
    pub(super) fn set(&self, call: &AccessCall<'_>, changes: &mut Vec<WorldChange>) -> Answer {
        let field = self.field(call, 2)?;
        self.may_write(call, &field)?;
        if call.arguments.is_table(1) {
            return self.set_column(call, field, changes);
        }
        let Some(entity) = self.entity(call, 1)? else { return one(false.into()) };
        let value = call.arguments.get(3)?;
        self.change(entity, &field, value, changes)?;
        one(true.into())
    }

    /// `ecs.set` of many entities.
    fn set_column(&self, call: &AccessCall<'_>, field: Found<'w>, changes: &mut Vec<WorldChange>) -> Answer {
        let wrong = |position| move |why| format!("argument {position}: {why}");
        let Column::Entities(entities) = call.arguments.column(1, MAX_ENTITIES).map_err(wrong(1))? else {
            return Err("argument 1: expected an array of entities".to_owned());
        };
        let values = call.arguments.column(3, MAX_ENTITIES).map_err(wrong(3))?;
        if entities.len() != values.len() {
            return Err(format!("{} values for {} entities", values.len(), entities.len()));
        }
        // All or nothing: what is wrong with one keeps the others from being changed, too.
        let (before, mut all_there) = (changes.len(), true);
        // What is done after the slices is paid for, too.
        call.arguments.charge(3 * entities.len() as u64);
        for (entity, value) in entities.into_iter().zip(values.into_iter()) {
            let change = self.reached(call, entity).and_then(|found| match found {
                Some(found) => self.change(found, &field, value, changes).map(|()| true),
                None => Ok(false),
            });
            match change {
                Ok(is_there) => all_there &= is_there,
                Err(why) => {
                    changes.truncate(before);
                    return Err(why);
                }
            }
        }
        one(all_there.into())
    }

    /// Has a field of an entity changed, if the value fits.
    #[inline]
    fn change(
        &self,
        entity: EntityRef<'_>,
        field: &Found<'_>,
        value: Value,
        changes: &mut Vec<WorldChange>,
    ) -> Result<(), String> {
        let Some(current) = field.of(entity) else {
            return Err(format!(
                "entity {} has no `{}`: `ecs.insert` adds it",
                entity.id(),
                field.type_name()
            ));
        };
        if !field.is_mutable(self.world) {
            return Err(format!("`{}` cannot be changed: `ecs.insert` replaces it", field.type_name()));
        }
        let prepared = Prepared::new(field, current?, value, self.registry)?;
        changes.push(match (field, prepared) {
            (Found::Kept(number, _), Prepared::Simple(value)) => {
                WorldChange::Field { field: *number, entity: entity.id(), value }
            }
            (field, prepared) => {
                let field = self.shared(field);
                WorldChange::Other(Box::new(Change::Field { field, entity: entity.id(), value: prepared }))
            }
        });
        Ok(())
    }

    /// `ecs.insert(entity, type, value?)`: adds a component, or replaces it.
    pub(super) fn insert(&self, call: &AccessCall<'_>, changes: &mut Vec<WorldChange>) -> Answer {
        call.arguments.charge(MOVED);
        let field = self.whole(call)?;
        let Some(entity) = self.entity(call, 1)? else { return one(false.into()) };
        let value = call.arguments.get(3)?;
        let component = Prepared::component(&field, value, self.registry)?;
        let change = Change::Insert { field: self.shared(&field), entity: entity.id(), component };
        changes.push(WorldChange::Other(Box::new(change)));
        one(true.into())
    }

    /// `ecs.remove(entity, type)`: whether it was there.
    pub(super) fn remove(&self, call: &AccessCall<'_>, changes: &mut Vec<WorldChange>) -> Answer {
        call.arguments.charge(MOVED);
        let field = self.whole(call)?;
        let entity = self.entity(call, 1)?.filter(|entity| entity.contains_type_id(field.type_id));
        let Some(entity) = entity else { return one(false.into()) };
        let change = Change::Remove { field: self.shared(&field), entity: entity.id() };
        changes.push(WorldChange::Other(Box::new(change)));
        one(true.into())
    }

    /// A type that is an argument and may be written.
    fn whole(&self, call: &AccessCall<'_>) -> Result<Found<'w>, String> {
        let field = self.field(call, 2)?;
        self.may_write(call, &field)?;
        match field.is_whole() {
            true => Ok(field),
            false => Err(format!("`{}` is a part of a component; expected a type", field.name)),
        }
    }

    /// `ecs.despawn(entity)`: whether it was there.
    pub(super) fn despawn(&self, call: &AccessCall<'_>, changes: &mut Vec<WorldChange>) -> Answer {
        call.arguments.charge(MOVED);
        if !call.access.may_despawn() {
            return Err("this VM may not despawn: `EcsAccess::despawn` grants it".to_owned());
        }
        let Some(entity) = self.entity(call, 1)? else { return one(false.into()) };
        if entity.id() == call.vm {
            return Err("a VM cannot despawn itself: `process.exit` ends a process".to_owned());
        }
        if entity.contains::<bevy::ecs::resource::IsResource>() {
            return Err(format!("entity {} is a resource, which cannot be despawned", entity.id()));
        }
        changes.push(WorldChange::Other(Box::new(Change::Despawn(entity.id()))));
        one(true.into())
    }

    /// `ecs.exists(entity)`: whether it is there, and the VM reaches it.
    pub(super) fn exists(&self, call: &AccessCall<'_>) -> Answer {
        let Some(entity) = call.arguments.entity(1) else {
            return Err("argument 1: expected entity".to_owned());
        };
        one(self.reached(call, entity).is_ok_and(|entity| entity.is_some()).into())
    }

    /// `ecs.resource(path)`: nil if there is no such resource.
    pub(super) fn resource(&self, call: &AccessCall<'_>) -> Answer {
        let field = self.field(call, 1)?;
        match self.resource_entity(&field) {
            Some(entity) => self.read(call, entity, &field),
            None => one(Value::Nil),
        }
    }

    /// `ecs.set_resource(path, value)`: whether there is such a resource.
    pub(super) fn set_resource(&self, call: &AccessCall<'_>, changes: &mut Vec<WorldChange>) -> Answer {
        let field = self.field(call, 1)?;
        self.may_write(call, &field)?;
        let Some(entity) = self.resource_entity(&field) else { return one(false.into()) };
        let value = call.arguments.get(2)?;
        self.change(entity, &field, value, changes)?;
        one(true.into())
    }

    /// Resources are components of entities of their own.
    fn resource_entity(&self, field: &Field) -> Option<EntityRef<'w>> {
        let entity = self.world.resource_entities().get(field.component(self.world)?)?;
        self.world.get_entity(entity).ok()
    }

    fn shared(&self, field: &Found<'_>) -> std::sync::Arc<Field> {
        match field {
            Found::Kept(number, _) => self.fields.get(*number).cloned().expect("it was found there"),
            Found::New(field) => field.clone(),
        }
    }
}
