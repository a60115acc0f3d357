//! A table that occurs several times is copied as often, from its first copy.

use super::copier::{Copier, MAX_DEPTH, Refusal, Repeat};
use crate::value::Value;

/// Puts copies in all places where tables occur once more.
pub(super) fn resolve(copier: &mut Copier, copies: &mut [(Value, Option<Refusal>)]) {
    // In the order in which they were found: what is repeated was whole before that, but for repeats in itself.
    for Repeat { path, address } in std::mem::take(&mut copier.repeats) {
        let original = copier.seen.get(&address).map(|seen| seen.path.clone());
        let Some(original) = original.and_then(|path| place(copies, &path)) else { continue };
        let refusal = match measure(original) {
            size if path.len() - 1 + size.depth > MAX_DEPTH => Some(Refusal::Depth),
            size if size.values > copier.values => Some(Refusal::Values),
            size if size.bytes > copier.bytes => Some(Refusal::Bytes("string")),
            size => {
                copier.values -= size.values;
                copier.bytes -= size.bytes;
                None
            }
        };
        match refusal {
            None => {
                let copy = original.clone();
                if let Some(place) = place(copies, &path) {
                    *place = copy;
                }
            }
            Some(refusal) => {
                if let Some((_, first)) = copies.get_mut(path[0] as usize) {
                    first.get_or_insert(refusal);
                }
            }
        }
    }
}

/// The value at a path.
fn place<'c>(copies: &'c mut [(Value, Option<Refusal>)], path: &[u32]) -> Option<&'c mut Value> {
    let (root, path) = path.split_first()?;
    let mut value = &mut copies.get_mut(*root as usize)?.0;
    for number in path {
        let Value::Table(entries) = value else { return None };
        let (key, entry) = entries.get_mut((number / 2) as usize)?;
        value = if number % 2 == 0 { key } else { entry };
    }
    Some(value)
}

struct Size {
    values: usize,
    bytes: usize,
    /// Tables inside each other, itself included.
    depth: usize,
}

/// What there is in a value beside itself.
fn measure(value: &Value) -> Size {
    match value {
        Value::String(bytes) | Value::Buffer(bytes) => Size { values: 0, bytes: bytes.len(), depth: 0 },
        Value::Table(entries) => {
            let mut size = Size { values: 0, bytes: 0, depth: 0 };
            for part in entries.iter().flat_map(|(key, value)| [key, value]) {
                let inside = measure(part);
                size.values += 1 + inside.values;
                size.bytes += inside.bytes;
                size.depth = size.depth.max(inside.depth);
            }
            size.depth += 1;
            size
        }
        _ => Size { values: 0, bytes: 0, depth: 0 },
    }
}
