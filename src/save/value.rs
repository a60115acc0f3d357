//! Values, written one after another: a table is its length, and then its keys and values.

use std::vec;

use bevy::prelude::*;
use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use crate::value::Value;

/// How deep tables may be in tables. What scripts can pass is no deeper than 8.
const MAX_DEPTH: u32 = 128;

/// Some values.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedValues(Vec<Part>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Part {
    Nil,
    False,
    True,
    Number(f64),
    Vector([f32; 3]),
    String(Bytes),
    Buffer(Bytes),
    /// Its bits.
    Entity(u64),
    /// So many entries follow.
    Table(u32),
    Opaque(Bytes),
}

impl<'a> FromIterator<&'a Value> for SavedValues {
    fn from_iter<I: IntoIterator<Item = &'a Value>>(values: I) -> Self {
        let mut parts = Vec::new();
        values.into_iter().for_each(|value| write(&mut parts, value));
        Self(parts)
    }
}

fn write(parts: &mut Vec<Part>, value: &Value) {
    parts.push(match value {
        Value::Nil => Part::Nil,
        Value::Boolean(false) => Part::False,
        Value::Boolean(true) => Part::True,
        Value::Number(number) => Part::Number(*number),
        Value::Vector(lanes) => Part::Vector(*lanes),
        Value::String(bytes) => Part::String((&**bytes).into()),
        Value::Buffer(bytes) => Part::Buffer((&**bytes).into()),
        Value::Entity(entity) => Part::Entity(entity.to_bits()),
        Value::Table(entries) => Part::Table(entries.len() as u32),
        Value::Opaque(kind) => Part::Opaque(kind.as_bytes().into()),
    });
    if let Value::Table(entries) = value {
        for (key, value) in entries {
            write(parts, key);
            write(parts, value);
        }
    }
}

impl SavedValues {
    /// The values, or what is wrong with them.
    pub(crate) fn values<V: FromIterator<Value>>(self) -> Result<V, &'static str> {
        let mut parts = self.0.into_iter();
        let mut values = Vec::new();
        while let Some(part) = parts.next() {
            values.push(read(part, &mut parts, 0)?);
        }
        Ok(values.into_iter().collect())
    }

    /// The values, if there are so many.
    pub(crate) fn exactly<const N: usize>(self) -> Result<[Value; N], &'static str> {
        self.values::<Vec<Value>>()?.try_into().map_err(|_| "there is another number of values")
    }
}

/// The value that begins with a part and goes on with the next ones.
fn read(part: Part, parts: &mut vec::IntoIter<Part>, depth: u32) -> Result<Value, &'static str> {
    Ok(match part {
        Part::Nil => Value::Nil,
        Part::False => Value::Boolean(false),
        Part::True => Value::Boolean(true),
        Part::Number(number) => Value::Number(number),
        Part::Vector(lanes) => Value::Vector(lanes),
        Part::String(bytes) => Value::String(bytes.0),
        Part::Buffer(bytes) => Value::Buffer(bytes.0),
        Part::Entity(bits) => Value::Entity(Entity::try_from_bits(bits).ok_or("it is no entity")?),
        Part::Opaque(kind) => Value::Opaque(opaque(&kind.0)),
        Part::Table(_) if depth == MAX_DEPTH => return Err("tables are nested too deep"),
        Part::Table(length) => {
            if length as usize > parts.len() / 2 {
                return Err("a table is longer than what is there");
            }
            let mut entries = Vec::with_capacity(length as usize);
            for _ in 0..length {
                let mut next = || {
                    let part = parts.next().ok_or("a table is longer than what is there")?;
                    read(part, parts, depth + 1)
                };
                entries.push((next()?, next()?));
            }
            Value::Table(entries)
        }
    })
}

/// The names of what cannot leave its VM.
fn opaque(kind: &[u8]) -> &'static str {
    let kinds = ["function", "thread", "userdata", "table", "string", "buffer"];
    kinds.into_iter().find(|known| known.as_bytes() == kind).unwrap_or("value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::save::{decode, encode};

    #[test]
    fn values_come_back() {
        let table = Value::Table(vec![
            ("list".into(), Value::Table(vec![(1.0.into(), true.into()), (2.0.into(), Value::Nil)])),
            (false.into(), [1.0, 2.0, 3.0].into()),
        ]);
        let values = vec![table, Value::Buffer([0, 255].into()), Value::Opaque("function"), (-0.5).into()];
        let saved = encode(&values.iter().collect::<SavedValues>());
        let loaded: SavedValues = decode(&saved, 0).expect("it was saved");
        assert_eq!(loaded.values(), Ok(values));
    }

    #[test]
    fn tables_without_entries_for_them_or_without_an_end_are_refused() {
        let values = |parts| SavedValues(parts).values::<Vec<Value>>();
        assert!(values(vec![Part::Table(u32::MAX)]).is_err());
        assert!(values(vec![Part::Table(2), Part::Nil, Part::Table(1), Part::Nil, Part::Nil]).is_err());
        let deep = || (0..100_000).flat_map(|_| [Part::Table(1), Part::Nil]).chain([Part::Nil]);
        assert_eq!(values(deep().collect()), Err("tables are nested too deep"));
        assert!(SavedValues(vec![Part::Nil]).exactly::<2>().is_err());
    }
}
