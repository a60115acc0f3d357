//! Libraries: functions, syscalls, constants and preludes that only some VMs have.

use bevy::prelude::*;
use serde::Serialize;

use super::host_function::{HostFunction, HostFunctionAppExt, boxed};
use super::registry::registry_of;
use crate::luau::FOR_ALL;
use crate::script::Script;
use crate::value::Value;

/// A library of an app, to be added to: see [`HostLibraryAppExt::host_library`].
///
/// Host functions, syscalls, constants and preludes are added as to the app itself.
pub struct HostLibrary<'a> {
    pub(super) app: &'a mut App,
    pub(super) number: usize,
}

/// Gives VMs different functions of the game.
pub trait HostLibraryAppExt {
    /// The library with a name, which is made if there is none. Scripts of VMs that [have](crate::HostLibraries) it
    /// find what is in it beside what all scripts have. Others find nothing.
    ///
    /// Where a VM has several libraries with the same name in them, the one that was made last holds. None can replace
    /// what is Luau's or ours, but for the functions of `os`, or what all scripts have. There may be 63.
    ///
    /// ```
    /// use bevy::prelude::*;
    /// use bevy_luau_os::prelude::*;
    ///
    /// let mut app = App::new();
    /// app.add_plugins((MinimalPlugins, LuauOsPlugin::default()));
    /// app.host_library("admin")
    ///     .add_constant("server.NAME", "Castle")
    ///     .add_host_function("server.rename", |name: String| Ok::<_, String>(name.len()));
    /// app.world_mut().spawn((Vm::new(), HostLibraries::new(["admin"])));
    /// ```
    ///
    /// # Panics
    ///
    /// When the first process has started already, and there is none with that name.
    #[track_caller]
    fn host_library(&mut self, name: &str) -> HostLibrary<'_>;
}

impl HostLibraryAppExt for App {
    #[track_caller]
    fn host_library(&mut self, name: &str) -> HostLibrary<'_> {
        let number = registry_of(self.world_mut()).library(name);
        HostLibrary { app: self, number }
    }
}

impl HostFunctionAppExt for HostLibrary<'_> {
    #[track_caller]
    fn add_host_function<Marker>(&mut self, path: &str, function: impl HostFunction<Marker>) -> &mut Self {
        registry_of(self.app.world_mut()).add_function(self.number, path, boxed(function));
        self
    }
}

/// Gives scripts constants of the game, and globals that are written in Luau.
pub trait GlobalsAppExt {
    /// Lets scripts read `value` under `path`, as [`add_host_function`](HostFunctionAppExt::add_host_function) takes
    /// it. A table is frozen.
    ///
    /// ```
    /// # use bevy::prelude::*;
    /// # use bevy_luau_os::prelude::*;
    /// # let mut app = App::new();
    /// app.add_constant("map.SIZE", [64.0, 1.0, 64.0_f32]).add_constant("map.NAMES", ["north", "south"]);
    /// ```
    ///
    /// # Panics
    ///
    /// When `path` is not a name or is taken, when the value has no [`Value`] or has bytes in it, which scripts could
    /// change, and when the first process has started already.
    #[track_caller]
    fn add_constant(&mut self, path: &str, value: impl Serialize) -> &mut Self;

    /// Runs a script in each process before its own, with the same globals: what it defines is there for the process.
    /// It costs the process what it takes, and its memory, so what is large is better a module that those require who
    /// need it.
    ///
    /// Preludes run in the order in which they were added, those that all scripts have before those of libraries. An
    /// error in one is an error of the process.
    ///
    /// ```
    /// # use bevy::prelude::*;
    /// # use bevy_luau_os::prelude::*;
    /// # let mut app = App::new();
    /// app.add_prelude(Script::new(
    ///     "prelude",
    ///     "function clamp_speed(v) return if vector.magnitude(v) > 9 then vector.normalize(v) * 9 else v end",
    /// ));
    /// ```
    ///
    /// # Panics
    ///
    /// When the script does not compile or requires modules, and when the first process has started already.
    #[track_caller]
    fn add_prelude(&mut self, script: Script) -> &mut Self;
}

impl GlobalsAppExt for App {
    #[track_caller]
    fn add_constant(&mut self, path: &str, value: impl Serialize) -> &mut Self {
        registry_of(self.world_mut()).add_constant(FOR_ALL, path, constant(path, &value));
        self
    }

    #[track_caller]
    fn add_prelude(&mut self, script: Script) -> &mut Self {
        registry_of(self.world_mut()).add_prelude(FOR_ALL, script);
        self
    }
}

impl GlobalsAppExt for HostLibrary<'_> {
    #[track_caller]
    fn add_constant(&mut self, path: &str, value: impl Serialize) -> &mut Self {
        registry_of(self.app.world_mut()).add_constant(self.number, path, constant(path, &value));
        self
    }

    #[track_caller]
    fn add_prelude(&mut self, script: Script) -> &mut Self {
        registry_of(self.app.world_mut()).add_prelude(self.number, script);
        self
    }
}

#[track_caller]
fn constant(path: &str, value: &impl Serialize) -> Value {
    Value::of(value).unwrap_or_else(|error| panic!("add_constant({path:?}): {error}"))
}
