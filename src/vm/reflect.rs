//! [`VmLimits`] through reflection: the fields of the [`Limits`] that it shares.
//!
//! Derived, it would be one opaque `Arc`, of which inspectors show nothing.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bevy::prelude::*;
use bevy::reflect::structs::StructInfo;
use bevy::reflect::utility::NonGenericTypeInfoCell;
use bevy::reflect::{
    ApplyError, FromType, GetTypeRegistration, PartialReflect, ReflectCloneError, ReflectFromPtr,
    ReflectFromReflect, ReflectMut, ReflectOwned, ReflectRef, TypeInfo, TypeRegistration, TypeRegistry,
    Typed,
};

use super::VmLimits;
use crate::types::Limits;

impl Typed for VmLimits {
    fn type_info() -> &'static TypeInfo {
        static INFO: NonGenericTypeInfoCell = NonGenericTypeInfoCell::new();
        INFO.get_or_set(|| {
            let limits = Limits::type_info().as_struct().map(|limits| limits.iter().cloned().collect());
            TypeInfo::Struct(StructInfo::new::<Self>(&limits.unwrap_or_else(|_| Vec::new())))
        })
    }
}

impl GetTypeRegistration for VmLimits {
    fn get_type_registration() -> TypeRegistration {
        let mut registration = TypeRegistration::of::<Self>();
        registration.insert::<ReflectFromPtr>(FromType::<Self>::from_type());
        registration.insert::<ReflectFromReflect>(FromType::<Self>::from_type());
        registration.insert::<ReflectDefault>(FromType::<Self>::from_type());
        registration.insert::<ReflectComponent>(FromType::<Self>::from_type());
        registration
    }

    fn register_type_dependencies(registry: &mut TypeRegistry) {
        registry.register::<Limits>();
    }
}

impl FromReflect for VmLimits {
    fn from_reflect(reflect: &dyn PartialReflect) -> Option<Self> {
        match reflect.try_downcast_ref::<Self>() {
            Some(limits) => Some(limits.clone()),
            None => Limits::from_reflect(reflect).map(Self::from),
        }
    }
}

impl PartialReflect for VmLimits {
    fn get_represented_type_info(&self) -> Option<&'static TypeInfo> {
        Some(Self::type_info())
    }

    fn into_partial_reflect(self: Box<Self>) -> Box<dyn PartialReflect> {
        self
    }

    fn as_partial_reflect(&self) -> &dyn PartialReflect {
        self
    }

    fn as_partial_reflect_mut(&mut self) -> &mut dyn PartialReflect {
        self
    }

    fn try_into_reflect(self: Box<Self>) -> Result<Box<dyn Reflect>, Box<dyn PartialReflect>> {
        Ok(self)
    }

    fn try_as_reflect(&self) -> Option<&dyn Reflect> {
        Some(self)
    }

    fn try_as_reflect_mut(&mut self) -> Option<&mut dyn Reflect> {
        Some(self)
    }

    fn try_apply(&mut self, value: &dyn PartialReflect) -> Result<(), ApplyError> {
        Arc::make_mut(&mut self.0).try_apply(value)
    }

    fn reflect_ref(&self) -> ReflectRef<'_> {
        // Not of the `Arc`, which is opaque.
        Limits::reflect_ref(&self.0)
    }

    fn reflect_mut(&mut self) -> ReflectMut<'_> {
        Arc::make_mut(&mut self.0).reflect_mut()
    }

    fn reflect_owned(self: Box<Self>) -> ReflectOwned {
        Box::new(Limits::clone(&self.0)).reflect_owned()
    }

    fn reflect_clone(&self) -> Result<Box<dyn Reflect>, ReflectCloneError> {
        Ok(Box::new(self.clone()))
    }

    fn reflect_partial_eq(&self, value: &dyn PartialReflect) -> Option<bool> {
        Limits::reflect_partial_eq(&self.0, value)
    }

    fn debug(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Reflect for VmLimits {
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn into_reflect(self: Box<Self>) -> Box<dyn Reflect> {
        self
    }

    fn as_reflect(&self) -> &dyn Reflect {
        self
    }

    fn as_reflect_mut(&mut self) -> &mut dyn Reflect {
        self
    }

    fn set(&mut self, value: Box<dyn Reflect>) -> Result<(), Box<dyn Reflect>> {
        *self = value.take()?;
        Ok(())
    }
}
