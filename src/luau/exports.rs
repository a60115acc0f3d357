//! Functions that processes let the game call, by their names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bevy::platform::collections::HashMap;

use super::threads::TaskId;
use crate::types::ProcessIndex;

/// A function that a process has exported.
#[derive(Debug)]
struct Export {
    /// Where its process anchors it.
    anchor: TaskId,
    /// Whether a call of [all](Exports::begin_in_all) has not ended.
    is_running: bool,
}

/// The exports of all processes of an isolate.
#[derive(Debug, Default)]
pub(crate) struct Exports {
    of: HashMap<ProcessIndex, BTreeMap<Arc<str>, Export>>,
    /// Who has a function with a name, so that nobody else is looked at when all are called.
    by_name: HashMap<Arc<str>, BTreeSet<ProcessIndex>>,
}

impl Exports {
    /// Where a process anchors the function with a name.
    pub(crate) fn find(&self, process: ProcessIndex, name: &str) -> Option<TaskId> {
        Some(self.of.get(&process)?.get(name)?.anchor)
    }

    /// Returns where the function was anchored that had the name before.
    pub(super) fn insert(&mut self, process: ProcessIndex, name: &str, anchor: TaskId) -> Option<TaskId> {
        let name: Arc<str> = name.into();
        self.by_name.entry(name.clone()).or_default().insert(process);
        let export = Export { anchor, is_running: false };
        Some(self.of.entry(process).or_default().insert(name, export)?.anchor)
    }

    /// Returns where the function was anchored.
    pub(super) fn remove(&mut self, process: ProcessIndex, name: &str) -> Option<TaskId> {
        let exports = self.of.get_mut(&process)?;
        let removed = exports.remove(name)?;
        if exports.is_empty() {
            self.of.remove(&process);
        }
        self.forget_name(process, name);
        Some(removed.anchor)
    }

    fn forget_name(&mut self, process: ProcessIndex, name: &str) {
        if let Some(processes) = self.by_name.get_mut(name) {
            processes.remove(&process);
            if processes.is_empty() {
                self.by_name.remove(name);
            }
        }
    }

    /// What a process exports: names, and where the functions are anchored.
    #[cfg(feature = "save")]
    pub(crate) fn saved(&self, process: ProcessIndex) -> Vec<(Box<str>, TaskId)> {
        let exports = self.of.get(&process).into_iter().flatten();
        exports.map(|(name, export)| ((**name).into(), export.anchor)).collect()
    }

    /// A process that was loaded exports these. None of them runs a call.
    #[cfg(feature = "save")]
    pub(crate) fn load(&mut self, process: ProcessIndex, saved: Vec<(Box<str>, TaskId)>) {
        for (name, anchor) in saved {
            self.insert(process, &name, anchor);
        }
    }

    /// Whether some process exports a function with a name.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Calls of all that export a name begin. Returns those whose last one has ended, with where the function is
    /// anchored.
    pub(crate) fn begin_in_all(&mut self, name: &str) -> Vec<(ProcessIndex, TaskId)> {
        let processes = self.by_name.get(name).into_iter().flatten();
        let begin = |&process: &ProcessIndex| {
            let export = self.of.get_mut(&process)?.get_mut(name)?;
            let is_running = std::mem::replace(&mut export.is_running, true);
            (!is_running).then_some((process, export.anchor))
        };
        processes.filter_map(begin).collect()
    }

    /// One of those calls has ended.
    pub(crate) fn ended(&mut self, process: ProcessIndex, anchor: TaskId) {
        let exports = self.of.get_mut(&process).into_iter().flat_map(BTreeMap::values_mut);
        exports.filter(|export| export.anchor == anchor).for_each(|export| export.is_running = false);
    }

    /// The process has ended, or starts again.
    pub(crate) fn forget(&mut self, process: ProcessIndex) {
        if self.of.is_empty() {
            return;
        }
        for name in self.of.remove(&process).unwrap_or_default().into_keys() {
            self.forget_name(process, &name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ProcessIndex = ProcessIndex(1);
    const B: ProcessIndex = ProcessIndex(2);

    #[test]
    fn a_name_stands_for_the_last_function() {
        let mut exports = Exports::default();
        assert_eq!(exports.insert(A, "hit", 4), None);
        assert_eq!(exports.insert(A, "hit", 5), Some(4));
        assert_eq!(
            (exports.find(A, "hit"), exports.find(B, "hit"), exports.find(A, "it")),
            (Some(5), None, None)
        );
        assert_eq!((exports.remove(A, "hit"), exports.remove(A, "hit")), (Some(5), None));
        assert!(!exports.has_name("hit") && exports.of.is_empty());
    }

    #[test]
    fn all_that_have_a_name_are_called_one_call_at_a_time() {
        let mut exports = Exports::default();
        exports.insert(B, "update", 7);
        exports.insert(A, "update", 3);
        exports.insert(A, "other", 4);
        assert_eq!(exports.begin_in_all("update"), [(A, 3), (B, 7)]);
        assert_eq!(exports.begin_in_all("update"), []);
        exports.ended(B, 7);
        assert_eq!(exports.begin_in_all("update"), [(B, 7)]);
        exports.forget(A);
        exports.ended(B, 7);
        assert_eq!(exports.begin_in_all("update"), [(B, 7)]);
        assert!(!exports.has_name("other"));
    }
}
