//! Puts a script and the modules that it requires together.

use std::sync::Arc;

use bevy::asset::{AssetLoadError, LoadState};
use bevy::platform::collections::{HashMap, HashSet};
use bevy::prelude::*;

use super::loader::LuauScriptError;
use super::luau_script::{LuauScript, name_of};
use crate::script::{Module, Script};

/// Modules that may require each other in a row.
const MAX_DEPTH: usize = 100;

/// Why a script cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// It is being loaded, or one of its modules is.
    Loading,
    /// It cannot be loaded, or one of its modules cannot.
    Failed(String),
}

/// Links one script.
pub(crate) struct Linker<'a> {
    assets: &'a Assets<LuauScript>,
    server: &'a AssetServer,
    linked: HashMap<AssetId<LuauScript>, Script>,
    /// The script and the modules under way, each required by the one before it.
    chain: Vec<(AssetId<LuauScript>, Arc<str>)>,
    /// All scripts that the result depends on.
    pub(crate) seen: HashSet<AssetId<LuauScript>>,
}

impl<'a> Linker<'a> {
    pub(crate) fn new(assets: &'a Assets<LuauScript>, server: &'a AssetServer) -> Self {
        Self { assets, server, linked: HashMap::default(), chain: Vec::new(), seen: HashSet::default() }
    }

    /// The script with its modules, and theirs.
    pub(crate) fn link(&mut self, handle: &Handle<LuauScript>) -> Result<Script, Blocked> {
        let id = handle.id();
        if let Some(script) = self.linked.get(&id) {
            return Ok(script.clone());
        }
        self.seen.insert(id);
        let name = name_of(handle);
        if self.chain.iter().any(|(link, _)| *link == id) {
            let cycle = self.chain.iter().skip_while(|(link, _)| *link != id);
            let names: Vec<&str> = cycle.map(|(_, name)| &**name).chain([&*name]).collect();
            return Err(Blocked::Failed(format!("modules require each other: {}", names.join(" -> "))));
        }
        if self.chain.len() == MAX_DEPTH {
            let message = format!("{name}: more than {MAX_DEPTH} modules require each other in a row");
            return Err(Blocked::Failed(message));
        }
        let Some(asset) = self.assets.get(id) else { return Err(self.not_there(id)) };
        self.chain.push((id, name));
        let modules = self.modules(asset);
        self.chain.pop();
        let modules = modules?;
        let script =
            if modules.is_empty() { asset.script.clone() } else { asset.script.with_modules(modules) };
        self.linked.insert(id, script.clone());
        Ok(script)
    }

    fn modules(&mut self, asset: &LuauScript) -> Result<Vec<Module>, Blocked> {
        let mut modules = Vec::new();
        let mut is_loading = false;
        for required in &asset.requires {
            let specifier = required.specifier.clone();
            match self.link(&required.handle) {
                Ok(script) => modules.push(Module { specifier, script }),
                // One that fails decides, whatever becomes of the others.
                Err(Blocked::Loading) => is_loading = true,
                Err(failed) => return Err(failed),
            }
        }
        if is_loading { Err(Blocked::Loading) } else { Ok(modules) }
    }

    fn not_there(&self, id: AssetId<LuauScript>) -> Blocked {
        let LoadState::Failed(error) = self.server.load_state(id) else { return Blocked::Loading };
        let mut message = load_error(&error);
        for (_, name) in self.chain.iter().rev() {
            message += &format!(" (required by {name})");
        }
        Blocked::Failed(message)
    }
}

/// What our loader said, without what Bevy wraps it in.
pub(crate) fn load_error(error: &AssetLoadError) -> String {
    match error {
        AssetLoadError::AssetLoaderError(error) => match error.error().downcast_ref::<LuauScriptError>() {
            Some(ours) => ours.to_string(),
            None => error.to_string(),
        },
        other => other.to_string(),
    }
}
