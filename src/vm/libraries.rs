//! Which libraries of the game a VM has.

use bevy::prelude::*;

/// On a [`Vm`](crate::Vm): the [libraries](crate::HostLibraryAppExt) that its scripts have beside what all scripts
/// have.
///
/// It holds for processes from their start on: what is changed later, only those find that start later. A name of which
/// there is no library is logged as an error, and left out.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn join(mut commands: Commands) {
///     commands.spawn((Vm::persistent(), HostLibraries::new(["player", "red_team"])));
/// }
/// ```
#[derive(Component, Clone, Debug, Default, PartialEq, Eq, Reflect)]
#[reflect(Component, Clone, Debug, Default, PartialEq)]
pub struct HostLibraries(Vec<String>);

impl HostLibraries {
    /// The libraries with these names.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}
