//! What scripts change in the world leaves their isolates.

use super::LuauRuntime;
use crate::luau::world::WorldChange;

impl LuauRuntime {
    /// Takes what scripts change in the world, isolate after isolate, each in the order in which they asked for it.
    pub(crate) fn take_changes(&mut self) -> Vec<Vec<WorldChange>> {
        let changes = self.isolates.busy_mut().map(|(_, isolate)| isolate.take_changes());
        changes.filter(|changes| !changes.is_empty()).collect()
    }
}
