//! Entities on their way through serde.
//!
//! Scripts cannot make entities, so nothing that they can write may be read as one. Between the game's types and
//! [`Value`] an entity is its bits as a `u128` with a mark above them, and no value of a script is a `u128`.

use std::fmt;

use bevy::ecs::entity::Entity;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use super::{Value, ValueError, exact};

const MARK: u128 = 0x6c75_6175_5f6f_7321 << 64;

/// An entity as an argument or a result of a function of the game. Scripts get an opaque value, and only such a value
/// is read as one.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::{EntityValue, Value};
/// let entity = Entity::from_raw_u32(7).unwrap();
/// assert_eq!(Value::of(&EntityValue(entity)), Ok(Value::Entity(entity)));
/// assert_eq!(Value::Entity(entity).to(), Ok(EntityValue(entity)));
/// assert!(Value::from(7).to::<EntityValue>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntityValue(pub Entity);

impl Serialize for EntityValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(exact::ENTITY, &self.0.to_bits())
    }
}

impl<'de> Deserialize<'de> for EntityValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bits;

        impl<'de> Visitor<'de> for Bits {
            type Value = EntityValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("entity")
            }

            /// From a [`Value`].
            fn visit_u128<E: Error>(self, number: u128) -> Result<EntityValue, E> {
                unmarked(number).map(EntityValue).ok_or_else(|| E::custom("expected entity, got number"))
            }

            /// From a format of the game's.
            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<EntityValue, D::Error> {
                let bits = u64::deserialize(deserializer)?;
                let entity = Entity::try_from_bits(bits).map(EntityValue);
                entity.ok_or_else(|| D::Error::custom(format_args!("{bits} are not the bits of an entity")))
            }
        }

        deserializer.deserialize_newtype_struct(exact::ENTITY, Bits)
    }
}

/// What an entity is between the game's types and a [`Value`].
pub(super) fn marked(entity: Entity) -> u128 {
    MARK | u128::from(entity.to_bits())
}

/// The entity that was [`marked`].
pub(super) fn unmarked(number: u128) -> Option<Entity> {
    let bits = u64::try_from(number ^ MARK).ok()?;
    Entity::try_from_bits(bits)
}

/// The entity whose bits an [`EntityValue`] writes.
pub(super) fn from_bits<T: Serialize + ?Sized>(bits: &T) -> Result<Value, ValueError> {
    let bits = serde_json::to_value(bits).ok().and_then(|bits| bits.as_u64());
    let entity = bits.and_then(Entity::try_from_bits).map(Value::Entity);
    entity.ok_or_else(|| ValueError::new("these are not the bits of an entity"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_passes_and_nothing_else_is_one() {
        let entity = Entity::from_bits(u64::from(u32::MAX) << 32 | 7);
        let value = Value::of(&Some(EntityValue(entity))).expect("it has a value");
        assert_eq!(value, Value::Entity(entity));
        assert_eq!(Value::of(&value).and_then(Value::to::<Value>), Ok(value.clone()));
        assert_eq!(value.clone().to(), Ok(Some(EntityValue(entity))));
        assert_eq!(value.as_entity(), Some(entity));
        let list = Value::of(&[EntityValue(entity); 2]).and_then(Value::to::<Vec<EntityValue>>);
        assert_eq!(list, Ok(vec![EntityValue(entity); 2]));

        let bits = Value::Number(7.0);
        let table = Value::Table(vec![(exact::ENTITY.into(), bits.clone())]);
        for forged in [bits, table.clone(), "7".into(), Value::Buffer(7_u64.to_le_bytes().into())] {
            let error = forged.to::<EntityValue>().expect_err("it is no entity").to_string();
            assert!(error.starts_with("expected entity, got "), "{error}");
        }
        assert_eq!(table.clone().to::<Value>(), Ok(table));
        assert_eq!(
            value.to::<u64>().map_err(|e| e.to_string()),
            Err("expected integer that is not negative, got entity".to_owned())
        );
    }

    #[test]
    fn in_other_formats_an_entity_is_its_bits() {
        let entity = EntityValue(Entity::from_bits(3 << 32 | 7));
        let json = serde_json::to_string(&entity).expect("bits are a number");
        assert_eq!(json, entity.0.to_bits().to_string());
        assert_eq!(serde_json::from_str::<EntityValue>(&json).ok(), Some(entity));
    }
}
