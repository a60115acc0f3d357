//! Handing Luau states on: a heap whose processes have all ended does not need its own any more, and the next heap
//! to start some does.
//!
//! To open a state takes 160 KiB and the time of some hundred short processes. So hundreds of thousands of
//! processes that come and go run in few states, which stay in the processor's caches.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Heap;
use super::categories::Categories;
use super::loaded::LoadedScripts;
use crate::process::exit::ScriptError;
use crate::runtime::luau::LuauState;

/// States that no heap has.
pub(crate) struct Spares {
    states: Mutex<Vec<Spare>>,
    most: usize,
}

/// A state, and what heaps know about it.
struct Spare {
    state: LuauState,
    base_bytes: usize,
    loaded: LoadedScripts,
    categories: Categories,
}

impl Spares {
    /// Room for up to `most` of them.
    pub(crate) fn new(most: usize) -> Self {
        Self { states: Mutex::default(), most }
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().iter().map(|spare| spare.state.bytes()).sum()
    }

    fn take(&self) -> Option<Spare> {
        self.lock().pop()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Spare>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heap {
    /// Sees to it that the heap has a state.
    ///
    /// # Errors
    ///
    /// When there is not enough memory for one.
    pub(super) fn open(&mut self, spares: &Spares) -> Result<(), ScriptError> {
        if self.state.is_some() {
            return Ok(());
        }
        let (state, base_bytes) = if let Some(spare) = spares.take() {
            (self.loaded, self.categories) = (spare.loaded, spare.categories);
            (spare.state, spare.base_bytes)
        } else {
            let state = LuauState::open(self.host.clone())?;
            let bytes = state.bytes();
            (state, bytes)
        };
        self.garbage.opened(base_bytes);
        self.state = Some(state);
        Ok(())
    }

    /// Hands the state on if no process needs it and it holds little garbage.
    pub(super) fn hand_on_state(&mut self, spares: &Spares) {
        let Some(state) = &mut self.state else { return };
        let is_needed = self.live > 0 || !self.starting.is_empty() || !self.garbage.is_little(state.bytes());
        if is_needed || !state.vacate() {
            return;
        }
        let mut spares_left = spares.lock();
        if spares_left.len() < spares.most {
            spares_left.extend(self.state.take().map(|state| Spare {
                state,
                base_bytes: self.garbage.base_bytes(),
                loaded: std::mem::take(&mut self.loaded),
                categories: std::mem::take(&mut self.categories),
            }));
        }
    }
}
