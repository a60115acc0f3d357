//! Hostile scripts among the well-behaved ones, replaced by new ones as they end.

#[path = "../../tests/common/attack.rs"]
mod attack;

use std::path::Path;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

/// The scripts that attack the host, and which of them comes next.
#[derive(Resource)]
pub struct Attacks {
    scripts: Vec<Script>,
    next: usize,
    /// Well-behaved processes that ended. They run for ever, unless something goes wrong.
    pub neighbours_ended: u64,
}

/// A VM that runs an attack.
#[derive(Component)]
struct Hostile;

impl Attacks {
    /// Reads the attacks that the tests use.
    ///
    /// # Errors
    ///
    /// A message that names the folder or file that cannot be read.
    pub fn load() -> Result<Self, String> {
        let mut scripts = Vec::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile"), &mut scripts)?;
        scripts.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(Self { scripts, next: 0, neighbours_ended: 0 })
    }

    fn next(&mut self) -> Script {
        let script = self.scripts[self.next % self.scripts.len()].clone();
        self.next += 1;
        script
    }
}

fn collect(folder: &Path, scripts: &mut Vec<Script>) -> Result<(), String> {
    let cannot_read = |path: &Path, error| format!("cannot read {}: {error}", path.display());
    for entry in std::fs::read_dir(folder).map_err(|error| cannot_read(folder, error))? {
        let path = entry.map_err(|error| cannot_read(folder, error))?.path();
        if path.is_dir() {
            collect(&path, scripts)?;
        } else if path.extension().is_some_and(|extension| extension == "luau") {
            let source = std::fs::read_to_string(&path).map_err(|error| cannot_read(&path, error))?;
            scripts.push(Script::new(path.to_string_lossy(), attack::expand(&source)));
        }
    }
    Ok(())
}

/// Spawns `count` attacks, and another one for each that ends.
pub fn attack(app: &mut App, attacks: Attacks, count: u32) {
    app.insert_resource(attacks);
    app.add_observer(|vm: On<VmExited>, hostile: Query<(), With<Hostile>>, mut commands: Commands| {
        if hostile.contains(vm.entity) {
            commands.queue(spawn);
        }
    });
    app.add_observer(
        |exit: On<ProcessExited>, hostile: Query<(), With<Hostile>>, mut attacks: ResMut<Attacks>| {
            attacks.neighbours_ended += u64::from(!hostile.contains(exit.vm));
        },
    );
    for _ in 0..count {
        spawn(app.world_mut());
    }
}

fn spawn(world: &mut World) {
    let script = world.resource_mut::<Attacks>().next();
    let vm = world.spawn((Vm::new(), Hostile)).id();
    world.spawn((Process::new(script), ProcessOf(vm)));
}
