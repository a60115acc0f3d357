//! The game's world, as functions see it that scripts call during a slice.
//!
//! While slices run nobody changes the world, so functions read it in place. What they are asked to change is noted, in
//! order, and done when all slices of the tick are over.
#![cfg_attr(
    not(feature = "ecs"),
    expect(dead_code, reason = "only what the feature adds calls such functions")
)]

use std::any::Any;
use std::fmt;

use bevy::ecs::entity::Entity;

use super::arguments::CallArguments;
use crate::value::{Column, Value};

/// Functions that look at the world, by number.
pub(crate) trait WorldFunctions: Sync {
    fn call(
        &self,
        function: usize,
        caller: WorldCaller,
        arguments: &CallArguments,
        changes: &mut Vec<WorldChange>,
    ) -> Result<WorldResults, String>;
}

/// The world of the phase under way, if it has one for scripts.
#[derive(Clone, Copy, Default)]
pub(crate) struct WorldRef<'w>(pub(crate) Option<&'w dyn WorldFunctions>);

impl fmt::Debug for WorldRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorldRef").field(&self.0.is_some()).finish()
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorldCaller {
    pub(crate) vm: Entity,
}

/// What a function returns. What it took it has [charged](CallArguments::charge).
pub(crate) enum WorldResults {
    One(Value),
    /// Each becomes an array.
    Columns(Vec<Column>),
}

/// What is to be changed.
pub(crate) enum WorldChange {
    /// A field, by its number, of an entity. Most changes are such.
    Field { field: u32, entity: Entity, value: Value },
    /// What only the functions know.
    Other(Box<dyn Any + Send + Sync>),
}
