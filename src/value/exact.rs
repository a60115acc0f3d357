//! What serde has no type for, on its way from a [`Value`] to a [`Value`].
//!
//! Vectors, and strings that are not UTF-8, travel as maps with one key, or newtype structs with one name, that
//! nobody else uses. Other formats see what is inside.

use std::fmt;

use super::Value;

/// From here on Luau's numbers do not hold each integer: 2^53 may stand for 2^53 + 1.
pub(super) const FIRST_INEXACT: i64 = 1 << 53;

/// Asks a deserializer for a [`Value`].
pub(super) const VALUE: &str = "$bevy_luau_os::Value";
/// A vector, as a sequence.
pub(super) const VECTOR: &str = "$bevy_luau_os::Vector";
/// An entity, as its bits.
pub(super) const ENTITY: &str = "$bevy_luau_os::Entity";
/// A string that is not UTF-8, as bytes.
pub(super) const BYTES: &str = "$bevy_luau_os::Bytes";

/// An integer as a number that stands for no other integer.
pub(super) fn number(integer: impl TryInto<i64>) -> Option<f64> {
    let integer = integer.try_into().ok()?;
    (-FIRST_INEXACT < integer && integer < FIRST_INEXACT).then_some(integer as f64)
}

/// The integer that a number stands for. Minus zero is none.
pub(super) fn integer(number: f64) -> Option<i64> {
    let is_integer = number.fract() == 0.0 && number.abs() < FIRST_INEXACT as f64;
    (is_integer && (number != 0.0 || number.is_sign_positive())).then_some(number as i64)
}

/// Why [`number`] has none.
pub(super) fn too_long(integer: impl fmt::Display) -> String {
    format!("{integer} is beyond 2^53, where numbers do not hold all integers; pass it as a string")
}

/// The entries of a vector as a table.
pub(super) fn sequence(lanes: &[f32; 3]) -> Vec<(Value, Value)> {
    let number = |number: f64| Value::Number(number);
    (1..).map(f64::from).map(number).zip(lanes.iter().map(|&lane| number(lane.into()))).collect()
}

/// The value that was taken apart into these entries; otherwise a table of them.
pub(super) fn restore(mut entries: Vec<(Value, Value)>) -> Value {
    match &mut entries[..] {
        [(key, Value::Table(lanes))] if key.as_str() == Some(VECTOR) => {
            let lanes: Vec<f32> = lanes.iter().filter_map(|(_, lane)| Some(lane.as_f64()? as f32)).collect();
            lanes.try_into().map_or(Value::Table(entries), Value::Vector)
        }
        [(key, Value::Buffer(bytes))] if key.as_str() == Some(BYTES) => Value::String(std::mem::take(bytes)),
        _ => Value::Table(entries),
    }
}
