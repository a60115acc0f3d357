//! What robots run.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

pub fn plugin(app: &mut App) {
    app.add_systems(PreStartup, load);
}

/// Which script steers a robot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mind {
    Miner,
    Swarm,
    Patrol,
}

impl Mind {
    /// Half of the robots are miners, the rest is shared by the others.
    pub fn of_number(number: usize) -> Self {
        [Self::Miner, Self::Swarm, Self::Miner, Self::Patrol][number % 4]
    }
}

/// The scripts, loaded once.
#[derive(Resource)]
pub struct Scripts {
    miner: Handle<LuauScript>,
    swarm: Handle<LuauScript>,
    patrol: Handle<LuauScript>,
    telemetry: Handle<LuauScript>,
}

impl Scripts {
    /// The two processes of a robot.
    pub fn processes(&self, mind: Mind) -> [Process; 2] {
        let pilot = match mind {
            Mind::Miner => &self.miner,
            Mind::Swarm => &self.swarm,
            Mind::Patrol => &self.patrol,
        };
        [Process::new(pilot.clone()), Process::new(self.telemetry.clone())]
    }
}

fn load(mut commands: Commands, assets: Res<AssetServer>) {
    let load = |name: &str| assets.load(format!("scripts/demo/{name}.luau"));
    commands.insert_resource(Scripts {
        miner: load("miner"),
        swarm: load("swarm"),
        patrol: load("patrol"),
        telemetry: load("telemetry"),
    });
}
