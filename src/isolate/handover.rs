//! Handing a Luau state over: an isolate whose processes have all ended in their start does not need its own any more, and
//! the next isolate to start some does.
//!
//! To open a state takes the time of some hundred short processes, and 160 KiB that are written to. So hundreds of
//! thousands of processes that come and go run in few states, which stay in the processor's caches.

use super::Isolate;
use crate::luau::LuauState;
use crate::types::ScriptError;

impl Isolate {
    /// Sees to it that the isolate has a state.
    ///
    /// # Errors
    ///
    /// When there is not enough memory for one.
    pub(super) fn open(&mut self) -> Result<(), ScriptError> {
        if self.state.is_none() {
            let state = LuauState::open(self.host.clone())?;
            self.garbage.opened(state.object_bytes(), state.object_bytes());
            self.state = Some(state);
        }
        Ok(())
    }

    /// Whether the isolate has a state.
    pub(crate) fn has_state(&self) -> bool {
        self.state.is_some()
    }

    /// Takes the state of another isolate, with what is loaded there, if that can do without.
    pub(crate) fn adopt_state(&mut self, other: &mut Self) {
        if self.state.is_some() || !other.release_state() {
            return;
        }
        self.state = other.state.take();
        self.loaded = std::mem::take(&mut other.loaded);
        self.categories = std::mem::take(&mut other.categories);
        self.garbage.opened(other.garbage.base_bytes(), self.object_bytes());
        other.measure(); // it has nothing now: it would stay due for a collection, and never rest
    }

    /// Whether nothing needs the state any more. If so, it has forgotten whose it was.
    fn release_state(&mut self) -> bool {
        // Of queued processes the state knows the threads, also of those that have ended since.
        let is_needed = self.live > 0 || !self.starting.is_empty() || self.runnable() > 0;
        let Some(state) = self.state.as_mut().filter(|_| !is_needed) else { return false };
        self.garbage.is_nearly_empty(state.object_bytes()) && state.reset_for_reuse()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use bevy::prelude::*;
    use bevy::time::TimeUpdateStrategy;

    use crate::prelude::*;

    #[test]
    fn a_heap_whose_state_was_taken_over_with_garbage_rests() {
        let mut app = App::new();
        app.add_plugins((
            MinimalPlugins,
            LuauOsPlugin {
                budget: TickBudget::Unlimited,
                workers: NonZeroUsize::new(1),
                vms_per_isolate: 1,
                ..default()
            },
        ))
        .insert_resource(TimeUpdateStrategy::FixedTimesteps(1));
        // Along a batch of 16 isolates that is more than a collection is due for.
        let script = Script::new("garbage", "local b = buffer.create(40000)");
        for _ in 0..64 {
            let vm = app.world_mut().spawn(Vm::persistent()).id();
            app.world_mut().spawn((Process::new(script.clone()), ProcessOf(vm)));
        }
        for _ in 0..4 {
            app.update();
        }
        let isolates = &app.world().resource::<LuauRuntime>().isolates;
        let open = isolates.iter().filter(|isolate| isolate.has_state()).count();
        assert!((1..isolates.len()).contains(&open), "{open} of {} states are open", isolates.len());
        assert_eq!(isolates.busy().count(), 0, "isolates that have nothing to do");
    }
}
