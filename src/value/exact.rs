//! What serde has no type for, on its way from a [`Value`] to a [`Value`].
//!
//! Vectors, and strings that are not UTF-8, travel as maps with one key, or newtype structs with one name, that
//! nobody else uses. Other formats see what is inside.

use super::Value;

/// Asks a deserializer for a [`Value`].
pub(super) const VALUE: &str = "$bevy_luau_os::Value";
/// A vector, as a sequence.
pub(super) const VECTOR: &str = "$bevy_luau_os::Vector";
/// A string that is not UTF-8, as bytes.
pub(super) const BYTES: &str = "$bevy_luau_os::Bytes";

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
