//! Copies values, and counts what that takes.

use std::fmt;

use bevy::ecs::entity::Entity;
use bevy::platform::collections::HashMap;
use smallvec::SmallVec;

use crate::luau::stack::{Kind, Stack};
use crate::value::Value;

/// Values handed over at a time, nested ones included.
pub(super) const MAX_VALUES: usize = 1024;
/// Bytes of strings and buffers handed over at a time.
pub(super) const MAX_BYTES: usize = 64 * 1024;
/// Tables inside tables.
pub(super) const MAX_DEPTH: usize = 8;
/// Bytes that are copied in the time of a safepoint.
pub(super) const BYTES_COPIED: usize = 32;

/// Stack slots that copying takes: a key and a value for each level.
pub(in crate::luau) const RESULT_SLOTS: u16 = 2 * (MAX_DEPTH as u16 + 1);

/// Why something cannot be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A table contains itself.
    Cycle,
    Depth,
    Values,
    /// A string or a buffer is too long.
    Bytes(&'static str),
    /// It is bound to its process.
    Kind(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cycle => f.write_str("a table in it contains itself"),
            Self::Depth => write!(f, "tables in it are nested too deep: {MAX_DEPTH} levels are copied"),
            Self::Values => write!(f, "there is too much in it: {MAX_VALUES} values are copied"),
            Self::Bytes(kind) => write!(f, "a {kind} in it is too long: {MAX_BYTES} bytes are copied"),
            Self::Kind("integer") => f.write_str("an integer cannot leave its process: integer.tonumber"),
            Self::Kind(kind) => write!(f, "a {kind} cannot leave its process"),
        }
    }
}

/// Where a value is: the number of the whole value that it is in, then for each table the number of the entry, twice,
/// and one more if it is not the key.
pub(super) type Path = SmallVec<[u32; MAX_DEPTH + 1]>;

/// A table that was copied.
pub(super) struct Seen {
    /// Where its copy is.
    pub(super) path: Path,
    /// It is being copied: whatever leads to it again is inside it.
    is_open: bool,
}

/// A table that occurs once more.
pub(super) struct Repeat {
    pub(super) path: Path,
    pub(super) address: usize,
}

/// See the [module](self).
pub(super) struct Copier {
    pub(super) values: usize,
    pub(super) bytes: usize,
    /// By address. Each table is gone through only once: that can take long, even if there is little in it.
    pub(super) seen: HashMap<usize, Seen>,
    /// In the order in which they were found.
    pub(super) repeats: Vec<Repeat>,
    path: Path,
    refusal: Option<Refusal>,
}

impl Copier {
    pub(super) fn new() -> Self {
        Self {
            values: MAX_VALUES,
            bytes: MAX_BYTES,
            seen: HashMap::default(),
            repeats: Vec::new(),
            path: Path::new(),
            refusal: None,
        }
    }

    /// What was done so far, in safepoints.
    pub(super) fn cost(&self) -> u64 {
        let (values, bytes) = (MAX_VALUES - self.values, MAX_BYTES - self.bytes);
        (values + bytes / BYTES_COPIED) as u64
    }

    /// Copies the value at an index, which is the one with a number, and says what could not be copied first.
    pub(super) fn root(&mut self, stack: &mut Stack<'_>, index: i32, root: u32) -> (Value, Option<Refusal>) {
        self.path = Path::from_slice(&[root]);
        self.refusal = None;
        let value = self.copy(stack, index);
        (value, self.refusal.take())
    }

    fn copy(&mut self, stack: &mut Stack<'_>, index: i32) -> Value {
        let kind = stack.kind(index);
        let name = stack.kind_name(kind);
        if self.values == 0 {
            return self.refuse(Refusal::Values, name);
        }
        self.values -= 1;
        match kind {
            Kind::NONE | Kind::NIL => Value::Nil,
            Kind::BOOLEAN => Value::Boolean(stack.boolean(index)),
            Kind::NUMBER => Value::Number(stack.number(index).unwrap_or_default()),
            Kind::VECTOR => Value::Vector(stack.vector(index).unwrap_or_default()),
            Kind::STRING => match self.take(stack.bytes(index).unwrap_or_default()) {
                Some(bytes) => Value::String(bytes),
                None => self.refuse(Refusal::Bytes(name), name),
            },
            Kind::BUFFER => match self.take(stack.buffer(index).unwrap_or_default()) {
                Some(bytes) => Value::Buffer(bytes),
                None => self.refuse(Refusal::Bytes(name), name),
            },
            Kind::LIGHT_USERDATA => match stack.entity(index).and_then(Entity::try_from_bits) {
                Some(entity) => Value::Entity(entity),
                None => self.refuse(Refusal::Kind(name), name),
            },
            Kind::TABLE => self.table(stack, index),
            _ => self.refuse(Refusal::Kind(name), name),
        }
    }

    fn table(&mut self, stack: &mut Stack<'_>, index: i32) -> Value {
        let (address, path) = (stack.address(index), self.path.clone());
        if let Some(seen) = self.seen.get(&address) {
            if seen.is_open {
                return self.refuse(Refusal::Cycle, "table");
            }
            self.repeats.push(Repeat { path, address });
            return Value::Opaque("table"); // until all else is there
        }
        if self.path.len() > MAX_DEPTH {
            return self.refuse(Refusal::Depth, "table");
        }
        self.seen.insert(address, Seen { path, is_open: true });
        let entries = self.entries(stack, index);
        if let Some(seen) = self.seen.get_mut(&address) {
            seen.is_open = false;
        }
        entries.map_or_else(|| self.refuse(Refusal::Values, "table"), Value::Table)
    }

    /// All that is in a table, if there is not too much.
    fn entries(&mut self, stack: &mut Stack<'_>, table: i32) -> Option<Vec<(Value, Value)>> {
        let (mut entries, mut from) = (Vec::new(), 0);
        while self.values > 0 {
            let Some(next) = stack.next(table, from) else { return Some(entries) };
            let top = stack.top();
            let number = 2 * entries.len() as u32;
            self.path.push(number);
            let key = self.copy(stack, top - 1);
            self.path.pop();
            self.path.push(number + 1);
            let value = self.copy(stack, top);
            self.path.pop();
            entries.push((key, value));
            stack.resize(top - 2);
            from = next;
        }
        None
    }

    /// What stands in the place of what cannot be copied.
    pub(super) fn refuse(&mut self, refusal: Refusal, kind: &'static str) -> Value {
        self.refusal.get_or_insert(refusal);
        Value::Opaque(kind)
    }

    fn take(&mut self, bytes: &[u8]) -> Option<Box<[u8]>> {
        self.bytes = self.bytes.checked_sub(bytes.len())?;
        Some(bytes.into())
    }
}
