//! Fields: what scripts name with a type and a path, such as `Transform.translation.x`.

use std::any::TypeId;
use std::sync::OnceLock;

use bevy::ecs::component::ComponentId;
use bevy::ecs::reflect::ReflectComponent;
use bevy::prelude::*;
use bevy::reflect::{
    Access, OffsetAccess, ParsedPath, ReflectPath, TypeInfo, TypeRegistration, TypeRegistry,
};

/// Bytes of a name.
const MAX_NAME: usize = 256;

/// Elements of a path.
const MAX_STEPS: usize = 16;

/// A type of component, or a place in one.
pub(super) struct Field {
    pub(super) name: Box<str>,
    pub(super) type_id: TypeId,
    pub(super) reflect: ReflectComponent,
    path: ParsedPath,
    pub(super) leaf: Leaf,
    /// The type of what is there, if it does not depend on an enum.
    pub(super) info: Option<&'static TypeInfo>,
    /// Whether components of the type can be changed. Known as soon as one was to be.
    is_mutable: OnceLock<bool>,
}

/// What is there, if it is one of the types that most fields have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    F32,
    Vec3,
    Other,
}

impl Field {
    /// # Errors
    ///
    /// Says what is not there, and what there is.
    pub(super) fn resolve(name: &str, registry: &TypeRegistry) -> Result<Self, String> {
        if name.len() > MAX_NAME {
            return Err(format!("a path of {} bytes; it may have {MAX_NAME}", name.len()));
        }
        let (type_name, path) = name.split_at(end_of_type(name));
        let registration = find_type(type_name, registry)?;
        let Some(reflect) = registration.data::<ReflectComponent>() else {
            return Err(format!("`{type_name}` is no component: it needs `#[reflect(Component)]`"));
        };
        let mut info = Some(registration.type_info());
        let mut steps = Vec::new();
        if !path.is_empty() {
            let parsed = ParsedPath::parse(path).map_err(|error| format!("`{name}`: {error}"))?;
            if parsed.0.len() > MAX_STEPS {
                return Err(format!("a path of {} fields; it may have {MAX_STEPS}", parsed.0.len()));
            }
            for OffsetAccess { access, .. } in parsed.0 {
                let (step, next) = step(access, info).map_err(|why| format!("`{name}`: {why}"))?;
                steps.push(step);
                info = next;
            }
        }
        let leaf = match info.map(TypeInfo::type_id) {
            Some(id) if id == TypeId::of::<f32>() => Leaf::F32,
            Some(id) if id == TypeId::of::<Vec3>() => Leaf::Vec3,
            _ => Leaf::Other,
        };
        Ok(Self {
            name: name.into(),
            type_id: registration.type_id(),
            reflect: reflect.clone(),
            path: steps.into(),
            leaf,
            info,
            is_mutable: OnceLock::new(),
        })
    }

    /// The type alone.
    pub(super) fn type_name(&self) -> &str {
        &self.name[..end_of_type(&self.name)]
    }

    pub(super) fn is_whole(&self) -> bool {
        self.path.0.is_empty()
    }

    /// `None` as long as nothing in the world has such a component.
    pub(super) fn component(&self, world: &World) -> Option<ComponentId> {
        world.components().get_valid_id(self.type_id)
    }

    /// Whether components of the type, of which there is one, can be changed. Others are only replaced.
    #[inline]
    pub(super) fn is_mutable(&self, world: &World) -> bool {
        let info = || self.component(world).and_then(|id| world.components().get_info(id));
        *self.is_mutable.get_or_init(|| info().is_some_and(|info| info.mutable()))
    }

    /// The field of an entity. `None` if it has no such component.
    #[inline]
    pub(super) fn of<'w>(&self, entity: EntityRef<'w>) -> Option<Result<&'w dyn PartialReflect, String>> {
        let component = self.reflect.reflect(entity)?.as_partial_reflect();
        Some(self.path.reflect_element(component).map_err(|error| format!("`{}`: {error}", self.name)))
    }

    /// The field in a component that may be changed.
    pub(super) fn of_mut<'c>(
        &self,
        component: &'c mut dyn PartialReflect,
    ) -> Result<&'c mut dyn PartialReflect, String> {
        self.path.reflect_element_mut(component).map_err(|error| format!("`{}`: {error}", self.name))
    }
}

/// Where the name of a type ends: at the first dot or bracket that is not one of its parameters'.
fn end_of_type(name: &str) -> usize {
    let mut depth = 0_i32;
    let end = name.bytes().position(|byte| {
        match byte {
            b'<' => depth += 1,
            b'>' => depth -= 1,
            _ => {}
        }
        depth <= 0 && matches!(byte, b'.' | b'[' | b'#')
    });
    end.unwrap_or(name.len())
}

pub(super) fn find_type<'r>(name: &str, registry: &'r TypeRegistry) -> Result<&'r TypeRegistration, String> {
    if registry.is_ambiguous(name) {
        return Err(format!("there are several types `{name}`: use the whole path of the one that is meant"));
    }
    let found = registry.get_with_short_type_path(name).or_else(|| registry.get_with_type_path(name));
    found.ok_or_else(|| format!("there is no type `{name}`: the game registers types with `register_type`"))
}

type Step = (Access<'static>, Option<&'static TypeInfo>);

/// An element of a path, by position where that is known, and the type of what it leads to.
fn step(access: Access<'static>, info: Option<&'static TypeInfo>) -> Result<Step, String> {
    let found = match (&access, info) {
        (_, None | Some(TypeInfo::Enum(_))) => return Ok((access, None)),
        (Access::Field(name), Some(TypeInfo::Struct(info))) => {
            let Some(index) = info.index_of(name) else {
                let there = info.field_names().join(", ");
                return Err(format!("there is no field `{name}`, but {there}"));
            };
            return Ok((Access::FieldIndex(index), info.field_at(index).and_then(|field| field.type_info())));
        }
        (Access::FieldIndex(index), Some(TypeInfo::Struct(info))) => {
            info.field_at(*index).map(|field| field.type_info())
        }
        (Access::TupleIndex(index), Some(TypeInfo::TupleStruct(info))) => {
            info.field_at(*index).map(|field| field.type_info())
        }
        (Access::TupleIndex(index), Some(TypeInfo::Tuple(info))) => {
            info.field_at(*index).map(|field| field.type_info())
        }
        (Access::ListIndex(_), Some(TypeInfo::List(info))) => Some(info.item_info()),
        (Access::ListIndex(_), Some(TypeInfo::Array(info))) => Some(info.item_info()),
        _ => None,
    };
    match found {
        Some(next) => Ok((access, next)),
        None => {
            let kind = info.map_or("value", |info| info.type_path_table().short_path());
            Err(format!("`{kind}` has no `{access}`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(name: &str) -> Result<Field, String> {
        let mut registry = TypeRegistry::new();
        registry.register::<Transform>();
        registry.register::<Vec2>();
        Field::resolve(name, &registry)
    }

    #[test]
    fn a_field_is_found_by_its_type_and_path() {
        let leaf = |name| resolve(name).map(|field| (field.leaf, field.path.0.len()));
        assert_eq!(leaf("Transform"), Ok((Leaf::Other, 0)));
        assert_eq!(leaf("Transform.translation"), Ok((Leaf::Vec3, 1)));
        assert_eq!(leaf("bevy_transform::components::transform::Transform.scale.y"), Ok((Leaf::F32, 2)));
        assert_eq!(end_of_type("a::B<[f32; 3], C.d>.e[1]"), "a::B<[f32; 3], C.d>".len());
    }

    #[test]
    fn what_is_not_there_is_an_error_that_says_what_there_is() {
        for (name, expected) in [
            ("Transformer.scale", "there is no type `Transformer`"),
            ("Vec2.x", "`Vec2` is no component"),
            ("Transform.position", "no field `position`, but translation, rotation, scale"),
            ("Transform.translation.0", "`Vec3` has no `.0`"),
            ("Transform[1]", "has no `[1]`"),
            ("Transform.translation.", "`Transform.translation.`"),
            ("", "there is no type ``"),
        ] {
            let error = resolve(name).err().unwrap_or_default();
            assert!(error.contains(expected), "{name}: {error}");
        }
        assert!(resolve(&format!("Transform{}", ".x".repeat(200))).is_err());
        assert!(resolve(&format!("Transform.translation{}", ".x".repeat(20))).is_err());
    }
}
