//! Values that cross the border between scripts and the game.

pub(crate) mod arguments;
mod bytes;
mod column;
mod deserialize;
mod entity;
mod error;
mod exact;
mod results;
mod serialize;

use std::fmt;

use bevy::ecs::entity::Entity;
use smallvec::SmallVec;

pub(crate) use column::Column;
pub use entity::EntityValue;
pub use error::ValueError;
pub use results::Results;

/// What a script passes to a function of the game.
pub(crate) type Arguments = SmallVec<[Value; 4]>;

/// What a call returns. Mostly one.
pub(crate) type Values = SmallVec<[Value; 1]>;

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.as_bytes().into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into_bytes().into())
    }
}

macro_rules! from_numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Self::Number(number.into())
            }
        }
    )*};
}

from_numbers!(i8, i16, i32, u8, u16, u32, f32, f64);

impl From<[f32; 3]> for Value {
    fn from(lanes: [f32; 3]) -> Self {
        Self::Vector(lanes)
    }
}

impl From<Entity> for Value {
    fn from(entity: Entity) -> Self {
        Self::Entity(entity)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

/// A copy of a Luau value. What a type of the game is as a value, [`Value::of`] tells.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Boolean(bool),
    /// Any number: Luau has one kind.
    Number(f64),
    /// A `vector`.
    Vector([f32; 3]),
    /// A string. Luau's strings are bytes, not necessarily UTF-8.
    String(Box<[u8]>),
    /// A `buffer`.
    Buffer(Box<[u8]>),
    /// An entity: a value of its own kind, which scripts can keep, compare and pass on, but not make.
    Entity(Entity),
    /// A table's entries, in the table's own order. A table that occurs several times is copied as often.
    Table(Vec<(Value, Value)>),
    /// Something that cannot leave its VM (a function, a thread, a userdata), that is too large or too
    /// deeply nested to be copied, or a table inside itself, by the name of its type.
    Opaque(&'static str),
}

impl Value {
    /// The text of a string that is valid UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let inside = match self {
            Self::String(bytes) | Self::Buffer(bytes) => bytes.len(),
            Self::Table(entries) => entries.iter().map(|(key, value)| key.size() + value.size()).sum(),
            _ => 0,
        };
        size_of::<Self>() + inside
    }

    /// The entity, if it is one.
    pub fn as_entity(&self) -> Option<Entity> {
        match self {
            Self::Entity(entity) => Some(*entity),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// Names the kind. The text of a string is shown as text, like that of a buffer, as far as it is UTF-8.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("Nil"),
            Self::Boolean(boolean) => f.debug_tuple("Boolean").field(boolean).finish(),
            Self::Number(number) => f.debug_tuple("Number").field(number).finish(),
            Self::Vector(lanes) => f.debug_tuple("Vector").field(lanes).finish(),
            Self::Entity(entity) => f.debug_tuple("Entity").field(entity).finish(),
            Self::String(bytes) => f.debug_tuple("String").field(&String::from_utf8_lossy(bytes)).finish(),
            Self::Buffer(bytes) => f.debug_tuple("Buffer").field(&String::from_utf8_lossy(bytes)).finish(),
            Self::Table(entries) => {
                let entries = entries.iter().map(|(key, value)| (key, value));
                f.write_str("Table ")?;
                f.debug_map().entries(entries).finish()
            }
            Self::Opaque(kind) => f.debug_tuple("Opaque").field(kind).finish(),
        }
    }
}

/// Shows the value much as Luau would write it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Boolean(boolean) => boolean.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Vector([x, y, z]) => write!(f, "{x}, {y}, {z}"),
            Self::Entity(entity) => write!(f, "entity {entity}"),
            Self::String(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Buffer(bytes) => write!(f, "buffer of {} bytes", bytes.len()),
            Self::Table(entries) => {
                f.write_str("{")?;
                for (i, (key, value)) in entries.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}[{key}] = {value}")?;
                }
                f.write_str("}")
            }
            Self::Opaque(kind) => f.write_str(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_luau_writes_them() {
        let table = Value::Table(vec![
            (Value::Number(1.0), Value::String(b"a\xff".as_slice().into())),
            (Value::Boolean(true), Value::Nil),
        ]);
        assert_eq!(table.to_string(), "{[1] = \"a\u{fffd}\", [true] = nil}");
        assert_eq!(format!("{table:?}"), "Table {Number(1.0): String(\"a\u{fffd}\"), Boolean(true): Nil}");
    }

    #[test]
    fn three_f32_are_a_vector_and_come_back_the_same() {
        #[derive(serde::Serialize)]
        struct Point(f32, f32, f32);

        let vector = Value::Vector([1.0, 2.0, 3.0]);
        assert_eq!(Value::of(&[1.0_f32, 2.0, 3.0]), Ok(vector.clone()));
        assert_eq!(Value::of(&Point(1.0, 2.0, 3.0)), Ok(vector.clone()));
        assert_eq!(Value::of(&vector), Ok(vector.clone()));
        assert_eq!(Value::of(&Some((1.0_f32, 2.0_f32, 3.0_f32))), Ok(vector.clone()));
        assert_eq!(vector.to::<[f32; 3]>(), Ok([1.0, 2.0, 3.0]));
        for table in
            [Value::of(&[1.0_f64, 2.0, 3.0]), Value::of(&[1.0_f32, 2.0]), Value::of(&vec![1.0_f32; 3])]
        {
            assert!(matches!(table, Ok(Value::Table(_))), "{table:?}");
        }
    }

    #[test]
    fn integers_are_exact_or_refused() {
        let last = (1_i64 << 53) - 1;
        for integer in [0, -1, last, -last] {
            assert_eq!(Value::of(&integer).and_then(Value::to::<i64>), Ok(integer));
            let json = serde_json::to_string(&Value::Number(integer as f64)).expect("it is a number");
            assert_eq!(json, integer.to_string());
        }
        let steam_id = 76_561_198_000_000_001_u64;
        let refused = Value::of(&steam_id).expect_err("it is too long").to_string();
        assert!(refused.starts_with("76561198000000001 is beyond 2^53"), "{refused}");
        assert!(Value::of(&u128::MAX).is_err() && Value::of(&(last + 1)).is_err());
        assert!(Value::Number(2_f64.powi(60)).to::<u64>().is_err());
        assert!(serde_json::from_str::<Value>("76561198000000001").is_err());
        assert_eq!(Value::Number(2_f64.powi(60)).to::<f64>(), Ok(2_f64.powi(60)));
        assert_eq!(Value::Number(-0.0).to::<Value>().map(|zero| zero.to_string()), Ok("-0".to_owned()));
    }

    #[test]
    fn whole_numbers_are_integers_where_the_type_is_found_by_what_comes() {
        #[derive(serde::Deserialize, Debug, PartialEq)]
        #[serde(tag = "kind")]
        enum Tagged {
            Hit { damage: i32, at: [f32; 2] },
        }

        #[derive(serde::Deserialize, Debug, PartialEq)]
        #[serde(untagged)]
        enum Untagged {
            Count(u8),
            Share(f64),
        }

        #[derive(serde::Deserialize, Debug, PartialEq)]
        struct Flat {
            #[serde(flatten)]
            rest: std::collections::BTreeMap<String, i16>,
        }

        let hit = serde_json::json!({ "kind": "Hit", "damage": -3, "at": [1, 2.5] });
        let value = Value::of(&hit).expect("it has a value");
        assert_eq!(value.clone().to::<serde_json::Value>(), Ok(hit));
        assert_eq!(value.to::<Tagged>(), Ok(Tagged::Hit { damage: -3, at: [1.0, 2.5] }));
        assert_eq!(Value::from(3).to(), Ok(Untagged::Count(3)));
        assert_eq!(Value::from(3.5).to(), Ok(Untagged::Share(3.5)));
        let flat = Value::Table(vec![("a".into(), 1.into())]).to::<Flat>().map(|flat| flat.rest["a"]);
        assert_eq!(flat, Ok(1));
    }
}
