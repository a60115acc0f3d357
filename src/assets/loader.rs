//! Loads `.luau` and `.lua` files.

use std::sync::Arc;

use bevy::asset::io::Reader;
use bevy::asset::{AssetLoader, AssetServer, LoadContext};
use bevy::prelude::*;
use bevy::tasks::futures_lite::AsyncReadExt;
use thiserror::Error;

use super::luau_script::{LuauScript, RequiredModule};
use super::resolve::{RequireError, Resolver};
use crate::script::requires::require_calls;
use crate::script::{CompileError, Script};

/// Loads [`LuauScript`]s from `.luau` and `.lua` files, with the modules that they require.
#[derive(TypePath)]
pub struct LuauScriptLoader {
    /// Tells which files there are, for `require`.
    server: AssetServer,
}

impl LuauScriptLoader {
    /// Larger sources are refused: compiling cannot be interrupted.
    pub const MAX_BYTES: usize = 1 << 20;
}

impl FromWorld for LuauScriptLoader {
    fn from_world(world: &mut World) -> Self {
        Self { server: world.resource::<AssetServer>().clone() }
    }
}

/// Why a script cannot be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LuauScriptError {
    /// The file cannot be read.
    #[error("{script}: cannot be read: {error}")]
    Read {
        /// The script's path.
        script: String,
        /// Why.
        error: std::io::Error,
    },
    /// The source is larger than [`LuauScriptLoader::MAX_BYTES`].
    #[error("{script}: the source is larger than {} KiB; split it into modules", LuauScriptLoader::MAX_BYTES / 1024)]
    TooLarge {
        /// The script's path.
        script: String,
    },
    /// The source is bytecode, or not Luau.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A module that the script requires cannot be found.
    #[error("{script}:{line}: require(\"{specifier}\"): {error}")]
    Require {
        /// The script's path.
        script: String,
        /// Where it requires the module, counted from 1.
        line: u32,
        /// What it calls the module.
        specifier: String,
        /// What is wrong with that.
        error: RequireError,
    },
}

impl AssetLoader for LuauScriptLoader {
    type Asset = LuauScript;
    type Settings = ();
    type Error = LuauScriptError;

    async fn load(
        &self,
        reader: &mut dyn Reader,
        (): &(),
        context: &mut LoadContext<'_>,
    ) -> Result<LuauScript, LuauScriptError> {
        let path = context.path().clone_owned();
        let name = path.to_string();
        let mut source = Vec::new();
        let mut reader = reader.take(Self::MAX_BYTES as u64 + 1);
        if let Err(error) = reader.read_to_end(&mut source).await {
            return Err(LuauScriptError::Read { script: name, error });
        }
        if source.len() > Self::MAX_BYTES {
            return Err(LuauScriptError::TooLarge { script: name });
        }
        let calls = require_calls(&source);
        let script = Script::new(name.as_str(), source);
        script.compile()?;
        let resolver = Resolver::new(&self.server, &path);
        let mut requires: Vec<RequiredModule> = Vec::new();
        for call in calls {
            if requires.iter().any(|module| *module.specifier == *call.specifier) {
                continue;
            }
            let wrong = |error| LuauScriptError::Require {
                script: name.clone(),
                line: call.line,
                specifier: call.specifier.clone(),
                error,
            };
            let Some(resolver) = &resolver else {
                return Err(wrong(RequireError::NoSource));
            };
            let (module, configuration) = resolver.resolve(&call.specifier).await.map_err(wrong)?;
            if let Some(configuration) = configuration {
                // Only for what it does besides: when the file changes, the script is loaded again.
                let _ = context.read_asset_bytes(configuration).await;
            }
            let handle = context.load::<LuauScript>(module);
            requires.push(RequiredModule { specifier: Arc::from(call.specifier), handle });
        }
        Ok(LuauScript { script, requires })
    }

    fn extensions(&self) -> &[&str] {
        &["luau", "lua"]
    }
}
