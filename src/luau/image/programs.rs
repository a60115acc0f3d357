//! Which program a piece of code is of, and its number there.

use std::collections::HashSet;

use bevy::platform::collections::HashMap;

use super::facts::Facts;
use super::heap::{Code, Heap, Object};

/// A script of a program, or a driver.
pub(super) struct Part {
    /// Its main function, which every process of the program shares.
    pub(super) main: Object,
    /// Its pieces of code, by their numbers.
    pub(super) codes: Vec<Option<Code>>,
    /// Of its bytecode.
    pub(super) hash: u64,
}

/// A program that is loaded. Part 0 is its script.
pub(super) struct ProgramParts {
    /// Where a module could not be loaded, there is nothing.
    pub(super) parts: Vec<Option<Part>>,
    /// The table that says which module is meant where.
    pub(super) links: Option<Object>,
}

impl Part {
    pub(super) fn of(heap: &Heap, main: Object, hash: u64) -> Self {
        let mut codes = Vec::new();
        let mut next: Vec<Code> = heap.function(main).code.into_iter().collect();
        while let Some(code) = next.pop() {
            let view = heap.code(code);
            let id = usize::try_from(view.id).unwrap_or_default();
            if id >= codes.len() {
                codes.resize(id + 1, None);
            }
            if codes[id].replace(code).is_none() {
                next.extend(view.inner());
            }
        }
        Self { main, codes, hash }
    }
}

impl ProgramParts {
    /// Whether the hashes of its parts are these.
    pub(super) fn is_same(&self, hashes: &[u64]) -> bool {
        let own = self.parts.iter().map(|part| part.as_ref().map_or(0, |part| part.hash));
        own.eq(hashes.iter().copied())
    }
}

/// Where a piece of code is: the program's number plus 1, or 0 for the drivers; the part's number; its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodePlace {
    pub(super) program: usize,
    pub(super) part: usize,
    pub(super) id: usize,
}

/// What is known of a piece of code beyond what Luau has of it.
pub(super) struct Known {
    pub(super) facts: Facts,
    /// Upvalues that must be variables, because it or a function that it makes assigns them.
    pub(super) shared: Vec<bool>,
}

/// Of all pieces of code of which somebody has asked.
#[derive(Default)]
pub(super) struct KnownCode(HashMap<Code, Known>);

impl KnownCode {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Looks at a piece of code, and at those of all functions that it makes.
    pub(super) fn look(&mut self, heap: &Heap, code: Code) -> &Known {
        if !self.0.contains_key(&code) {
            self.look_first(heap, code);
        }
        &self.0[&code]
    }

    fn look_first(&mut self, heap: &Heap, first: Code) {
        let (mut found, mut seen) = (vec![first], HashSet::from([first]));
        let mut at = 0;
        while let Some(&code) = found.get(at) {
            at += 1;
            let code = heap.code(code);
            found.extend(code.inner().filter(|inner| !self.0.contains_key(inner) && seen.insert(*inner)));
        }
        // Those that are made come after those that make them.
        for &code in found.iter().rev() {
            let facts = Facts::of(&heap.code(code));
            let shared = facts.assigned.clone();
            self.0.insert(code, Known { facts, shared });
        }
        let mut has_news = true;
        while has_news {
            has_news = false;
            for &code in found.iter().rev() {
                has_news |= self.hand_on(heap, code);
            }
        }
    }

    /// What a function hands on to one that assigns it must be a variable, too. Whether that was news.
    fn hand_on(&mut self, heap: &Heap, code: Code) -> bool {
        let view = heap.code(code);
        let mut news = Vec::new();
        for capture in &self.0[&code].facts.captures {
            let child =
                if capture.is_constant { view.constant(capture.child) } else { view.child(capture.child) };
            let is_shared = child
                .and_then(|child| self.0.get(&child))
                .is_some_and(|child| child.shared.get(usize::from(capture.upvalue)) == Some(&true));
            if is_shared {
                news.push(usize::from(capture.from));
            }
        }
        let shared = &mut self.0.get_mut(&code).expect("it was looked at").shared;
        let mut changed = false;
        for upvalue in news {
            if let Some(is_shared) = shared.get_mut(upvalue) {
                changed |= !*is_shared;
                *is_shared = true;
            }
        }
        changed
    }
}
