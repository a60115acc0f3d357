//! A script as an asset, and the news of its reloading.

use std::sync::Arc;

use bevy::asset::{AssetPath, UntypedAssetId, VisitAssetDependencies};
use bevy::prelude::*;

use crate::script::Script;

/// A script that is a Bevy asset: a `.luau` or `.lua` file, loaded by [`LuauScriptLoader`](crate::LuauScriptLoader).
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn boot(mut commands: Commands, assets: Res<AssetServer>) {
///     let vm = commands.spawn(Vm::new()).id();
///     let script: Handle<LuauScript> = assets.load("scripts/robot.luau");
///     commands.spawn((Process::new(script), ProcessOf(vm)));
/// }
/// ```
///
/// The asset's path is the script's name in errors and tracebacks. The modules that it
/// [requires](crate#scripts-as-assets) are loaded with it.
#[derive(Asset, Reflect, Clone, Debug)]
#[reflect(opaque)]
#[reflect(Clone, Debug)]
pub struct LuauScript {
    pub(super) script: Script,
    #[dependency]
    pub(super) requires: Vec<RequiredModule>,
}

impl LuauScript {
    /// A script that requires no modules: only scripts that come from files can.
    pub fn new(script: Script) -> Self {
        Self { script, requires: Vec::new() }
    }

    /// The script's name and source.
    pub fn script(&self) -> &Script {
        &self.script
    }
}

/// A module that a script requires by a string literal.
#[derive(Clone, Debug)]
pub(super) struct RequiredModule {
    /// The string.
    pub(super) specifier: Arc<str>,
    pub(super) handle: Handle<LuauScript>,
}

impl VisitAssetDependencies for RequiredModule {
    fn visit_dependencies(&self, visit: &mut impl FnMut(UntypedAssetId)) {
        self.handle.visit_dependencies(visit);
    }
}

/// Tells that a script, or a module that it requires, has changed while processes run it.
#[derive(Message, Clone, Debug)]
pub struct ScriptReloaded {
    /// The script that the processes run.
    pub script: AssetId<LuauScript>,
    /// Its path.
    pub name: Arc<str>,
    /// How many processes were restarted, or why they run on with what they had.
    pub result: Result<usize, String>,
}

/// The name that a script has, or will have when it is loaded.
pub(crate) fn name_of(handle: &Handle<LuauScript>) -> Arc<str> {
    let named = |path: &AssetPath| path.to_string();
    handle.path().map_or_else(|| format!("{:?}", handle.id()), named).into()
}
