//! One simulated computer with two processes, headless.
//!
//! ```text
//! cargo run --example minimal
//! ```

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

fn main() {
    App::new()
        .add_plugins((MinimalPlugins, LuauOsPlugin::default()))
        .add_systems(Startup, boot)
        .add_observer(report)
        .add_observer(shut_down)
        .run();
}

fn boot(mut commands: Commands) {
    let vm = commands.spawn(Vm::new()).id();
    let counter = Script::new("count", "local n = 0 repeat n += 1 until n == 1000000 return n");
    let greeting = Script::new("greet", "print('hello from ' .. _VERSION)");
    commands.spawn((Process::new(counter), ProcessOf(vm)));
    commands.spawn((Process::new(greeting), ProcessOf(vm)));
}

fn report(exit: On<ProcessExited>, mut consoles: Query<&mut VmConsole>) {
    if let Ok(mut console) = consoles.get_mut(exit.vm) {
        print!("{}", console.take_text());
    }
    println!("{} (pid {}) after {:?}: {:?}", exit.name, exit.pid, exit.lifetime, exit.outcome);
}

fn shut_down(_: On<VmExited>, mut exit: MessageWriter<AppExit>) {
    exit.write(AppExit::Success);
}
