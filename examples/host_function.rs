//! A function of the game that scripts call inside their slices: typed, from any thread.
//!
//! ```text
//! cargo run --example host_function
//! ```

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Position {
    x: f64,
    y: f64,
}

const SCRIPT: &str = r#"
    local home = { x = 0, y = 0 }
    print("distance:", map.distance(home, { x = 3, y = 4 }))
    local middle = map.middle(home, { x = 3, y = 4 })
    print("middle:", middle.x, middle.y)
    print("an error:", select(2, pcall(map.distance, home, { x = "far" })))
"#;

fn main() {
    let mut app = App::new();
    app.add_plugins((MinimalPlugins, LuauOsPlugin::default()))
        .add_host_function("map.distance", |a: Position, b: Position| {
            Ok::<_, String>((a.x - b.x).hypot(a.y - b.y))
        })
        .add_host_function("map.middle", |a: Position, b: Position| {
            if [a.x, a.y, b.x, b.y].iter().any(|number| !number.is_finite()) {
                return Err("that is nowhere");
            }
            Ok(Position { x: (a.x + b.x) / 2.0, y: (a.y + b.y) / 2.0 })
        })
        .add_observer(show_console);

    let vm = app.world_mut().spawn(Vm::new()).id();
    app.world_mut().spawn((Process::new(Script::new("example", SCRIPT)), ProcessOf(vm)));
    app.run_processes(1_000);
}

fn show_console(finished: On<VmExited>, consoles: Query<&VmConsole>) {
    if let Ok(console) = consoles.get(finished.entity) {
        print!("{}", console.text());
    }
}
