//! From types of the game to values of scripts.

use std::cell::Cell;

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use smallvec::SmallVec;

use super::{EntityValue, Value, ValueError, exact};

impl Value {
    /// A copy of `value` for scripts: structs and maps become tables with their names as keys, sequences
    /// tables counted from 1, three `f32` (an array, a tuple, `Vec3`) a vector, bytes buffers, `None` nil, variants of
    /// enums their name or a table with that as its key.
    ///
    /// # Errors
    ///
    /// For integers of 2^53 and more, which Luau's numbers do not hold exactly; and what `value`'s own implementation
    /// of [`Serialize`] says.
    #[inline]
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, ValueError> {
        value.serialize(IntoValue::default())
    }

    /// The elements of a tuple.
    pub(super) fn of_each<T: Serialize + ?Sized>(tuple: &T) -> Result<Vec<Self>, ValueError> {
        Ok(match tuple.serialize(IntoValue { lane: None, is_apart: true })? {
            Self::Table(elements) => elements.into_iter().map(|(_, element)| element).collect(),
            other => vec![other],
        })
    }

    fn text(text: &str) -> Self {
        Self::String(text.as_bytes().into())
    }
}

/// Makes a [`Value`] of anything.
#[derive(Default)]
struct IntoValue<'a> {
    /// Gets it, if it is an `f32`.
    lane: Option<&'a Cell<Option<f32>>>,
    /// Whether three `f32` stay three.
    is_apart: bool,
}

/// A table in the making, and the variant that it belongs to.
struct IntoTable {
    entries: Vec<(Value, Value)>,
    key: Value,
    variant: Option<&'static str>,
    /// What is in it, as long as it may be a vector.
    lanes: Option<SmallVec<[f32; 3]>>,
}

impl IntoTable {
    fn new(variant: Option<&'static str>) -> Self {
        Self { entries: Vec::new(), key: Value::Nil, variant, lanes: None }
    }

    /// Of so many elements, which may be a vector.
    fn tuple(count: usize) -> Self {
        Self { lanes: (count == 3).then(SmallVec::new), ..Self::new(None) }
    }

    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        let key = Value::Number((self.entries.len() + 1) as f64);
        let Some(lanes) = &mut self.lanes else { return self.insert(key, value) };
        let lane = Cell::new(None);
        let copy = value.serialize(IntoValue { lane: Some(&lane), is_apart: false })?;
        match lane.get() {
            Some(lane) => lanes.push(lane),
            None => self.lanes = None,
        }
        self.entries.push((key, copy));
        Ok(())
    }

    fn insert<T: Serialize + ?Sized>(&mut self, key: Value, value: &T) -> Result<(), ValueError> {
        self.entries.push((key, Value::of(value)?));
        Ok(())
    }

    fn finish(self) -> Result<Value, ValueError> {
        if let Some(&[x, y, z]) = self.lanes.as_deref() {
            return Ok(Value::Vector([x, y, z]));
        }
        let table = Value::Table(self.entries);
        Ok(match self.variant {
            Some(variant) => Value::Table(vec![(Value::text(variant), table)]),
            None => table,
        })
    }
}

macro_rules! serialize_numbers {
    ($($method:ident $type:ty),*) => {$(
        fn $method(self, number: $type) -> Result<Value, ValueError> {
            Ok(Value::Number(number as f64))
        }
    )*};
}

macro_rules! serialize_long_integers {
    ($($method:ident $type:ty),*) => {$(
        fn $method(self, number: $type) -> Result<Value, ValueError> {
            exact::number(number).map(Value::Number).ok_or_else(|| ValueError::custom(exact::too_long(number)))
        }
    )*};
}

impl Serializer for IntoValue<'_> {
    type Ok = Value;
    type Error = ValueError;
    type SerializeSeq = IntoTable;
    type SerializeTuple = IntoTable;
    type SerializeTupleStruct = IntoTable;
    type SerializeTupleVariant = IntoTable;
    type SerializeMap = IntoTable;
    type SerializeStruct = IntoTable;
    type SerializeStructVariant = IntoTable;

    serialize_numbers! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_u8 u8, serialize_u16 u16, serialize_u32 u32,
        serialize_f64 f64
    }

    serialize_long_integers! {
        serialize_i64 i64, serialize_u64 u64, serialize_i128 i128, serialize_u128 u128
    }

    fn serialize_f32(self, number: f32) -> Result<Value, ValueError> {
        if let Some(lane) = self.lane {
            lane.set(Some(number));
        }
        Ok(Value::Number(number.into()))
    }

    fn serialize_bool(self, boolean: bool) -> Result<Value, ValueError> {
        Ok(Value::Boolean(boolean))
    }

    fn serialize_char(self, character: char) -> Result<Value, ValueError> {
        Ok(Value::text(character.encode_utf8(&mut [0; 4])))
    }

    fn serialize_str(self, text: &str) -> Result<Value, ValueError> {
        Ok(Value::text(text))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Value, ValueError> {
        Ok(Value::Buffer(bytes.into()))
    }

    fn serialize_none(self) -> Result<Value, ValueError> {
        Ok(Value::Nil)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, ValueError> {
        Value::of(value)
    }

    fn serialize_unit(self) -> Result<Value, ValueError> {
        Ok(Value::Nil)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, ValueError> {
        Ok(Value::Nil)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, ValueError> {
        Ok(Value::text(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Value, ValueError> {
        if name == exact::ENTITY {
            return super::entity::from_bits(value);
        }
        let inside = Value::of(value)?;
        Ok(match name {
            exact::BYTES => exact::restore(vec![(name.into(), inside)]),
            _ => inside, // three `f32` are a vector already
        })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, ValueError> {
        Ok(Value::Table(vec![(Value::text(variant), Value::of(value)?)]))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<IntoTable, ValueError> {
        Ok(IntoTable::new(None))
    }

    fn serialize_tuple(self, count: usize) -> Result<IntoTable, ValueError> {
        Ok(if self.is_apart { IntoTable::new(None) } else { IntoTable::tuple(count) })
    }

    fn serialize_tuple_struct(self, _: &'static str, count: usize) -> Result<IntoTable, ValueError> {
        Ok(IntoTable::tuple(count))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<IntoTable, ValueError> {
        Ok(IntoTable::new(Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<IntoTable, ValueError> {
        Ok(IntoTable::new(None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<IntoTable, ValueError> {
        Ok(IntoTable::new(None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<IntoTable, ValueError> {
        Ok(IntoTable::new(Some(variant)))
    }
}

macro_rules! serialize_elements {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait for IntoTable {
            type Ok = Value;
            type Error = ValueError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
                self.push(value)
            }

            fn end(self) -> Result<Value, ValueError> {
                self.finish()
            }
        }
    )*};
}

serialize_elements! {
    SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
}

macro_rules! serialize_fields {
    ($($trait:ident),*) => {$(
        impl $trait for IntoTable {
            type Ok = Value;
            type Error = ValueError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), ValueError> {
                self.insert(Value::text(name), value)
            }

            fn end(self) -> Result<Value, ValueError> {
                self.finish()
            }
        }
    )*};
}

serialize_fields!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for IntoTable {
    type Ok = Value;
    type Error = ValueError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ValueError> {
        self.key = Value::of(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        let key = std::mem::replace(&mut self.key, Value::Nil);
        self.insert(key, value)
    }

    fn end(self) -> Result<Value, ValueError> {
        self.finish()
    }
}

/// Bytes of a string that are not UTF-8.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// As what it is: exactly, through [`Value::of`]. In other formats a number without a fraction below 2^53 is an
/// integer, a vector is a sequence of three numbers, a string that is not UTF-8 is bytes like a buffer, and a table is
/// a map, with keys as the format writes them: in JSON `{[5] = 1}` is `{"5":1}`, and comes back with the key `"5"`. An
/// entity is its bits, which come back as a number. An opaque value is nil.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil | Self::Opaque(_) => serializer.serialize_unit(),
            Self::Boolean(boolean) => serializer.serialize_bool(*boolean),
            Self::Number(number) => match exact::integer(*number) {
                Some(integer) => serializer.serialize_i64(integer),
                None => serializer.serialize_f64(*number),
            },
            Self::Vector(lanes) => serializer.serialize_newtype_struct(exact::VECTOR, lanes),
            Self::Entity(entity) => EntityValue(*entity).serialize(serializer),
            Self::String(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => serializer.serialize_newtype_struct(exact::BYTES, &Bytes(bytes)),
            },
            Self::Buffer(bytes) => serializer.serialize_bytes(bytes),
            Self::Table(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}
