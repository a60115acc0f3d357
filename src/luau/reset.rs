//! A state that no process uses, for another isolate.

use std::sync::Arc;

use super::context::Context;
use super::state::LuauState;

impl LuauState {
    /// Forgets the processes and VMs of its isolate, so that it can serve another one. `false` if something of them
    /// is left that somebody may still ask for. No process may be alive.
    pub(crate) fn reset_for_reuse(&mut self) -> bool {
        self.release_functions();
        // Of coroutines, the collector will tell whose they were.
        if !self.shared().slice.has_no_coroutines()
            || !self.handed_over.is_empty()
            || self.threads.iter().any(|thread| thread.root.is_some())
        {
            return false;
        }
        let Context { mail, requests, replies, dropped_functions, .. } = self.context();
        let is_asked_for = !mail.is_empty()
            || !requests.is_empty()
            || !replies.is_empty()
            // `process.spawn` has handed a function to the game.
            || Arc::strong_count(dropped_functions) > 1;
        if is_asked_for {
            return false;
        }
        self.audit = None;
        let Context { callers, vms, published, exit_results, .. } = self.context();
        callers.clear();
        vms.clear();
        published.clear();
        exit_results.clear();
        self.threads.clear();
        self.roots.by_thread.clear();
        true
    }
}
