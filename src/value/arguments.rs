//! From the arguments of a call to a type of the game.

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::{Arguments, Value, ValueError};

/// Arguments as a tuple (or a struct, by position), where missing ones are nil and others are ignored; as a
/// sequence of all of them; or as what the first is.
pub(crate) fn to<T: DeserializeOwned>(arguments: Arguments) -> Result<T, ValueError> {
    to_as(arguments, "argument")
}

/// The same of values that errors call something else.
pub(super) fn to_as<T: DeserializeOwned>(values: Arguments, what: &'static str) -> Result<T, ValueError> {
    T::deserialize(List { values, what })
}

struct List {
    values: Arguments,
    /// What errors call each of them.
    what: &'static str,
}

impl List {
    fn elements(self, count: usize) -> Elements {
        Elements { values: self.values.into_iter(), position: 0, count, what: self.what }
    }
}

struct Elements {
    values: <Arguments as IntoIterator>::IntoIter,
    position: usize,
    count: usize,
    what: &'static str,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        if self.position == self.count {
            return Ok(None);
        }
        self.position += 1;
        let value = self.values.next().unwrap_or(Value::Nil);
        let result = seed.deserialize(value);
        result.map(Some).map_err(|error| error.inside(format_args!("{} {}", self.what, self.position)))
    }
}

impl<'de> Deserializer<'de> for List {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let first = self.values.into_iter().next().unwrap_or(Value::Nil);
        first.deserialize_any(visitor).map_err(|error| error.inside(format_args!("{} 1", self.what)))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let count = self.values.len();
        visitor.visit_seq(self.elements(count))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_seq(self.elements(count))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_seq(self.elements(count))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_seq(self.elements(fields.len()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit_struct
        newtype_struct map enum identifier ignored_any
    }
}
