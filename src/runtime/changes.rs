//! What scripts change in the world leaves their isolates.

use super::LuauRuntime;
use crate::luau::world::WorldChange;

/// The changes of an isolate.
pub(crate) struct IsolateChanges {
    isolate: u32,
    pub(crate) changes: Vec<WorldChange>,
}

impl LuauRuntime {
    /// Takes what scripts change in the world, isolate after isolate, each in the order in which they asked for it.
    pub(crate) fn take_changes(&mut self) -> Vec<IsolateChanges> {
        let changes = self.isolates.busy_mut();
        let changes = changes.map(|(isolate, it)| IsolateChanges { isolate, changes: it.take_changes() });
        changes.filter(|it| !it.changes.is_empty()).collect()
    }

    /// Gives the isolates back what their changes were in.
    pub(crate) fn keep_buffers(&mut self, changes: Vec<IsolateChanges>) {
        for IsolateChanges { isolate, mut changes } in changes {
            changes.clear();
            self.isolates.get_mut(isolate).keep_buffer(changes);
        }
    }
}
