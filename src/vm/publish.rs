//! The game publishes values for the scripts of a VM.

use std::sync::Arc;

use bevy::prelude::*;
use serde::Serialize;

use super::{PublishedValues, Vm};
use crate::runtime::LuauRuntime;
use crate::value::Value;

/// Publishes a value for the scripts of a VM, in the place of the last one with that name.
pub(super) fn publish<T: Serialize>(entity: &mut EntityCommands<'_>, name: &str, value: &T) {
    let value = match Value::of(value) {
        Ok(value) => Arc::new(value),
        Err(error) => return error!("{name:?} was not published: {error}"),
    };
    let name: Box<str> = name.into();
    entity.queue_silenced(move |mut entity: EntityWorldMut| {
        if !entity.contains::<PublishedValues>() {
            entity.insert(PublishedValues::default());
        }
        let Some(mut published) = entity.get_mut::<PublishedValues>() else { return };
        Arc::make_mut(&mut published.0).insert(name, value);
        let published = published.0.clone();
        let Some(handle) = entity.get::<Vm>().and_then(|vm| vm.handle) else { return };
        if let Some(mut runtime) = entity.get_resource_mut::<LuauRuntime>() {
            runtime.isolate_mut(handle.isolate).publish(handle.key, published);
        }
    });
}
