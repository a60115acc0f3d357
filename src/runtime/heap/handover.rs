//! Handing a Luau state over: a heap whose processes have all ended in their start does not need its own any more, and
//! the next heap to start some does.
//!
//! To open a state takes the time of some hundred short processes, and 160 KiB that are written to. So hundreds of
//! thousands of processes that come and go run in few states, which stay in the processor's caches.

use super::Heap;
use crate::process::exit::ScriptError;
use crate::runtime::luau::LuauState;

impl Heap {
    /// Sees to it that the heap has a state.
    ///
    /// # Errors
    ///
    /// When there is not enough memory for one.
    pub(super) fn open(&mut self) -> Result<(), ScriptError> {
        if self.state.is_none() {
            let state = LuauState::open(self.host.clone())?;
            self.garbage.opened(state.bytes());
            self.state = Some(state);
        }
        Ok(())
    }

    /// Whether the heap has a state.
    pub(crate) fn has_state(&self) -> bool {
        self.state.is_some()
    }

    /// Takes the state of another heap, with what is loaded there, if that can do without.
    pub(crate) fn take_over(&mut self, other: &mut Self) {
        if self.state.is_some() || !other.give_up_state() {
            return;
        }
        self.state = other.state.take();
        self.loaded = std::mem::take(&mut other.loaded);
        self.categories = std::mem::take(&mut other.categories);
        self.garbage.opened(other.garbage.base_bytes());
        self.measure();
        other.measure(); // it has nothing now, and must not wait for a collection
    }

    /// Whether nothing needs the state any more. If so, it has forgotten whose it was.
    fn give_up_state(&mut self) -> bool {
        // Of queued processes the state knows the threads, also of those that have ended since.
        let is_needed = self.live > 0 || !self.starting.is_empty() || self.runnable() > 0;
        let Some(state) = self.state.as_mut().filter(|_| !is_needed) else { return false };
        self.garbage.is_little(state.bytes()) && state.vacate()
    }
}
