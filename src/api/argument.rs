//! One argument of a call, read where it is.

use serde::de::{Deserializer, Visitor};

use crate::luau::CallArguments;
use crate::value::{Value, ValueError};

/// An argument of the running host function. Numbers, which most are, are read without a
/// [`Value`] in between; everything else is copied first.
pub(super) struct Argument<'a> {
    pub(super) arguments: &'a CallArguments<'a>,
    pub(super) position: u32,
}

impl Argument<'_> {
    fn copy(&self) -> Result<Value, ValueError> {
        self.arguments.get(self.position).map_err(ValueError::new)
    }
}

macro_rules! deserialize_copy {
    ($($method:ident ( $($parameter:ident: $type:ty),* ))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($parameter: $type,)* visitor: V) -> Result<V::Value, ValueError> {
            self.copy()?.$method($($parameter,)* visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Argument<'_> {
    type Error = ValueError;

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.arguments.number(self.position) {
            Some(number) => visitor.visit_f64(number),
            None => self.deserialize_any(visitor),
        }
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_f64(visitor)
    }

    #[cold]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.copy()?.deserialize_any(visitor)
    }

    deserialize_copy! {
        deserialize_bool() deserialize_char() deserialize_str() deserialize_string()
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64()
        deserialize_bytes() deserialize_byte_buf() deserialize_option() deserialize_unit()
        deserialize_unit_struct(name: &'static str) deserialize_newtype_struct(name: &'static str)
        deserialize_seq() deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_map() deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_identifier() deserialize_ignored_any()
    }
}
