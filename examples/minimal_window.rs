//! The plugin in a game with a window: scripts steer what is drawn. The log shows frame times.
//!
//! ```text
//! cargo run --release --example minimal_window --features demo
//! ```

use bevy::diagnostic::{FrameTimeDiagnosticsPlugin, LogDiagnosticsPlugin};
use bevy::prelude::*;
use bevy_luau_os::prelude::*;

/// Each ship runs this: it flies to random places, and never ends.
const PILOT: &str = r#"
while true do
    local x, y = math.random(-500, 500), math.random(-300, 300)
    ship.fly_to(x, y)
    task.wait(0.5)
end
"#;

/// A script that would freeze most games.
const RUNAWAY: &str = "while true do end";

/// Where a ship flies, and the script that waits until it is there.
#[derive(Component, Default)]
struct Course(Option<(Vec2, ReplyTo<()>)>);

fn main() -> AppExit {
    let mut app = App::new();
    app.add_plugins((DefaultPlugins, LuauOsPlugin::default()))
        .add_plugins((FrameTimeDiagnosticsPlugin::default(), LogDiagnosticsPlugin::default()))
        .add_syscall("ship.fly_to", set_course)
        .add_systems(Startup, boot)
        .add_systems(Update, fly);
    app.run()
}

fn boot(mut commands: Commands) {
    commands.spawn(Camera2d);
    let (pilot, runaway) = (Script::new("pilot", PILOT), Script::new("runaway", RUNAWAY));
    for i in 0..500 {
        let color = Color::hsl(i as f32 * 0.72, 0.7, 0.6);
        let sprite = Sprite::from_color(color, Vec2::splat(8.0));
        // The ship's entity is its VM. Two programs run on it, and one of them does harm to nobody.
        let ship = commands.spawn((Vm::new(), Course::default(), sprite)).id();
        commands.spawn((Process::new(pilot.clone()), ProcessOf(ship)));
        commands.spawn((Process::new(runaway.clone()), ProcessOf(ship)));
    }
}

/// All calls of `ship.fly_to` in a tick. Each is answered when the ship gets there.
fn set_course(In(calls): In<Vec<Syscall<(f32, f32), ()>>>, mut ships: Query<&mut Course>) {
    for call in calls {
        if let Ok(mut course) = ships.get_mut(call.vm) {
            course.0 = Some((call.args.into(), call.reply_to));
        }
    }
}

fn fly(mut ships: Query<(&mut Transform, &mut Course)>, time: Res<Time>) {
    for (mut ship, mut course) in &mut ships {
        let Some((goal, _)) = &course.0 else { continue };
        let way = goal.extend(0.0) - ship.translation;
        ship.translation += way.clamp_length_max(200.0 * time.delta_secs());
        if way.length() < 1.0
            && let Some((_, arrived)) = course.0.take()
        {
            arrived.reply(());
        }
    }
}
