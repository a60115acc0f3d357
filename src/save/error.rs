//! What can go wrong with saves.

use bevy::prelude::*;
use thiserror::Error;

/// Why a VM could not be saved.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaveError {
    /// The entity has no [`Vm`](crate::Vm).
    #[error("{0} is no VM")]
    NoVm(Entity),
    /// The app has no [`LuauOsPlugin`](crate::LuauOsPlugin).
    #[error("LuauOsPlugin was not added")]
    NoRuntime,
    /// There is not enough memory for it.
    #[error("out of memory")]
    OutOfMemory,
}

/// What is wrong with a save.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("at byte {offset}: {reason}")]
#[non_exhaustive]
pub struct LoadError {
    /// Where, from the start of the save.
    pub offset: usize,
    /// What.
    pub reason: Box<str>,
}

impl LoadError {
    pub(crate) fn new(offset: usize, reason: impl Into<Box<str>>) -> Self {
        Self { offset, reason: reason.into() }
    }
}
