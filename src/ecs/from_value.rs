//! From values of scripts to reflected values, by the type that is to be there.
//!
//! A table needs not have all fields: what it does not name stays as it is.

use std::any::TypeId;
use std::borrow::Cow;

use bevy::math::Vec3A;
use bevy::prelude::*;
use bevy::reflect::array::DynamicArray;
use bevy::reflect::enums::{DynamicEnum, DynamicVariant, EnumInfo, VariantInfo};
use bevy::reflect::list::DynamicList;
use bevy::reflect::structs::DynamicStruct;
use bevy::reflect::tuple::DynamicTuple;
use bevy::reflect::tuple_struct::DynamicTupleStruct;
use bevy::reflect::{TypeInfo, TypeRegistry};
use serde::de::DeserializeOwned;

use super::into_value::is_vector;
use crate::value::Value;

type Made = Result<Box<dyn PartialReflect>, String>;

/// A value of a type.
///
/// # Errors
///
/// Says what was expected and what came, and where.
pub(super) fn reflect_of(value: Value, info: &'static TypeInfo, registry: &TypeRegistry) -> Made {
    if let Some(simple) = simple(&value, info.type_id()) {
        return simple;
    }
    let (value, info) = match (value, info) {
        // As they were read.
        (Value::Vector(lanes), _) if is_vector(info.type_id()) => return vector(lanes, info.type_id()),
        (Value::Vector([x, y, _]), _) if info.type_id() == TypeId::of::<Vec2>() => {
            return Ok(Box::new(Vec2::new(x, y)));
        }
        pair => pair,
    };
    match info {
        TypeInfo::Enum(it) => variant(value, info, it, registry),
        TypeInfo::Struct(it) => {
            let fields = it.field_names();
            let mut made = DynamicStruct::default();
            made.set_represented_type(Some(info));
            for (key, value) in entries(value, info)? {
                let (name, field) = match &key {
                    Value::Number(position) => {
                        let index = (*position - 1.0) as usize;
                        (fields.get(index).copied(), it.field_at(index))
                    }
                    key => {
                        let name = key.as_str();
                        let field = name.and_then(|name| it.field(name));
                        (field.map(|field| field.name()), field)
                    }
                };
                let Some((name, field)) = name.zip(field) else {
                    return Err(format!("there is no field {key}, but {}", fields.join(", ")));
                };
                let field =
                    part(value, field.type_info(), registry).map_err(|why| format!("{name}: {why}"))?;
                made.insert_boxed(name, field);
            }
            Ok(Box::new(made))
        }
        TypeInfo::TupleStruct(it) => {
            let mut made = DynamicTupleStruct::default();
            made.set_represented_type(Some(info));
            let infos = it.iter().map(|field| field.type_info());
            for field in fields(value, infos, info, registry)? {
                made.insert_boxed(field);
            }
            Ok(Box::new(made))
        }
        TypeInfo::Tuple(it) => {
            let mut made = DynamicTuple::default();
            made.set_represented_type(Some(info));
            let infos = it.iter().map(|field| field.type_info());
            for field in fields(value, infos, info, registry)? {
                made.insert_boxed(field);
            }
            Ok(Box::new(made))
        }
        TypeInfo::List(it) => {
            let mut made = DynamicList::default();
            made.set_represented_type(Some(info));
            for item in items(value, it.item_info(), info, registry)? {
                made.push_box(item);
            }
            Ok(Box::new(made))
        }
        TypeInfo::Array(it) => {
            let items = items(value, it.item_info(), info, registry)?;
            if items.len() != it.capacity() {
                return Err(format!("expected {} values, got {}", it.capacity(), items.len()));
            }
            let mut made = DynamicArray::new(items.into());
            made.set_represented_type(Some(info));
            Ok(Box::new(made))
        }
        _ => Err(format!("scripts cannot make a `{}`", name(info))),
    }
}

fn name(info: &TypeInfo) -> &'static str {
    info.type_path_table().short_path()
}

fn part(value: Value, info: Option<&'static TypeInfo>, registry: &TypeRegistry) -> Made {
    let info = info.ok_or("its type has no reflection")?;
    reflect_of(value, info, registry)
}

fn unexpected(value: &Value, expected: &str) -> String {
    format!("expected {expected}, got {}", kind(value))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Number(_) => "number",
        Value::Vector(_) => "vector",
        Value::String(_) => "string",
        Value::Buffer(_) => "buffer",
        Value::Entity(_) => "entity",
        Value::Table(_) => "table",
        Value::Opaque(kind) => kind,
    }
}

fn entries(value: Value, info: &TypeInfo) -> Result<Vec<(Value, Value)>, String> {
    match value {
        Value::Table(entries) => Ok(entries),
        other => Err(unexpected(&other, &format!("table for `{}`", name(info)))),
    }
}

/// The elements of a table that is a sequence.
fn sequence(value: Value, info: &TypeInfo) -> Result<Vec<Value>, String> {
    let mut entries = entries(value, info)?;
    let position = |key: &Value| key.as_f64().unwrap_or(f64::NAN);
    entries.sort_by(|(a, _), (b, _)| position(a).total_cmp(&position(b)));
    let is_sequence = entries.iter().zip(1..).all(|((key, _), i)| position(key) == f64::from(i));
    if !is_sequence {
        return Err(format!("expected a sequence for `{}`", name(info)));
    }
    Ok(entries.into_iter().map(|(_, value)| value).collect())
}

fn items(
    value: Value,
    item: Option<&'static TypeInfo>,
    info: &TypeInfo,
    registry: &TypeRegistry,
) -> Result<Vec<Box<dyn PartialReflect>>, String> {
    let items = sequence(value, info)?.into_iter().enumerate();
    items.map(|(i, value)| part(value, item, registry).map_err(|why| format!("[{}]: {why}", i + 1))).collect()
}

/// The fields of a tuple: by position, or the value itself if there is one.
fn fields(
    value: Value,
    infos: impl ExactSizeIterator<Item = Option<&'static TypeInfo>>,
    info: &TypeInfo,
    registry: &TypeRegistry,
) -> Result<Vec<Box<dyn PartialReflect>>, String> {
    let count = infos.len();
    let values = if count == 1 { vec![value] } else { sequence(value, info)? };
    if values.len() != count {
        return Err(format!("expected {count} values, got {}", values.len()));
    }
    values.into_iter().zip(infos).map(|(value, info)| part(value, info, registry)).collect()
}

fn variant(value: Value, info: &'static TypeInfo, it: &EnumInfo, registry: &TypeRegistry) -> Made {
    let is_option = it.type_path().starts_with("core::option::Option<");
    let (chosen, content) = match value {
        Value::Nil if is_option => ("None".to_owned(), Value::Nil),
        content if is_option => ("Some".to_owned(), content),
        Value::String(_) => (value.as_str().unwrap_or_default().to_owned(), Value::Nil),
        Value::Table(mut entries) if entries.len() == 1 => match entries.pop() {
            Some((key, content)) => (key.as_str().unwrap_or_default().to_owned(), content),
            None => (String::new(), Value::Nil),
        },
        other => return Err(unexpected(&other, "the name of a variant, or a table with that as its key")),
    };
    let Some(variant) = it.variant(&chosen) else {
        return Err(format!("there is no variant {chosen:?}, but {}", it.variant_names().join(", ")));
    };
    let inside = |why| format!("{chosen}: {why}");
    let content = match variant {
        VariantInfo::Unit(_) => DynamicVariant::Unit,
        VariantInfo::Tuple(tuple) => {
            let infos = tuple.iter().map(|field| field.type_info());
            let mut made = DynamicTuple::default();
            for field in fields(content, infos, info, registry).map_err(inside)? {
                made.insert_boxed(field);
            }
            DynamicVariant::Tuple(made)
        }
        VariantInfo::Struct(fields) => {
            let Value::Table(entries) = content else { return Err(unexpected(&content, "table")) };
            let mut made = DynamicStruct::default();
            for field in fields.iter() {
                let value = entries.iter().find(|(key, _)| key.as_str() == Some(field.name()));
                let value = value.map_or(Value::Nil, |(_, value)| value.clone());
                let value = part(value, field.type_info(), registry);
                made.insert_boxed(
                    field.name(),
                    value.map_err(|why| format!("{chosen}.{}: {why}", field.name()))?,
                );
            }
            DynamicVariant::Struct(made)
        }
    };
    let mut made = DynamicEnum::new(chosen, content);
    made.set_represented_type(Some(info));
    Ok(Box::new(made))
}

fn vector(lanes: [f32; 3], id: TypeId) -> Made {
    Ok(match id {
        id if id == TypeId::of::<Vec3>() => Box::new(Vec3::from_array(lanes)),
        id if id == TypeId::of::<Vec3A>() => Box::new(Vec3A::from_array(lanes)),
        _ => Box::new(lanes),
    })
}

/// A value of a type that is no table, if it is such a type.
fn simple(value: &Value, id: TypeId) -> Option<Made> {
    macro_rules! read {
        ($($type:ty),*) => {$(
            if id == TypeId::of::<$type>() {
                return Some(read::<$type>(value));
            }
        )*};
    }
    read!(f32, f64, bool, i32, u32, i64, u64, usize, isize, i8, u8, i16, u16, String, char);
    if id == TypeId::of::<Entity>() {
        let entity = value.as_entity().ok_or_else(|| unexpected(value, "entity"));
        return Some(entity.map(|entity| Box::new(entity) as _));
    }
    let text = || value.as_str().ok_or_else(|| unexpected(value, "string"));
    if id == TypeId::of::<Cow<'static, str>>() {
        return Some(text().map(|text| Box::new(Cow::<'static, str>::Owned(text.to_owned())) as _));
    }
    if id == TypeId::of::<Name>() {
        return Some(text().map(|text| Box::new(Name::new(text.to_owned())) as _));
    }
    None
}

fn read<T: DeserializeOwned + Reflect>(value: &Value) -> Made {
    let read = value.clone().to::<T>();
    read.map(|value| Box::new(value) as _).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use bevy::reflect::{FromReflect, Typed};

    use super::*;

    #[derive(Reflect, PartialEq, Debug, Default)]
    enum Mood {
        #[default]
        Calm,
        Angry(u8),
        Afraid {
            of: Option<u8>,
        },
    }

    #[derive(Reflect, PartialEq, Debug, Default)]
    struct Robot {
        mood: Mood,
        at: Vec3,
        path: Vec<Vec2>,
        name: String,
    }

    fn made<T: FromReflect + Typed>(value: Value) -> Result<Option<T>, String> {
        let mut registry = TypeRegistry::new();
        registry.register::<Mood>();
        reflect_of(value, T::type_info(), &registry).map(|made| T::from_reflect(&*made))
    }

    fn table<const N: usize>(entries: [(&str, Value); N]) -> Value {
        Value::Table(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    #[test]
    fn values_become_what_the_type_is() {
        let path = Value::of(&[[1.0_f32, 2.0], [3.0, 4.0]]).expect("it has a value");
        let robot = table([
            ("mood", table([("Angry", 3.into())])),
            ("at", [1.0, 2.0, 3.0].into()),
            ("path", path),
            ("name", "x".into()),
        ]);
        let expected = Robot {
            mood: Mood::Angry(3),
            at: Vec3::new(1.0, 2.0, 3.0),
            path: vec![Vec2::new(1.0, 2.0), Vec2::new(3.0, 4.0)],
            name: "x".to_owned(),
        };
        assert_eq!(made(robot), Ok(Some(expected)));
        let afraid = table([("Afraid", table([("of", 4.into())]))]);
        assert_eq!(made(afraid), Ok(Some(Mood::Afraid { of: Some(4) })));
        assert_eq!(made("Calm".into()), Ok(Some(Mood::Calm)));
        assert_eq!(made(Value::Nil), Ok(Some(None::<f32>)));
        assert_eq!(made(Value::of(&[1, 2]).expect("it has a value")), Ok(Some([1_u8, 2])));
    }

    #[test]
    fn what_does_not_fit_says_where_and_why() {
        let error = |value| made::<Robot>(value).expect_err("it does not fit");
        assert_eq!(error(table([("at", 1.into())])), "at: expected table for `Vec3`, got number");
        assert_eq!(
            error(table([("mood", "Sad".into())])),
            "mood: there is no variant \"Sad\", but Calm, Angry, Afraid"
        );
        assert_eq!(
            error(table([("mood", table([("Angry", 300.into())]))])),
            "mood: Angry: expected integer that is not negative, got 300"
        );
        assert!(
            error(table([("color", 1.into())]))
                .contains("there is no field \"color\", but mood, at, path, name")
        );
        assert_eq!(error(7.into()), "expected table for `Robot`, got number");
        assert_eq!(made::<Entity>(7.into()).expect_err("it is none"), "expected entity, got number");
        assert_eq!(made::<[u8; 3]>(table([])).expect_err("there are none"), "expected 3 values, got 0");
    }
}
