//! Tens of thousands of robots on a plain, each a VM whose processes steer it, and what happens when a
//! thousand runaways are released among them.
//!
//! ```text
//! cargo run --release --example demo --features demo
//! ```
//!
//! Change `assets/scripts/demo/*.luau` while it runs: the robots follow. `--help` lists the options.

mod automation;
mod bodies;
mod calls;
mod controls;
mod minds;
mod options;
mod plain;
mod robots;
mod runaways;
mod theme;
#[path = "../common/tick_budget.rs"]
mod tick_budget;
mod ui;
mod view;

use std::path::Path;
use std::time::Duration;

use bevy::asset::io::{AssetSourceBuilder, AssetSourceId};
use bevy::diagnostic::FrameTimeDiagnosticsPlugin;
use bevy::log::LogPlugin;
use bevy::prelude::*;
use bevy::window::{PresentMode, WindowResolution};
use bevy_framepace::{FramepacePlugin, FramepaceSettings, Limiter};
use bevy_luau_os::LuauOsDiagnosticsPlugin;
use bevy_luau_os::prelude::*;
use clap::Parser;

use options::Options;

fn main() -> AppExit {
    let options = Options::parse();
    let mut app = App::new();
    // The runaways' scripts are those that the library is tested with.
    let hostile = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    app.register_asset_source(
        AssetSourceId::from("hostile"),
        AssetSourceBuilder::platform_default(&hostile.to_string_lossy(), None),
    );
    app.add_plugins(
        DefaultPlugins
            .set(WindowPlugin { primary_window: Some(window(&options)), ..default() })
            .set(LogPlugin { filter: options.log.clone(), ..default() })
            .set(AssetPlugin { watch_for_changes_override: Some(true), ..default() }),
    )
    .add_plugins((
        LuauOsPlugin {
            quantum: options.quantum,
            budget: options.tick_budget,
            max_ticks_per_frame: 1,
            // Runaways that cannot be preempted are to be gone before the frame graph shows them.
            syscall_timeout: Duration::from_secs(300),
            seed: options.seed,
            ..default()
        },
        LuauOsDiagnosticsPlugin,
        FrameTimeDiagnosticsPlugin::default(),
        FramepacePlugin,
    ))
    .insert_resource(ClearColor(theme::GROUND))
    .insert_resource(FramepaceSettings {
        limiter: if options.uncapped || options.measure {
            Limiter::Off
        } else {
            Limiter::from_framerate(60.0)
        },
    })
    .add_plugins((
        plain::plugin,
        bodies::plugin,
        calls::plugin,
        minds::plugin,
        robots::plugin,
        runaways::plugin,
        view::plugin,
        controls::plugin,
        ui::plugin,
        automation::plugin,
    ))
    .insert_resource(options);
    app.run()
}

fn window(options: &Options) -> Window {
    let (width, height) = options.size;
    Window {
        title: "bevy_luau_os: robots".to_owned(),
        resolution: WindowResolution::new(width, height).with_scale_factor_override(1.0),
        // Frames are paced by bevy_framepace, or not at all.
        present_mode: PresentMode::AutoNoVsync,
        ..default()
    }
}
