//! Why a value of a script is not what the game expected, or the other way round.

use std::fmt;

use serde::de::Unexpected;

/// What is expected where a [`Value`](super::Value) is.
pub(super) const ANY_VALUE: &str = "any value";

/// Says what was expected and what came, and where in a nested value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ValueError {
    message: String,
}

impl ValueError {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string() }
    }

    /// The same, inside `place`.
    pub(crate) fn inside(self, place: impl fmt::Display) -> Self {
        Self { message: format!("{place}: {}", self.message) }
    }
}

impl serde::ser::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }
}

impl serde::de::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        let expected = expected.to_string();
        match got {
            // It has none of the types that can be passed.
            Unexpected::Other("function") if expected == ANY_VALUE => {
                Self::new("functions cannot be passed: export it (`host.export`) and pass its name")
            }
            Unexpected::Other(kind @ ("thread" | "userdata")) if expected == ANY_VALUE => {
                Self::new(format_args!("{kind}s cannot be passed"))
            }
            _ => Self::new(format_args!("expected {}, got {}", in_luau(&expected), name(got))),
        }
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        let expected = expected.to_string();
        let expected = in_luau(&expected);
        match got {
            Unexpected::Signed(number) => Self::new(format_args!("expected {expected}, got {number}")),
            Unexpected::Unsigned(number) => Self::new(format_args!("expected {expected}, got {number}")),
            Unexpected::Float(number) => Self::new(format_args!("expected {expected}, got {number}")),
            Unexpected::Str(text) => Self::new(format_args!("expected {expected}, got {text:?}")),
            other => Self::new(format_args!("expected {expected}, got {}", name(other))),
        }
    }
}

/// What script authors call it.
fn in_luau(expected: &str) -> &str {
    match expected {
        "f32" | "f64" => "number",
        "i8" | "i16" | "i32" | "i64" | "isize" => "integer",
        "u8" | "u16" | "u32" | "u64" | "usize" => "integer that is not negative",
        "a boolean" => "boolean",
        "a string" | "string" => "string",
        "a character" => "string of one character",
        "unit" => "nil",
        other => other,
    }
}

fn name(got: Unexpected<'_>) -> &str {
    match got {
        Unexpected::Bool(_) => "boolean",
        Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_) => "number",
        Unexpected::Char(_) | Unexpected::Str(_) => "string",
        Unexpected::Bytes(_) => "string that is not UTF-8, or buffer",
        Unexpected::Unit | Unexpected::Option => "nil",
        Unexpected::Other(name) => name,
        _ => "table",
    }
}
