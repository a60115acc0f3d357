//! A game that goes on where it was left: its computers are in the middle of whatever they did.
//!
//! ```text
//! cargo run --features save --example save_game    # again and again
//! ```

use std::path::PathBuf;

use bevy::prelude::*;
use bevy_luau_os::VmSnapshot;
use bevy_luau_os::prelude::*;
use serde::{Deserialize, Serialize};

/// It never says where it is: it only knows.
const PATROL: &str = r#"
    local steps = 0
    for lap = 1, math.huge do
        for _, direction in { { 1, 0 }, { 0, 1 }, { -1, 0 }, { 0, -1 } } do
            for step = 1, 7 do
                steps += 1
                robot.move(direction[1], direction[2])
                task.wait(0.1)
            end
        end
        print(`lap {lap}, {steps} steps, {math.round(os.clock())} s`)
    end
"#;

/// What the game saves of a robot: its own data, and the computer.
#[derive(Serialize, Deserialize)]
struct SavedRobot {
    position: Vec3,
    computer: VmSnapshot,
}

fn main() -> Result {
    let file = std::env::temp_dir().join("bevy_luau_os_save_game.json");
    let mut app = App::new();
    app.add_plugins((MinimalPlugins, LuauOsPlugin::default())).add_syscall("robot.move", move_robots);
    match std::fs::read(&file) {
        Ok(saved) => load(&mut app, &saved)?,
        Err(_) => begin(&mut app),
    }
    app.run_ticks(300);
    save(&mut app, &file)
}

fn begin(app: &mut App) {
    for x in [0.0, 100.0] {
        let robot = app.world_mut().spawn((Vm::new(), Transform::from_xyz(x, 0.0, 0.0))).id();
        app.world_mut().spawn((Process::new(Script::new("patrol", PATROL)), ProcessOf(robot)));
    }
}

fn load(app: &mut App, saved: &[u8]) -> Result {
    let robots: Vec<SavedRobot> = serde_json::from_slice(saved)?;
    for SavedRobot { position, computer } in robots {
        // Files can be changed, so the limits are ours.
        app.world_mut().spawn((
            computer.image()?,
            VmLimits::default(),
            Transform::from_translation(position),
        ));
    }
    Ok(())
}

fn save(app: &mut App, file: &PathBuf) -> Result {
    let mut robots = app.world_mut().query_filtered::<(Entity, &Transform, &mut VmConsole), With<Vm>>();
    let mut found = Vec::new();
    for (robot, transform, mut console) in robots.iter_mut(app.world_mut()) {
        println!("{robot} at {}:\n{}", transform.translation, console.take_text());
        found.push((robot, transform.translation));
    }
    let mut saved = Vec::new();
    for (robot, position) in found {
        saved.push(SavedRobot { position, computer: LuauRuntime::save_vm(app.world_mut(), robot)? });
    }
    std::fs::write(file, serde_json::to_vec(&saved)?)?;
    println!("saved to {}", file.display());
    Ok(())
}

fn move_robots(In(calls): In<Vec<Syscall<(f32, f32), ()>>>, mut robots: Query<&mut Transform>) {
    for call in calls {
        let (x, y) = call.args;
        match robots.get_mut(call.vm) {
            Ok(mut robot) => {
                robot.translation += Vec3::new(x, y, 0.0);
                call.reply(());
            }
            Err(_) => call.fail("this VM is no robot"),
        }
    }
}
