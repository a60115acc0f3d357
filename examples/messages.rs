//! Three simulated computers talk: a shop, and customers that find it by its address. The game sends
//! everybody home with a signal.
//!
//! ```text
//! cargo run --example messages
//! ```

use std::time::Duration;

use bevy::app::ScheduleRunnerPlugin;
use bevy::prelude::*;
use bevy_luau_os::prelude::*;

const SHOP: &str = include_str!("../assets/scripts/messages/shop.luau");
const CUSTOMER: &str = include_str!("../assets/scripts/messages/customer.luau");

#[derive(Resource)]
struct Shop(Entity);

fn main() {
    App::new()
        .add_plugins((
            MinimalPlugins.set(ScheduleRunnerPlugin::run_loop(Duration::from_secs_f64(1.0 / 60.0))),
            LuauOsPlugin::default(),
        ))
        .add_systems(Startup, open)
        .add_systems(Update, (read, close))
        .run();
}

fn open(mut commands: Commands) {
    // Mailboxes take messages of other VMs only if the game opens them.
    let shop = commands.spawn((Vm::persistent(), MailPolicy::All)).id();
    commands.spawn((Process::new(Script::new("shop", SHOP)), ProcessOf(shop)));
    commands.insert_resource(Shop(shop));
}

/// Shows what the computers print. The first line of the shop is its address: then the customers come.
fn read(
    mut consoles: Query<(Entity, &mut VmConsole), Changed<VmConsole>>,
    shop: Res<Shop>,
    mut commands: Commands,
) {
    for (vm, mut console) in &mut consoles {
        for line in console.take_text().lines() {
            if vm != shop.0 || !line.contains(':') {
                println!("{line}");
                continue;
            }
            for name in ["Ann", "Bob", "Eve"] {
                let script =
                    Process::new(Script::new("customer", CUSTOMER)).with_name(name).with_args([line]);
                let customer = commands.spawn((Vm::new(), MailPolicy::Listed(vec![vm]))).id();
                commands.spawn((script, ProcessOf(customer)));
            }
        }
    }
}

fn close(mut commands: Commands, time: Res<Time>, mut exit: MessageWriter<AppExit>) {
    if time.elapsed_secs() > 2.0 {
        commands.broadcast_signal("closing time", ());
    }
    if time.elapsed_secs() > 2.2 {
        exit.write(AppExit::Success);
    }
}
