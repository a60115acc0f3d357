//! Values that cross the border between scripts and the game.

pub(crate) mod arguments;
mod deserialize;
mod error;
mod exact;
mod serialize;

use std::fmt;

use smallvec::SmallVec;

pub use error::ValueError;

/// What a script passes to a function of the game.
pub(crate) type Arguments = SmallVec<[Value; 4]>;

/// What a call returns. Mostly one.
pub(crate) type Values = SmallVec<[Value; 1]>;

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.as_bytes().into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

/// A copy of a Luau value.
#[derive(Clone, Debug, PartialEq)]
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

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
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
    }
}
