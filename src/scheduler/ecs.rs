//! Phases in which scripts may look at the world.

use bevy::ecs::system::SystemState;
use bevy::prelude::*;

use super::admit::start_with;
use super::run::run_with;
use super::tick::Tick;
use crate::ecs::{EcsAccess, with_view};
use crate::luau::world::WorldRef;
use crate::runtime::LuauRuntime;
use crate::types::Metrics;

/// What a phase changes.
type Parts<'w> = (ResMut<'w, LuauRuntime>, ResMut<'w, Metrics>, ResMut<'w, Tick>);

/// The VMs that may look.
type VmsWithAccess = QueryState<(), With<EcsAccess>>;

/// The second half of Admit.
pub(crate) fn start(world: &mut World, parts: &mut SystemState<Parts>, vms: &mut VmsWithAccess) {
    run_phase(world, parts, vms, start_with);
}

pub(crate) fn run(world: &mut World, parts: &mut SystemState<Parts>, vms: &mut VmsWithAccess) {
    run_phase(world, parts, vms, run_with);
}

fn run_phase(
    world: &mut World,
    parts: &mut SystemState<Parts>,
    vms: &mut VmsWithAccess,
    phase: fn(&mut LuauRuntime, &mut Metrics, &mut Tick, WorldRef<'_>),
) {
    if vms.iter(world).next().is_none() {
        if let Ok((mut runtime, mut metrics, mut tick)) = parts.get_mut(world) {
            phase(&mut runtime, &mut metrics, &mut tick, WorldRef::default());
        }
        return;
    }
    world.resource_scope(|world, mut runtime: Mut<LuauRuntime>| {
        world.resource_scope(|world, mut metrics: Mut<Metrics>| {
            world.resource_scope(|world, mut tick: Mut<Tick>| {
                with_view(world, |view| phase(&mut runtime, &mut metrics, &mut tick, view));
            });
        });
    });
}
