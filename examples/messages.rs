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

const SHOP: &str = r#"
local stock = 5
signal.connect("closing time", function()
	print("the shop closes with " .. stock .. " apples left")
	process.exit()
end)
print(process.address)
while true do
	local wanted, customer = mailbox.receive()
	local sold = math.min(wanted, stock)
	stock -= sold
	process.send(customer, sold)
end
"#;

const CUSTOMER: &str = r#"
local shop = ...
task.wait(math.random())
assert(process.send(shop, 2))
local apples = mailbox.receive(1) or 0
print(process.name .. " has " .. apples .. " apples")
signal.wait("closing time")
"#;

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
    let shop = commands.spawn(Vm::persistent()).id();
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
                let customer = commands.spawn(Vm::new()).id();
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
