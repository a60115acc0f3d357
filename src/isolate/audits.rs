//! Of which VMs it is to be found out what they can reach.
//!
//! That is asked before a VM is killed for its memory: others may keep texts that it made. If they do, they are asked,
//! too, one after another, so that they pay for what they keep. A VM has no slices while it is asked.

use std::collections::VecDeque;

use crate::types::VmIndex;

/// What VMs that have gone must have left to others, beyond what was found before, for those to be asked.
const MIN_ORPHANED: usize = 1 << 20;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Audits {
    /// The first is under way if `has_begun`.
    pub(super) due: VecDeque<VmIndex>,
    pub(super) has_begun: bool,
    /// Bytes in the memory categories of VMs that have gone, when others were last asked.
    orphaned: usize,
}

impl Audits {
    pub(super) fn are_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether a VM must not run before it is done.
    #[inline]
    pub(super) fn is_underway(&self, vm: VmIndex) -> bool {
        self.has_begun && self.due.front() == Some(&vm)
    }

    /// The first is done, or has gone.
    pub(super) fn done(&mut self) {
        self.due.pop_front();
        self.has_begun = false;
    }

    pub(super) fn request(&mut self, vm: VmIndex) {
        if !self.due.contains(&vm) {
            self.due.push_back(vm);
        }
    }

    pub(super) fn request_all(&mut self, vms: impl Iterator<Item = VmIndex>) {
        vms.for_each(|vm| self.request(vm));
    }

    /// A collection has left so many bytes in categories that no VM has. Whether all VMs are to be asked.
    pub(super) fn orphaned(&mut self, bytes: usize) -> bool {
        let is_much = bytes > self.orphaned + MIN_ORPHANED;
        if is_much || bytes < self.orphaned {
            self.orphaned = bytes;
        }
        is_much
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vm_is_asked_once_at_a_time() {
        let mut audits = Audits::default();
        audits.request(VmIndex(3));
        audits.request_all([VmIndex(1), VmIndex(3)].into_iter());
        assert!(audits.due == [VmIndex(3), VmIndex(1)] && !audits.is_underway(VmIndex(3)));
        audits.has_begun = true;
        assert!(audits.is_underway(VmIndex(3)) && !audits.is_underway(VmIndex(1)));
        audits.done();
        assert!(!audits.is_underway(VmIndex(1)) && audits.are_due());
        audits.done();
        assert!(!audits.are_due());
    }

    #[test]
    fn all_are_asked_when_much_more_is_left_of_those_that_have_gone() {
        let mut audits = Audits::default();
        assert!(!audits.orphaned(MIN_ORPHANED) && audits.orphaned(MIN_ORPHANED + 1));
        assert!(!audits.orphaned(MIN_ORPHANED + 1), "they have been");
        assert!(!audits.orphaned(0) && audits.orphaned(2 * MIN_ORPHANED));
    }
}
