//! The fields that scripts have asked for, so that each is resolved once.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use bevy::platform::collections::HashMap;
use bevy::prelude::*;
use bevy::reflect::TypeRegistry;

use super::field::Field;

/// Fields that are kept. A script could ask for `items[0]`, `items[1]` and so on without end.
const MAX_FIELDS: usize = 4096;

/// What it takes to resolve a field, in safepoints.
pub(super) const RESOLVED: u64 = 64;

/// See the [module](self). While slices run nobody changes the table, and new fields wait.
#[derive(Resource, Default)]
pub(super) struct Fields {
    numbers: HashMap<Box<[u8]>, u32>,
    fields: Vec<Arc<Field>>,
    new: Mutex<Vec<Arc<Field>>>,
}

/// A field that was found.
pub(super) enum Found<'f> {
    Kept(u32, &'f Field),
    New(Arc<Field>),
}

impl Deref for Found<'_> {
    type Target = Field;

    #[inline]
    fn deref(&self) -> &Field {
        match self {
            Self::Kept(_, field) => field,
            Self::New(field) => field,
        }
    }
}

impl Fields {
    /// The field with a name. If it is not [`Found::Kept`], this took long.
    #[inline]
    pub(super) fn find(&self, name: &[u8], registry: &TypeRegistry) -> Result<Found<'_>, String> {
        if let Some(&number) = self.numbers.get(name) {
            return Ok(Found::Kept(number, &self.fields[number as usize]));
        }
        self.find_new(name, registry)
    }

    #[cold]
    fn find_new(&self, name: &[u8], registry: &TypeRegistry) -> Result<Found<'_>, String> {
        let name = std::str::from_utf8(name).map_err(|error| error.to_string())?;
        let field = Arc::new(Field::resolve(name, registry)?);
        let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        if self.fields.len() + new.len() < MAX_FIELDS {
            new.push(field.clone());
        }
        Ok(Found::New(field))
    }

    pub(super) fn get(&self, number: u32) -> Option<&Arc<Field>> {
        self.fields.get(number as usize)
    }

    /// Whether some wait.
    pub(super) fn has_new(&self) -> bool {
        !self.new.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Keeps what has been found since.
    pub(super) fn keep_new(&mut self) {
        for field in self.new.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let number = self.fields.len() as u32;
            if self.numbers.try_insert(field.name.as_bytes().into(), number).is_ok() {
                self.fields.push(field);
            }
        }
    }
}
