//! From values of scripts to types of the game.

use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor, value::StrDeserializer, value::StringDeserializer,
};
use serde::forward_to_deserialize_any;

use super::error::ANY_VALUE;
use super::{Value, ValueError, exact};

impl Value {
    /// The value as a type of the game: numbers, strings, booleans and buffers as what they are (where any type will
    /// do, a number without a fraction is an integer), tables as sequences, maps or structs, vectors as sequences of
    /// three, `nil` as `None`, a string or a table with one key as a variant of an enum.
    ///
    /// # Errors
    ///
    /// [`ValueError`], which says what was expected and what came.
    #[inline]
    pub fn to<T: DeserializeOwned>(self) -> Result<T, ValueError> {
        T::deserialize(self)
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Nil => Unexpected::Unit,
            Self::Boolean(boolean) => Unexpected::Bool(*boolean),
            Self::Number(number) => Unexpected::Float(*number),
            Self::Vector(_) => Unexpected::Other("vector"),
            Self::Entity(_) => Unexpected::Other("entity"),
            Self::String(bytes) => {
                std::str::from_utf8(bytes).map_or(Unexpected::Bytes(bytes), Unexpected::Str)
            }
            Self::Buffer(_) => Unexpected::Other("buffer"),
            Self::Table(_) => Unexpected::Map,
            Self::Opaque(name) => Unexpected::Other(name),
        }
    }

    /// Whether a table's keys are 1, 2, 3 and so on. They are in that order then, which a table's need not be.
    fn is_sequence(entries: &mut [(Self, Self)]) -> bool {
        let has_number = |(key, _): &(Self, Self)| matches!(key, Self::Number(_));
        let is_in_order = entries.is_sorted_by(|(a, _), (b, _)| a.as_f64() <= b.as_f64());
        if !is_in_order && entries.iter().all(has_number) {
            entries.sort_by(|(a, _), (b, _)| {
                f64::total_cmp(&a.as_f64().unwrap_or(0.0), &b.as_f64().unwrap_or(0.0))
            });
        }
        entries.iter().enumerate().all(|(i, (key, _))| matches!(key, Self::Number(n) if *n == (i + 1) as f64))
    }
}

macro_rules! deserialize_integer {
    ($($method:ident $type:ty => $visit:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            match self {
                Value::Number(number) if number.fract() == 0.0 && number as $type as f64 == number => {
                    if number.abs() >= exact::FIRST_INEXACT as f64 {
                        return Err(ValueError::new(exact::too_long(number)));
                    }
                    visitor.$visit(number as $type)
                }
                Value::Number(number) => Err(ValueError::invalid_value(Unexpected::Float(number), &visitor)),
                other => Err(ValueError::invalid_type(other.unexpected(), &visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Value {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::Nil => visitor.visit_unit(),
            Self::Boolean(boolean) => visitor.visit_bool(boolean),
            Self::Number(number) => match exact::integer(number) {
                Some(integer) => match u64::try_from(integer) {
                    Ok(integer) => visitor.visit_u64(integer),
                    Err(_) => visitor.visit_i64(integer),
                },
                None => visitor.visit_f64(number),
            },
            Self::Vector(lanes) => {
                visitor.visit_seq(Elements(lanes.map(f64::from).map(Value::Number).into_iter(), 0))
            }
            Self::Entity(_) => Err(ValueError::invalid_type(self.unexpected(), &visitor)),
            Self::String(bytes) => match String::from_utf8(bytes.into_vec()) {
                Ok(text) => visitor.visit_string(text),
                Err(error) => visitor.visit_byte_buf(error.into_bytes()),
            },
            Self::Buffer(bytes) => visitor.visit_byte_buf(bytes.into_vec()),
            Self::Table(mut entries) => match Self::is_sequence(&mut entries) {
                true => visitor.visit_seq(elements(entries)),
                false => visitor.visit_map(Entries::new(entries)),
            },
            Self::Opaque(_) => Err(ValueError::invalid_type(self.unexpected(), &visitor)),
        }
    }

    deserialize_integer! {
        deserialize_i8 i8 => visit_i8, deserialize_i16 i16 => visit_i16, deserialize_i32 i32 => visit_i32,
        deserialize_i64 i64 => visit_i64, deserialize_u8 u8 => visit_u8, deserialize_u16 u16 => visit_u16,
        deserialize_u32 u32 => visit_u32, deserialize_u64 u64 => visit_u64
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::Number(number) => visitor.visit_f64(number),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_f64(visitor)
    }

    // Whatever it is: an object may have methods beside the fields that the game reads.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::Nil => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::String(bytes) | Self::Buffer(bytes) => visitor.visit_byte_buf(bytes.into_vec()),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        if let Self::Entity(entity) = self
            && [exact::VALUE, exact::ENTITY].contains(&name)
        {
            return visitor.visit_u128(super::entity::marked(entity));
        }
        if name == exact::ENTITY {
            return Err(ValueError::invalid_type(self.unexpected(), &visitor));
        }
        if name != exact::VALUE {
            return visitor.visit_newtype_struct(self);
        }
        let (name, parts) = match self {
            Self::Vector(lanes) => (exact::VECTOR, Self::Table(exact::sequence(&lanes))),
            Self::String(bytes) if std::str::from_utf8(&bytes).is_err() => {
                (exact::BYTES, Self::Buffer(bytes))
            }
            other => return other.deserialize_any(visitor),
        };
        visitor.visit_map(Entries::new(vec![(name.into(), parts)]))
    }

    // An empty table is a map as well as a sequence.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::Table(entries) => visitor.visit_map(Entries::new(entries)),
            other => Err(ValueError::invalid_type(other.unexpected(), &visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self {
            Self::Table(mut entries) => match !entries.is_empty() && Self::is_sequence(&mut entries) {
                true => visitor.visit_seq(elements(entries)),
                false => visitor.visit_map(Entries::new(entries)),
            },
            // A sequence is as good, and so is a vector.
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self {
            Self::String(_) => {
                visitor.visit_enum(self.to::<String>()?.into_deserializer() as StringDeserializer<_>)
            }
            Self::Table(entries) if entries.len() == 1 => {
                visitor.visit_enum(serde::de::value::MapAccessDeserializer::new(Entries::new(entries)))
            }
            other => Err(ValueError::invalid_type(other.unexpected(), &visitor)),
        }
    }

    forward_to_deserialize_any! {
        bool char str string unit unit_struct seq tuple tuple_struct identifier
    }
}

impl IntoDeserializer<'_, ValueError> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A copy of any value that has one. Through this crate's own conversions it is exact; other formats have no
/// vectors, which come from them as tables.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = Value;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(ANY_VALUE)
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Nil)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Nil)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                Value::deserialize(deserializer)
            }

            fn visit_bool<E>(self, boolean: bool) -> Result<Value, E> {
                Ok(Value::Boolean(boolean))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
                let exact = exact::number(number).map(Value::Number);
                exact.ok_or_else(|| E::custom(exact::too_long(number)))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
                let exact = exact::number(number).map(Value::Number);
                exact.ok_or_else(|| E::custom(exact::too_long(number)))
            }

            fn visit_u128<E: Error>(self, number: u128) -> Result<Value, E> {
                if let Some(entity) = super::entity::unmarked(number) {
                    return Ok(Value::Entity(entity));
                }
                let exact = exact::number(number).map(Value::Number);
                exact.ok_or_else(|| E::custom(exact::too_long(number)))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
                Ok(Value::Number(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::String(text.as_bytes().into()))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
                Ok(Value::Buffer(bytes.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(element) = sequence.next_element()? {
                    entries.push((Value::Number((entries.len() + 1) as f64), element));
                }
                Ok(Value::Table(entries))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(exact::restore(entries))
            }
        }

        deserializer.deserialize_newtype_struct(exact::VALUE, AnyValue)
    }
}

/// The elements of a sequence, and how many have been read.
struct Elements<I>(I, usize);

fn elements(entries: Vec<(Value, Value)>) -> Elements<impl Iterator<Item = Value>> {
    Elements(entries.into_iter().map(|(_, value)| value), 0)
}

impl<'de, I: Iterator<Item = Value>> SeqAccess<'de> for Elements<I> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        let Some(value) = self.0.next() else { return Ok(None) };
        self.1 += 1;
        seed.deserialize(value).map(Some).map_err(|error| error.inside(format_args!("[{}]", self.1)))
    }
}

struct Entries {
    entries: std::vec::IntoIter<(Value, Value)>,
    value: Option<(String, Value)>,
}

impl Entries {
    fn new(entries: Vec<(Value, Value)>) -> Self {
        Self { entries: entries.into_iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Entries {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        let name = key.as_str().map_or_else(|| format!("[{key}]"), str::to_owned);
        let result = match key.as_str() {
            Some(key) => seed.deserialize(StrDeserializer::new(key)),
            None => seed.deserialize(key),
        };
        self.value = Some((name, value));
        result.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        let (name, value) = self.value.take().ok_or_else(|| ValueError::new("a value before its key"))?;
        seed.deserialize(value).map_err(|error| error.inside(name))
    }
}
