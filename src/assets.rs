//! Scripts as Bevy assets: loading, `require`, hot reload.

mod link;
mod loader;
mod luau_script;
mod programs;
mod resolve;

use bevy::prelude::*;

pub use loader::{LuauScriptError, LuauScriptLoader};
pub use luau_script::{LuauScript, ScriptReloaded};
pub use resolve::RequireError;

pub(crate) use link::{Blocked, load_error};
pub(crate) use luau_script::name_of;
pub(crate) use programs::{AssetProgram, Program, ScriptAssets, ScriptParam};

/// Makes scripts assets of the app, which must have an `AssetServer`.
pub(crate) fn build(app: &mut App) {
    app.init_asset::<LuauScript>()
        .register_asset_reflect::<LuauScript>()
        .init_asset_loader::<LuauScriptLoader>()
        .add_message::<ScriptReloaded>();
}
