//! From reflected values to values of scripts.
//!
//! They are what [serde's](crate::Value::of) would be: structs are tables by name, tuples and lists tables by position,
//! three `f32` a vector, `None` nil, variants of enums their name or a table with that as its key. Entities stay entities.

use std::any::TypeId;
use std::borrow::Cow;

use bevy::math::Vec3A;
use bevy::prelude::*;
use bevy::reflect::enums::{Enum, VariantType};
use bevy::reflect::{ReflectKind, ReflectRef};

use super::field::Leaf;
use crate::value::Value;

/// Tables inside tables.
const MAX_DEPTH: usize = 8;

/// What may be read in one call.
pub(super) struct Budget {
    values: usize,
    bytes: usize,
}

impl Budget {
    pub(super) const VALUES: usize = 1 << 16;
    const BYTES: usize = 1 << 20;

    pub(super) fn new() -> Self {
        Self { values: Self::VALUES, bytes: Self::BYTES }
    }

    /// What was read so far, in safepoints.
    pub(super) fn cost(&self) -> u64 {
        ((Self::VALUES - self.values) + (Self::BYTES - self.bytes) / 32) as u64
    }

    fn take(&mut self, values: usize, bytes: usize) -> Result<(), String> {
        let left = self.values.checked_sub(values).zip(self.bytes.checked_sub(bytes));
        let Some((values, bytes)) = left else {
            return Err(format!(
                "too much to read at once: {} values and {} bytes",
                Self::VALUES,
                Self::BYTES
            ));
        };
        (self.values, self.bytes) = (values, bytes);
        Ok(())
    }
}

/// The value of a field.
#[inline]
pub(super) fn value_of(field: &dyn PartialReflect, leaf: Leaf, budget: &mut Budget) -> Result<Value, String> {
    match leaf {
        Leaf::Vec3 => {
            if let Some(vector) = field.try_downcast_ref::<Vec3>() {
                return Ok(Value::Vector(vector.to_array()));
            }
        }
        Leaf::F32 => {
            if let Some(number) = field.try_downcast_ref::<f32>() {
                return Ok(Value::Number((*number).into()));
            }
        }
        Leaf::Other => {}
    }
    value(field, budget, 0)
}

fn value(reflect: &dyn PartialReflect, budget: &mut Budget, depth: usize) -> Result<Value, String> {
    budget.take(1, 0)?;
    if let Some(simple) = simple(reflect, budget)? {
        return Ok(simple);
    }
    if depth == MAX_DEPTH {
        return Err(format!("tables in it are nested too deep: {MAX_DEPTH} levels are read"));
    }
    let mut inside = |part: &dyn PartialReflect| value(part, budget, depth + 1);
    Ok(match reflect.reflect_ref() {
        ReflectRef::Struct(it) => {
            let mut entries = Vec::with_capacity(it.field_len());
            for i in 0..it.field_len() {
                if let (Some(name), Some(field)) = (it.name_at(i), it.field_at(i)) {
                    entries.push((Value::from(name), inside(field)?));
                }
            }
            Value::Table(entries)
        }
        ReflectRef::TupleStruct(it) if it.field_len() == 1 => match it.field(0) {
            Some(field) => inside(field)?,
            None => Value::Nil,
        },
        ReflectRef::TupleStruct(it) => sequence(it.iter_fields(), inside)?,
        ReflectRef::Tuple(it) => sequence(it.iter_fields(), inside)?,
        ReflectRef::List(it) => sequence(it.iter(), inside)?,
        ReflectRef::Array(it) => sequence(it.iter(), inside)?,
        ReflectRef::Set(it) => sequence(it.iter(), inside)?,
        ReflectRef::Map(it) => {
            let mut entries = Vec::with_capacity(it.len().min(Budget::VALUES));
            for (key, value) in it.iter() {
                entries.push((inside(key)?, inside(value)?));
            }
            Value::Table(entries)
        }
        ReflectRef::Enum(it) => variant(it, inside)?,
        _ => return Err(format!("scripts cannot read a `{}`", reflect.reflect_short_type_path())),
    })
}

fn sequence<'r>(
    parts: impl Iterator<Item = &'r dyn PartialReflect>,
    mut inside: impl FnMut(&dyn PartialReflect) -> Result<Value, String>,
) -> Result<Value, String> {
    let mut entries = Vec::new();
    for (i, part) in parts.enumerate() {
        entries.push((Value::Number((i + 1) as f64), inside(part)?));
    }
    Ok(Value::Table(entries))
}

fn variant(
    it: &dyn Enum,
    mut inside: impl FnMut(&dyn PartialReflect) -> Result<Value, String>,
) -> Result<Value, String> {
    let name = it.variant_name();
    let is_option = it.reflect_type_path().starts_with("core::option::Option<");
    let content = match it.variant_type() {
        VariantType::Unit if is_option => return Ok(Value::Nil),
        VariantType::Unit => return Ok(Value::from(name)),
        VariantType::Tuple if it.field_len() == 1 => match it.field_at(0) {
            Some(field) => inside(field)?,
            None => Value::Nil,
        },
        VariantType::Tuple => sequence((0..it.field_len()).filter_map(|i| it.field_at(i)), inside)?,
        VariantType::Struct => {
            let mut entries = Vec::with_capacity(it.field_len());
            for i in 0..it.field_len() {
                if let (Some(name), Some(field)) = (it.name_at(i), it.field_at(i)) {
                    entries.push((Value::from(name), inside(field)?));
                }
            }
            Value::Table(entries)
        }
    };
    Ok(if is_option { content } else { Value::Table(vec![(Value::from(name), content)]) })
}

/// A value that is no table.
fn simple(reflect: &dyn PartialReflect, budget: &mut Budget) -> Result<Option<Value>, String> {
    macro_rules! numbers {
        ($reflect:ident: $($type:ty),*) => {$(
            if let Some(number) = $reflect.try_downcast_ref::<$type>() {
                return Value::of(number).map(Some).map_err(|error| error.to_string());
            }
        )*};
    }
    let mut text = |text: &str| {
        budget.take(0, text.len())?;
        Ok(Some(Value::from(text)))
    };
    match reflect.reflect_kind() {
        ReflectKind::Opaque => {
            numbers!(reflect: f32, f64, bool, i32, u32, i64, u64, usize, isize, i8, u8, i16, u16, i128, u128);
            if let Some(found) = reflect.try_downcast_ref::<String>() {
                return text(found);
            }
            if let Some(found) = reflect.try_downcast_ref::<Cow<'static, str>>() {
                return text(found);
            }
            if let Some(found) = reflect.try_downcast_ref::<&'static str>() {
                return text(found);
            }
            if let Some(found) = reflect.try_downcast_ref::<char>() {
                return text(found.encode_utf8(&mut [0; 4]));
            }
            Ok(reflect.try_downcast_ref::<Entity>().copied().map(Value::Entity))
        }
        ReflectKind::Struct => {
            let vector = reflect.try_downcast_ref::<Vec3>().copied();
            let vector = vector.or_else(|| reflect.try_downcast_ref::<Vec3A>().map(|&vector| vector.into()));
            Ok(vector.map(|vector| Value::Vector(vector.to_array())))
        }
        ReflectKind::Array => Ok(reflect.try_downcast_ref::<[f32; 3]>().copied().map(Value::Vector)),
        ReflectKind::TupleStruct => match reflect.try_downcast_ref::<Name>() {
            Some(name) => text(name.as_str()),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

/// Whether a type is one of those that [`simple`] makes vectors of.
pub(super) fn is_vector(id: TypeId) -> bool {
    [TypeId::of::<Vec3>(), TypeId::of::<Vec3A>(), TypeId::of::<[f32; 3]>()].contains(&id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Reflect)]
    enum Mood {
        Calm,
        Angry(u8),
        Afraid { of: Option<Entity> },
    }

    fn read(reflect: &dyn PartialReflect) -> Result<String, String> {
        value_of(reflect, Leaf::Other, &mut Budget::new()).map(|value| value.to_string())
    }

    #[test]
    fn reflected_values_are_what_serde_would_make_of_them() {
        for (value, expected) in [
            (&Vec3::new(1.0, 2.0, 3.0) as &dyn PartialReflect, "1, 2, 3"),
            (&[1.5_f32, 2.0, 3.0], "1.5, 2, 3"),
            (&Vec2::new(1.0, 2.0), r#"{["x"] = 1, ["y"] = 2}"#),
            (&vec![7_u8, 8], "{[1] = 7, [2] = 8}"),
            (&Some(3_i64), "3"),
            (&None::<f32>, "nil"),
            (&(1_u16, true), "{[1] = 1, [2] = true}"),
            (&Mood::Calm, "\"Calm\""),
            (&Mood::Angry(3), r#"{["Angry"] = 3}"#),
            (&Mood::Afraid { of: None }, r#"{["Afraid"] = {["of"] = nil}}"#),
            (&Name::new("wolf"), "\"wolf\""),
        ] {
            assert_eq!(read(value), Ok(expected.to_owned()));
        }
        let entity = Entity::from_bits(7);
        assert_eq!(value_of(&entity, Leaf::Other, &mut Budget::new()), Ok(entity.into()));
    }

    #[test]
    fn what_is_too_much_or_has_no_value_is_an_error() {
        assert!(read(&vec![0_u8; 70_000]).unwrap_err().starts_with("too much to read at once"));
        assert!(read(&"x".repeat(2 << 20)).unwrap_err().starts_with("too much to read at once"));
        assert!(read(&u64::MAX).unwrap_err().contains("beyond 2^53"));
        assert_eq!(read(&std::time::Duration::ZERO).unwrap_err(), "scripts cannot read a `Duration`");
    }
}
