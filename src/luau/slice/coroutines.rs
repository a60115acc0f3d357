//! How many coroutines the scripts of each VM have.

use super::Slice;
use crate::types::VmIndex;

impl Slice {
    /// Coroutines that the scripts of a VM have made, garbage included.
    pub(in super::super) fn coroutines(&self, vm: VmIndex) -> u32 {
        self.coroutines.borrow().get(vm.at()).copied().unwrap_or_default()
    }

    /// Whether no coroutine of any VM is left.
    pub(in super::super) fn has_no_coroutines(&self) -> bool {
        self.coroutines.borrow().iter().all(|&count| count == 0)
    }

    /// A script has made one. If there are too many now, the slice ends.
    pub(super) fn count_coroutine(&self, vm: usize) {
        let mut coroutines = self.coroutines.borrow_mut();
        if vm >= coroutines.len() {
            coroutines.resize(vm + 1, 0);
        }
        coroutines[vm] += 1;
        if coroutines[vm] > self.coroutine_limit.get() {
            self.end_soon();
            self.flag_outcome();
        }
    }

    /// One is loaded that a script of a VM has made.
    #[cfg(feature = "save")]
    pub(in super::super) fn adopt_coroutine(&self, vm: usize) {
        let mut coroutines = self.coroutines.borrow_mut();
        if vm >= coroutines.len() {
            coroutines.resize(vm + 1, 0);
        }
        coroutines[vm] += 1;
    }

    /// One is collected. `owner` is the number of its VM plus 1, or 0 for a thread that no script has made.
    pub(super) fn forget_coroutine(&self, owner: usize) {
        let mut coroutines = self.coroutines.borrow_mut();
        if let Some(count) = owner.checked_sub(1).and_then(|vm| coroutines.get_mut(vm)) {
            *count -= 1;
        }
    }
}
