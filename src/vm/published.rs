//! What the game lets the scripts of a VM read without waiting.

use bevy::prelude::*;

use crate::types::Published;
use crate::value::Value;

/// On a [`Vm`](crate::Vm): values that its scripts read with `host.get(name)`, inside their slice.
///
/// [`publish`](crate::VmCommandsExt::publish) puts them here.
#[derive(Component, Clone, Debug, Default)]
pub struct PublishedValues(pub(crate) Published);

impl PublishedValues {
    /// The value with a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|value| &**value)
    }
}
