//! Loads `.luau` and `.lua` files.

use std::sync::Arc;

use bevy::asset::io::Reader;
use bevy::asset::{AssetLoader, AssetPath, AssetServer, LoadContext};
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
        parse(&self.server, &path, source, Loads::Context(context)).await
    }

    fn extensions(&self) -> &[&str] {
        &["luau", "lua"]
    }
}

/// Who loads the modules of a script.
enum Loads<'a, 'b> {
    /// The loader of the script.
    Context(&'a mut LoadContext<'b>),
    /// The server, for a script that is no file.
    Server(AssetServer),
}

impl Loads<'_, '_> {
    async fn load(
        &mut self,
        module: AssetPath<'static>,
        configuration: Option<AssetPath<'static>>,
    ) -> Handle<LuauScript> {
        match self {
            Self::Context(context) => {
                if let Some(configuration) = configuration {
                    // Only for what it does besides: when the file changes, the script is loaded again.
                    let _ = context.read_asset_bytes(configuration).await;
                }
                context.load(module)
            }
            Self::Server(server) => server.load(module),
        }
    }
}

/// What the source is of a script at a path, with the modules that it requires.
async fn parse(
    server: &AssetServer,
    path: &AssetPath<'static>,
    source: Vec<u8>,
    mut loads: Loads<'_, '_>,
) -> Result<LuauScript, LuauScriptError> {
    let name = path.to_string();
    if source.len() > LuauScriptLoader::MAX_BYTES {
        return Err(LuauScriptError::TooLarge { script: name });
    }
    let calls = require_calls(&source);
    let script = Script::new(name.as_str(), source);
    script.compile()?;
    let resolver = Resolver::new(server, path);
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
        let handle = loads.load(module, configuration).await;
        requires.push(RequiredModule { specifier: Arc::from(call.specifier), handle });
    }
    Ok(LuauScript { script, requires })
}

impl LuauScript {
    /// A script that is no file, such as one that a player has typed, but can require modules that are. It finds them
    /// as if it were at `path`, which is also its name. What goes wrong is an error of the processes that run it.
    ///
    /// ```
    /// # use bevy::prelude::*;
    /// # use bevy_luau_os::prelude::*;
    /// fn run(assets: Res<AssetServer>, mut commands: Commands) {
    ///     let typed = "local vectors = require('./library/vectors') print(vectors.length(3, 4))";
    ///     let script = LuauScript::from_source(&assets, "scripts/typed.luau", typed);
    ///     let vm = commands.spawn(Vm::new()).id();
    ///     commands.spawn((Process::new(script), ProcessOf(vm)));
    /// }
    /// ```
    pub fn from_source(
        assets: &AssetServer,
        path: impl Into<AssetPath<'static>>,
        source: impl Into<Vec<u8>>,
    ) -> Handle<Self> {
        let (server, path, source) = (assets.clone(), path.into(), source.into());
        assets.add_async(async move { parse(&server, &path, source, Loads::Server(server.clone())).await })
    }
}
