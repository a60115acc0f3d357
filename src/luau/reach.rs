//! What a VM can reach of its isolate's memory.
//!
//! A text that several VMs make is one string of Luau's, and charged to the VM that made it first, whoever keeps it. So
//! the bytes of a memory category may be more than its VM can reach, or fewer. An audit tells: it goes through the objects
//! of one category, and counts each string that they refer to, whosever it is. Only strings can be had by two VMs.
//!
//! It is made in steps. Between them the collector does not run, so that no object goes.

use bevy::platform::collections::HashSet;

use super::objects::{Object, Objects};

/// Bytes of an object, where there are many.
const USUAL_BYTES: usize = 48;

/// What is known so far.
pub(super) struct Audit {
    pub(super) category: u8,
    objects: Objects,
    /// Objects whose references are still to be followed, from one of their values on.
    ahead: Vec<(Object, usize)>,
    seen: HashSet<usize>,
    pub(super) bytes: usize,
}

impl Audit {
    /// Of a category that has so many bytes. What is kept alive for its threads is in the registry, or in a table of the
    /// state that is there.
    pub(super) fn new((category, bytes): (u8, usize), objects: Objects, registry: Object) -> Self {
        // To grow it when it is large takes longer than a step may.
        let seen = HashSet::with_capacity_and_hasher(bytes / USUAL_BYTES, Default::default());
        let mut audit = Self { category, objects, ahead: Vec::new(), seen, bytes: 0 };
        let mut tables = Vec::new();
        audit.each_reference(registry, |audit, object| match object.category() {
            0 if object.is_table() => tables.push(object),
            _ => audit.visit_object(object),
        });
        for table in tables {
            audit.each_reference(table, Self::visit_object);
        }
        audit
    }

    fn each_reference(&mut self, object: Object, mut f: impl FnMut(&mut Self, Object)) {
        let mut from = Some(0);
        while let Some(at) = from {
            from = self.some_references(object, at, &mut f);
        }
    }

    fn some_references(
        &mut self,
        object: Object,
        from: usize,
        mut f: impl FnMut(&mut Self, Object),
    ) -> Option<usize> {
        let mut objects = self.objects;
        let next = objects.each_reference(object, from, |object| f(self, object));
        self.objects = objects;
        next
    }

    fn visit_object(&mut self, object: Object) {
        if !object.is_string() {
            self.visit(object);
        }
    }

    fn visit(&mut self, object: Object) {
        let category = object.category();
        let is_string = object.is_string();
        let counts = if is_string { category != 0 } else { category == self.category };
        if counts && self.seen.insert(object.address()) {
            self.bytes += self.objects.bytes(object);
            if !is_string {
                self.ahead.push((object, 0));
            }
        }
    }

    /// Goes on with about so many objects. Whether that was all.
    pub(super) fn step(&mut self, objects: usize) -> bool {
        let mut left = objects;
        while left > 0 {
            let Some((object, from)) = self.ahead.pop() else { return true };
            let mut values = 1;
            let next = self.some_references(object, from, |audit, object| {
                values += 1;
                audit.visit(object);
            });
            self.ahead.extend(next.map(|next| (object, next)));
            left = left.saturating_sub(values);
        }
        self.ahead.is_empty()
    }
}
