//! Scripts that steer entities: their calls reach an ordinary Bevy system as a batch, once a tick.
//!
//! ```text
//! cargo run --example syscalls
//! ```

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

const PATROL: &str = r#"
    for corner = 1, 4 do
        local x, y = if corner % 2 == 1 then 1 else 0, if corner % 2 == 0 then 1 else 0
        local sign = if corner > 2 then -1 else 1
        for step = 1, 30 do
            robot.move(sign * x, sign * y)
        end
        task.wait(0.5)
        print(`corner {corner} after {math.round(os.clock())} s`)
    end
"#;

fn main() {
    let mut app = App::new();
    app.add_plugins((MinimalPlugins, LuauOsPlugin::default()))
        .add_syscall("robot.move", move_robots)
        .add_observer(report);

    // The VM's entity is the robot.
    for x in [0.0, 100.0] {
        let robot = app.world_mut().spawn((Vm::new(), Transform::from_xyz(x, 0.0, 0.0))).id();
        app.world_mut().spawn((Process::new(Script::new("patrol", PATROL)), ProcessOf(robot)));
    }
    app.run_processes(1_000);
}

/// Moves a robot by a step, of length 1 at most, and tells it where it is then.
fn move_robots(In(calls): In<Vec<Syscall<(f32, f32), (f32, f32)>>>, mut robots: Query<&mut Transform>) {
    for call in calls {
        let (x, y) = call.args;
        match robots.get_mut(call.vm) {
            Ok(mut robot) => {
                robot.translation += Vec3::new(x, y, 0.0).clamp_length_max(1.0);
                let position = (robot.translation.x, robot.translation.y);
                call.reply(position);
            }
            Err(_) => call.fail("this VM is no robot"),
        }
    }
}

fn report(finished: On<VmExited>, robots: Query<(&Transform, &VmConsole)>) {
    if let Ok((transform, console)) = robots.get(finished.entity) {
        println!("{} is back at {}:\n{}", finished.entity, transform.translation, console.text());
    }
}
