//! How processes ended that scripts have started, kept for a later `process.join`.

use std::collections::VecDeque;

use bevy::platform::collections::{HashMap, HashSet};

use crate::types::VmIndex;
use crate::value::{Value, Values};

/// Exits that are kept for each VM.
const MAX_EXITS: usize = 64;

/// Bytes of the results in them. Older ones are forgotten.
const MAX_BYTES: usize = 256 * 1024;

/// See the [module](self).
#[derive(Debug, Default)]
pub(in crate::isolate) struct RetainedExits {
    /// Live processes whose exits are to be kept, by VM and PID.
    children: HashSet<(VmIndex, u32)>,
    /// By VM, the latest first, with their PIDs.
    exits: HashMap<VmIndex, VecDeque<(u32, Values)>>,
}

impl RetainedExits {
    /// The exit of a process is to be kept.
    pub(in crate::isolate) fn expect(&mut self, vm: VmIndex, pid: u32) {
        self.children.insert((vm, pid));
    }

    /// Whether the exit of a process that has ended is to be kept.
    pub(in crate::isolate) fn take_expected(&mut self, vm: VmIndex, pid: u32) -> bool {
        !self.children.is_empty() && self.children.remove(&(vm, pid))
    }

    pub(in crate::isolate) fn insert(&mut self, vm: VmIndex, pid: u32, exit: Values) {
        let exits = self.exits.entry(vm).or_default();
        exits.push_front((pid, exit));
        let mut bytes = 0;
        let fits = |(_, exit): &&(u32, Values)| {
            bytes += exit.iter().map(Value::size).sum::<usize>();
            bytes <= MAX_BYTES
        };
        let kept = exits.iter().take(MAX_EXITS).take_while(fits).count();
        exits.truncate(kept);
    }

    pub(in crate::isolate) fn get(&self, vm: VmIndex, pid: u32) -> Option<Values> {
        let exits = self.exits.get(&vm)?;
        exits.iter().find(|exit| exit.0 == pid).map(|exit| exit.1.clone())
    }

    /// The PIDs of the children of a VM, and how others ended, the latest first.
    #[cfg(feature = "save")]
    pub(in crate::isolate) fn of(&self, vm: VmIndex) -> (Vec<u32>, Option<&VecDeque<(u32, Values)>>) {
        let mut children: Vec<u32> = self.children.iter().filter(|it| it.0 == vm).map(|it| it.1).collect();
        children.sort_unstable();
        (children, self.exits.get(&vm))
    }

    /// The VM has gone.
    pub(in crate::isolate) fn forget(&mut self, vm: VmIndex) {
        if !self.exits.is_empty() {
            self.exits.remove(&vm);
        }
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    const VM: VmIndex = VmIndex(1);

    fn exit(bytes: usize) -> Values {
        smallvec!["finished".into(), Value::String(vec![0; bytes].into())]
    }

    #[test]
    fn only_expected_exits_are_kept_and_each_once() {
        let mut exits = RetainedExits::default();
        exits.expect(VM, 2);
        assert!(!exits.take_expected(VM, 1) && exits.take_expected(VM, 2) && !exits.take_expected(VM, 2));
        exits.insert(VM, 2, exit(1));
        assert_eq!(
            (exits.get(VM, 2), exits.get(VM, 1), exits.get(VmIndex(2), 2)),
            (Some(exit(1)), None, None)
        );
        exits.forget(VM);
        assert_eq!(exits.get(VM, 2), None);
    }

    #[test]
    fn old_exits_are_forgotten_where_there_are_many_or_large_ones() {
        let mut exits = RetainedExits::default();
        (1..=100).for_each(|pid| exits.insert(VM, pid, exit(1)));
        let kept = |exits: &RetainedExits| (1..=200).filter(|&pid| exits.get(VM, pid).is_some()).count();
        assert_eq!((kept(&exits), exits.get(VM, 36)), (MAX_EXITS, None));
        exits.insert(VM, 101, exit(MAX_BYTES - 2_000));
        assert!((2..MAX_EXITS).contains(&kept(&exits)), "{}", kept(&exits));
        exits.insert(VM, 102, exit(MAX_BYTES + 1));
        assert_eq!(kept(&exits), 0);
    }
}
