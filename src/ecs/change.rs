//! What scripts change in the world: checked when they ask for it, done when no script runs.

use std::sync::Arc;

use bevy::prelude::*;
use bevy::reflect::std_traits::ReflectDefault;
use bevy::reflect::{ReflectFromReflect, ReflectMut, ReflectRef, TypeRegistry};

use super::field::{Field, Leaf};
use super::fields::Fields;
use super::from_value::reflect_of;
use crate::luau::world::WorldChange;
use crate::value::Value;

/// Changes that are more than a simple value in a known field.
pub(super) enum Change {
    Field { field: Arc<Field>, entity: Entity, value: Prepared },
    Insert { field: Arc<Field>, entity: Entity, component: Box<dyn Reflect> },
    Remove { field: Arc<Field>, entity: Entity },
    Despawn(Entity),
}

/// A value that fits its field.
pub(super) enum Prepared {
    /// Of one of the types that most fields have.
    Simple(Value),
    Reflected(Box<dyn PartialReflect>),
}

impl Prepared {
    /// A value for a field in which `current` is now.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    #[inline]
    pub(super) fn new(
        field: &Field,
        current: &dyn PartialReflect,
        value: Value,
        registry: &TypeRegistry,
    ) -> Result<Self, String> {
        match (field.leaf, &value) {
            (Leaf::Vec3, Value::Vector(_)) | (Leaf::F32, Value::Number(_)) => return Ok(Self::Simple(value)),
            _ => {}
        }
        let inside = |why| format!("`{}`: {why}", field.name);
        let info = field.info.or_else(|| current.get_represented_type_info());
        let info = info.ok_or_else(|| inside("its type is not known".to_owned()))?;
        let made = reflect_of(value, info, registry).map_err(inside)?;
        // What `apply` may refuse, it refuses here, and not in the middle of a tick.
        let mut trial = current.reflect_clone().map_err(|error| inside(error.to_string()))?;
        trial.try_apply(&*made).map_err(|error| inside(error.to_string()))?;
        Ok(Self::Reflected(made))
    }

    /// A whole component. What a value does not say is as in its `Default`.
    pub(super) fn component(
        field: &Field,
        value: Value,
        registry: &TypeRegistry,
    ) -> Result<Box<dyn Reflect>, String> {
        let inside = |why| format!("`{}`: {why}", field.name);
        let default = registry.get_type_data::<ReflectDefault>(field.type_id).map(ReflectDefault::default);
        if value == Value::Nil {
            return default
                .ok_or_else(|| inside("it has no `#[reflect(Default)]`: pass its value".to_owned()));
        }
        let info = field.info.ok_or_else(|| inside("its type is not known".to_owned()))?;
        let made = reflect_of(value, info, registry).map_err(inside)?;
        if let Some(mut component) = default {
            shorten(component.as_partial_reflect_mut(), &*made);
            component.try_apply(&*made).map_err(|error| inside(error.to_string()))?;
            return Ok(component);
        }
        let from_reflect = registry.get_type_data::<ReflectFromReflect>(field.type_id);
        let component = from_reflect.and_then(|from_reflect| from_reflect.from_reflect(&*made));
        component.ok_or_else(|| inside("fields are missing, and it has no `#[reflect(Default)]`".to_owned()))
    }
}

/// Makes the changes of a tick, in their order. What is gone in the meantime is left out.
pub(super) fn apply(
    world: &mut World,
    fields: &Fields,
    registry: &TypeRegistry,
    changes: impl Iterator<Item = WorldChange>,
) {
    for change in changes {
        match change {
            WorldChange::Field { field, entity, value } => {
                if let Some(field) = fields.get(field) {
                    set(world, field, entity, &Prepared::Simple(value));
                }
            }
            WorldChange::Other(change) => match change.downcast::<Change>().map(|change| *change) {
                Ok(Change::Field { field, entity, value }) => set(world, &field, entity, &value),
                Ok(Change::Insert { field, entity, component }) => {
                    if let Ok(mut entity) = world.get_entity_mut(entity) {
                        field.reflect.insert(&mut entity, component.as_partial_reflect(), registry);
                    }
                }
                Ok(Change::Remove { field, entity }) => {
                    if let Ok(mut entity) = world.get_entity_mut(entity) {
                        field.reflect.remove(&mut entity);
                    }
                }
                Ok(Change::Despawn(entity)) => _ = world.try_despawn(entity),
                Err(_) => {}
            },
        }
    }
}

/// Sets a field. It only counts as changed where it is.
#[inline]
fn set(world: &mut World, field: &Field, entity: Entity, value: &Prepared) {
    let Ok(mut entity) = world.get_entity_mut(entity) else { return };
    let Some(mut component) = field.reflect.reflect_mut(&mut entity) else { return };
    let inside = component.bypass_change_detection().as_partial_reflect_mut();
    let Ok(place) = field.of_mut(inside) else { return }; // a variant or an element that was there is not any more
    if put(place, value) {
        component.set_changed();
    }
}

/// Whether that changed anything.
#[inline]
fn put(place: &mut dyn PartialReflect, value: &Prepared) -> bool {
    match value {
        Prepared::Simple(Value::Vector(lanes)) => match place.try_downcast_mut::<Vec3>() {
            Some(vector) => replace(vector, Vec3::from_array(*lanes)),
            None => false,
        },
        Prepared::Simple(Value::Number(number)) => match place.try_downcast_mut::<f32>() {
            Some(place) => replace(place, *number as f32),
            None => false,
        },
        Prepared::Simple(_) => false,
        Prepared::Reflected(value) => {
            let before = place.reflect_clone();
            shorten(place, &**value);
            let is_done = place.try_apply(&**value).is_ok();
            let is_same = before.is_ok_and(|before| before.reflect_partial_eq(place) == Some(true));
            is_done && !is_same
        }
    }
}

/// Takes off what lists have too much: to apply a short list leaves the rest of a longer one.
fn shorten(place: &mut dyn PartialReflect, value: &dyn PartialReflect) {
    match (place.reflect_mut(), value.reflect_ref()) {
        (ReflectMut::List(place), ReflectRef::List(value)) => {
            while place.len() > value.len() {
                place.pop();
            }
            for (i, item) in value.iter().enumerate() {
                place.get_mut(i).into_iter().for_each(|place| shorten(place, item));
            }
        }
        (ReflectMut::Struct(place), ReflectRef::Struct(value)) => {
            for (name, field) in value.iter_fields() {
                place.field_mut(name).into_iter().for_each(|place| shorten(place, field));
            }
        }
        (ReflectMut::TupleStruct(place), ReflectRef::TupleStruct(value)) => {
            for (i, field) in value.iter_fields().enumerate() {
                place.field_mut(i).into_iter().for_each(|place| shorten(place, field));
            }
        }
        (ReflectMut::Enum(place), ReflectRef::Enum(value))
            if place.variant_name() == value.variant_name() =>
        {
            for (i, field) in value.iter_fields().enumerate() {
                let place = match value.name_at(i) {
                    Some(name) => place.field_mut(name),
                    None => place.field_at_mut(i),
                };
                place.into_iter().for_each(|place| shorten(place, field.value()));
            }
        }
        _ => {}
    }
}

fn replace<T: PartialEq>(place: &mut T, value: T) -> bool {
    let is_changed = *place != value;
    *place = value;
    is_changed
}
