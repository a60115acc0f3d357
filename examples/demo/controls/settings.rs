//! What can be set while the demo runs: time, scripts, quantum, budget, pacing.

use std::time::Duration;

use bevy::prelude::*;
use bevy_framepace::{FramepaceSettings, Limiter};
use bevy_luau_os::prelude::*;

use super::{Action, ReadInput};

pub fn plugin(app: &mut App) {
    app.insert_resource(ScriptsRun(true)).add_systems(Update, apply.after(ReadInput));
    let sets = (
        LuauOsSystems::Admit,
        LuauOsSystems::Wake,
        LuauOsSystems::Run,
        LuauOsSystems::Syscalls,
        LuauOsSystems::Collect,
        LuauOsSystems::Settle,
    );
    app.configure_sets(FixedUpdate, sets.run_if(|run: Res<ScriptsRun>| run.0));
}

/// Whether scripts run. If not, robots carry on with their last orders.
#[derive(Resource)]
pub struct ScriptsRun(pub bool);

fn apply(
    mut actions: MessageReader<Action>,
    mut runtime: ResMut<LuauRuntime>,
    mut pacing: ResMut<FramepaceSettings>,
    mut time: ResMut<Time<Virtual>>,
    mut scripts: ResMut<ScriptsRun>,
) {
    for &action in actions.read() {
        match action {
            Action::Pause if time.is_paused() => time.unpause(),
            Action::Pause => time.pause(),
            Action::Scripts => scripts.0 = !scripts.0,
            Action::Quantum { up } => {
                let quantum = runtime.quantum();
                runtime.set_quantum(if up { quantum * 2 } else { quantum / 2 }.clamp(8, 65_536));
            }
            Action::Budget { up } => {
                if let TickBudget::Time(budget) = runtime.budget() {
                    let budget = if up { budget * 2 } else { budget / 2 };
                    let (least, most) = (Duration::from_micros(125), Duration::from_millis(32));
                    runtime.set_budget(TickBudget::Time(budget.clamp(least, most)));
                }
            }
            Action::Pacing => {
                let is_on = pacing.limiter.is_enabled();
                pacing.limiter = if is_on { Limiter::Off } else { Limiter::from_framerate(60.0) };
            }
            _ => {}
        }
    }
}
