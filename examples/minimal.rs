//! One simulated computer that adds numbers, headless.
//!
//! ```text
//! cargo run --example minimal
//! ```

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

fn main() {
    App::new()
        .add_plugins((MinimalPlugins, LuauOsPlugin::default()))
        .add_systems(Startup, |mut commands: Commands| {
            let vm = commands.spawn(Vm::new()).id();
            let script = Script::new("sum", "local s = 0 for i = 1, 10000 do s += i end return s");
            commands.spawn((Process::new(script), ProcessOf(vm)));
        })
        .add_observer(|exit: On<ProcessExited>, mut app_exit: MessageWriter<AppExit>| {
            println!("{}: {:?}", exit.name, exit.outcome); // sum: Finished([Number(50005000.0)])
            app_exit.write(AppExit::Success);
        })
        .run();
}
