//! What scripts have asked for leaves the isolates, and syscalls reach their systems.

use bevy::prelude::*;

use crate::api::syscall::SyscallSystems;
use crate::runtime::LuauRuntime;

/// Runs the systems that answer syscalls. What the kernel was asked for is answered in Settle.
pub(crate) fn dispatch_syscalls(world: &mut World) {
    let calls = world.resource_mut::<LuauRuntime>().take_requests();
    for (number, mut calls) in calls.into_iter().enumerate() {
        if calls.is_empty() {
            continue;
        }
        // An earlier system may have ended who made them.
        let runtime = world.resource::<LuauRuntime>();
        calls.retain(|call| runtime.is_wanted(call.id));
        if calls.is_empty() {
            continue;
        }
        if let Some(dispatch) = world.resource::<SyscallSystems>().get(number) {
            dispatch(world, calls);
        }
    }
}
