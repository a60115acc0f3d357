//! Types for editors: what the scripts of a VM may reach, as Luau declarations.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt::Write;

use bevy::prelude::*;
use bevy::reflect::enums::VariantInfo;
use bevy::reflect::{TypeInfo, TypeRegistry};

use super::access::EcsAccess;
use super::into_value::is_vector;

/// Tables inside tables.
const MAX_DEPTH: usize = 6;

/// Declares types for editors.
pub trait EcsTypesExt {
    /// The components and resources that `access` grants, as a file for luau-lsp beside `luau_os.d.luau`: each is the type
    /// of what `ecs.get` and `ecs.query` return of it. It also lists the paths of their fields.
    fn ecs_types(&self, access: &EcsAccess) -> String;
}

impl EcsTypesExt for World {
    fn ecs_types(&self, access: &EcsAccess) -> String {
        let registry = self.resource::<AppTypeRegistry>().read();
        let mut types = BTreeMap::new();
        for (id, is_writable) in access.types() {
            if let Some(info) = registry.get_type_info(id) {
                let writable = *types.entry(info.type_path_table().short_path()).or_insert((info, false));
                types.insert(info.type_path_table().short_path(), (info, writable.1 || is_writable));
            }
        }
        let mut text = String::from("-- What scripts reach in the world: see `ecs` in luau_os.d.luau.\n");
        for (name, (info, is_writable)) in types {
            let access = if is_writable { "read and written" } else { "read" };
            let _ = write!(text, "\n--- {name}, {access}.");
            for path in paths(name, info) {
                let _ = write!(text, "\n--- - {path}");
            }
            let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let _ = writeln!(text, "\nexport type {name} = {}", luau_type(info, &registry, 0));
        }
        text
    }
}

/// The fields of a struct, as paths with their types.
fn paths(name: &str, info: &'static TypeInfo) -> Vec<String> {
    let TypeInfo::Struct(fields) = info else { return Vec::new() };
    fields.iter().map(|field| format!("\"{name}.{}\"", field.name())).collect()
}

fn luau_type(info: &'static TypeInfo, registry: &TypeRegistry, depth: usize) -> String {
    let id = info.type_id();
    if is_vector(id) {
        return "vector".to_owned();
    }
    if id == TypeId::of::<Name>() {
        return "string".to_owned();
    }
    let inside = |info: Option<&'static TypeInfo>| match info {
        Some(info) if depth < MAX_DEPTH => luau_type(info, registry, depth + 1),
        _ => "any".to_owned(),
    };
    match info {
        TypeInfo::Opaque(it) => match it.type_path() {
            "f32" | "f64" | "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32"
            | "u64" | "u128" | "usize" => "number",
            "bool" => "boolean",
            "alloc::string::String" | "char" => "string",
            path if path.ends_with("::Entity") => "Entity",
            path if path.contains("str") => "string",
            _ => "any",
        }
        .to_owned(),
        TypeInfo::Struct(it) => {
            let fields: Vec<String> =
                it.iter().map(|field| format!("{}: {}", field.name(), inside(field.type_info()))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        TypeInfo::TupleStruct(it) if it.field_len() == 1 => {
            inside(it.field_at(0).and_then(|it| it.type_info()))
        }
        TypeInfo::TupleStruct(it) => tuple(it.iter().map(|field| inside(field.type_info()))),
        TypeInfo::Tuple(it) => tuple(it.iter().map(|field| inside(field.type_info()))),
        TypeInfo::List(it) => format!("{{ {} }}", inside(it.item_info())),
        TypeInfo::Array(it) => format!("{{ {} }}", inside(it.item_info())),
        TypeInfo::Set(it) => format!("{{ {} }}", inside(registry.get_type_info(it.value_ty().id()))),
        TypeInfo::Map(it) => format!("{{ [{}]: {} }}", inside(it.key_info()), inside(it.value_info())),
        TypeInfo::Enum(it) if it.type_path().starts_with("core::option::Option<") => {
            let some = it.variant("Some").and_then(|variant| variant.as_tuple_variant().ok());
            let some = some.and_then(|some| some.field_at(0)).and_then(|field| field.type_info());
            format!("{}?", inside(some))
        }
        TypeInfo::Enum(it) => {
            let variants: Vec<String> = it
                .iter()
                .map(|variant| match variant {
                    VariantInfo::Unit(it) => format!("\"{}\"", it.name()),
                    VariantInfo::Tuple(it) if it.field_len() == 1 => {
                        format!(
                            "{{ {}: {} }}",
                            it.name(),
                            inside(it.field_at(0).and_then(|it| it.type_info()))
                        )
                    }
                    other => format!("{{ {}: any }}", other.name()),
                })
                .collect();
            variants.join(" | ")
        }
    }
}

/// Luau has no tuples: an array of what may be in one.
fn tuple(types: impl Iterator<Item = String>) -> String {
    let mut types: Vec<String> = types.collect();
    types.sort();
    types.dedup();
    format!("{{ {} }}", types.join(" | "))
}
