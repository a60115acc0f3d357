//! From types of the game to values of scripts.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{Value, ValueError, exact};

impl Value {
    /// A copy of `value` for scripts: structs and maps become tables with their names as keys, sequences
    /// tables counted from 1, bytes buffers, `None` nil, variants of enums their name or a table with
    /// that as its key.
    ///
    /// # Errors
    ///
    /// What `value`'s own implementation of [`Serialize`] says.
    #[inline]
    pub fn from<T: Serialize + ?Sized>(value: &T) -> Result<Self, ValueError> {
        value.serialize(IntoValue)
    }

    fn text(text: &str) -> Self {
        Self::String(text.as_bytes().into())
    }
}

/// Makes a [`Value`] of anything.
struct IntoValue;

/// A table in the making, and the variant that it belongs to.
struct IntoTable {
    entries: Vec<(Value, Value)>,
    key: Value,
    variant: Option<&'static str>,
}

impl IntoTable {
    fn new(variant: Option<&'static str>) -> Self {
        Self { entries: Vec::new(), key: Value::Nil, variant }
    }

    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        let key = Value::Number((self.entries.len() + 1) as f64);
        self.insert(key, value)
    }

    fn insert<T: Serialize + ?Sized>(&mut self, key: Value, value: &T) -> Result<(), ValueError> {
        self.entries.push((key, Value::from(value)?));
        Ok(())
    }

    fn finish(self) -> Result<Value, ValueError> {
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

impl Serializer for IntoValue {
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
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_u8 u8,
        serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_f32 f32, serialize_f64 f64
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
        Value::from(value)
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
        let inside = Value::from(value)?;
        if name != exact::VECTOR && name != exact::BYTES {
            return Ok(inside);
        }
        Ok(exact::restore(vec![(name.into(), inside)]))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, ValueError> {
        Ok(Value::Table(vec![(Value::text(variant), Value::from(value)?)]))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<IntoTable, ValueError> {
        Ok(IntoTable::new(None))
    }

    fn serialize_tuple(self, _: usize) -> Result<IntoTable, ValueError> {
        Ok(IntoTable::new(None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<IntoTable, ValueError> {
        Ok(IntoTable::new(None))
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
        self.key = Value::from(key)?;
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

/// As what it is: exactly, through [`Value::from`]; in other formats a vector is a sequence of three numbers, and a
/// string that is not UTF-8 is bytes. An opaque value is nil.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil | Self::Opaque(_) => serializer.serialize_unit(),
            Self::Boolean(boolean) => serializer.serialize_bool(*boolean),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Vector(lanes) => serializer.serialize_newtype_struct(exact::VECTOR, lanes),
            Self::String(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => serializer.serialize_newtype_struct(exact::BYTES, &Bytes(bytes)),
            },
            Self::Buffer(bytes) => serializer.serialize_bytes(bytes),
            Self::Table(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}
