//! Which processes run which asset, and which wait for one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bevy::ecs::system::SystemParam;
use bevy::platform::collections::{HashMap, HashSet};
use bevy::prelude::*;
use serde::{Serialize, Serializer};

use super::link::{Blocked, Linker};
use super::luau_script::{LuauScript, name_of};
use crate::script::Script;

/// What a process runs. To reflection it is its name.
#[derive(Clone, Debug, Reflect)]
#[reflect(opaque)]
#[reflect(Clone, Debug, Serialize)]
pub(crate) enum Program {
    /// A script that the game made.
    Script(Script),
    /// An asset that the process waits for.
    Loading(Box<Handle<LuauScript>>),
    /// An asset that was loaded.
    Asset(Arc<AssetProgram>),
}

impl Program {
    pub(crate) fn script(&self) -> Option<&Script> {
        match self {
            Self::Script(script) => Some(script),
            Self::Loading(_) => None,
            Self::Asset(program) => Some(&program.script),
        }
    }

    pub(crate) fn asset(&self) -> Option<&Handle<LuauScript>> {
        match self {
            Self::Script(_) => None,
            Self::Loading(handle) => Some(handle),
            Self::Asset(program) => Some(&program.handle),
        }
    }

    pub(crate) fn name(&self) -> &str {
        let path = || self.asset().and_then(|handle| handle.path()).and_then(|path| path.path().to_str());
        self.script().map(Script::name).or_else(path).unwrap_or("script")
    }
}

impl Serialize for Program {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One version of a script asset, linked with its modules. Its processes share it.
#[derive(Debug)]
pub(crate) struct AssetProgram {
    /// Keeps the asset loaded while processes run it.
    pub(crate) handle: Handle<LuauScript>,
    pub(crate) script: Script,
}

/// The script assets that processes run or wait for.
#[derive(Resource, Debug, Default)]
pub(crate) struct ScriptAssets {
    pub(crate) entries: HashMap<AssetId<LuauScript>, Entry>,
}

impl ScriptAssets {
    /// The processes that wait for one.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = Entity> {
        let waiting = self.entries.values().filter_map(|entry| entry.waiting.as_ref());
        waiting.flat_map(|waiting| waiting.processes.iter().map(|&(process, _)| process))
    }
}

/// What is known of one script asset.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// What its processes run. It goes when the last of them does.
    pub(crate) program: Weak<AssetProgram>,
    /// The scripts that it was made of, or is to be made of.
    pub(crate) parts: HashSet<AssetId<LuauScript>>,
    /// Whether something that it takes to link it is still being loaded.
    pub(crate) is_loading: bool,
    /// Processes that wait for it.
    pub(crate) waiting: Option<Waiting>,
    /// Why its processes wait, or why its last change is not what they run. Bevy tries twice to load a file that has
    /// changed, and fails twice.
    pub(crate) failure: Option<String>,
}

/// Processes that wait for one script asset.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) handle: Handle<LuauScript>,
    /// With the virtual time of their spawning.
    pub(crate) processes: Vec<(Entity, Duration)>,
}

/// What it takes to get from a handle to a program.
#[derive(SystemParam)]
pub(crate) struct ScriptParam<'w> {
    /// The app may have no assets.
    assets: Option<Res<'w, Assets<LuauScript>>>,
    server: Option<Res<'w, AssetServer>>,
    pub(crate) known: ResMut<'w, ScriptAssets>,
}

impl ScriptParam<'_> {
    /// What a process that was spawned at `spawned_at` with `handle` has to run. `None` if that is not
    /// known yet, or is to be corrected; then [`follow_assets`](crate::scheduler::reload::follow_assets) will queue the
    /// process again.
    pub(crate) fn program(
        &mut self,
        handle: &Handle<LuauScript>,
        process: (Entity, Duration),
    ) -> Option<Program> {
        let known = self.known.entries.get(&handle.id());
        if let Some(program) = known.and_then(|entry| entry.program.upgrade()) {
            return Some(Program::Asset(program));
        }
        match self.link(handle) {
            Ok(script) => Some(Program::Asset(self.known.set_program(handle, script))),
            Err(Blocked::Failed(message)) if !self.may_be_corrected() => {
                Some(Program::Script(Script::not_loaded(name_of(handle), message)))
            }
            Err(blocked) => {
                let new = || Waiting { handle: handle.clone(), processes: Vec::new() };
                let entry = self.known.entries.entry(handle.id()).or_default();
                entry.waiting.get_or_insert_with(new).processes.push(process);
                if let Blocked::Failed(message) = blocked
                    && entry.failure.as_ref() != Some(&message)
                {
                    warn!("{message}; the processes of {} wait until that is corrected", name_of(handle));
                    entry.failure = Some(message);
                }
                None
            }
        }
    }

    /// Whether files are loaded again when they change.
    fn may_be_corrected(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.watching_for_changes())
    }

    /// Puts an asset together with its modules and remembers what it is made of.
    pub(crate) fn link(&mut self, handle: &Handle<LuauScript>) -> Result<Script, Blocked> {
        let (Some(assets), Some(server)) = (&self.assets, &self.server) else {
            let message = "there are no assets: add DefaultPlugins or AssetPlugin before LuauOsPlugin";
            return Err(Blocked::Failed(message.to_owned()));
        };
        let mut linker = Linker::new(assets, server);
        let linked = linker.link(handle);
        let entry = self.known.entries.entry(handle.id()).or_default();
        entry.parts = linker.seen;
        entry.is_loading = linked == Err(Blocked::Loading);
        linked
    }
}

impl ScriptAssets {
    /// Makes `script` what an asset's processes run from now on.
    pub(crate) fn set_program(&mut self, handle: &Handle<LuauScript>, script: Script) -> Arc<AssetProgram> {
        let program = Arc::new(AssetProgram { handle: handle.clone(), script });
        self.entries.entry(handle.id()).or_default().program = Arc::downgrade(&program);
        program
    }
}
