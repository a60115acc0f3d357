//! Copies what a process leaves behind out of its thread: results, error message, traceback.
//!
//! Nothing here runs code of the script (no `__tostring`, no `__index`), and everything is bounded.

use std::fmt::Write;
use std::ops::RangeInclusive;

use bevy::platform::collections::HashSet;

use super::stack::{Kind, Stack};
use crate::value::Value;

/// Values handed over as results of one process, nested ones included.
const MAX_VALUES: usize = 1024;
/// Bytes of strings and buffers handed over as results of one process.
const MAX_BYTES: usize = 64 * 1024;
/// Bytes that are copied in the time of a safepoint.
const BYTES_COPIED: usize = 32;
/// Tables inside tables inside results.
const MAX_DEPTH: usize = 8;
/// Bytes kept of an error message.
pub(super) const MAX_MESSAGE: usize = 4 * 1024;
/// Frames shown at either end of a traceback.
const TRACEBACK_FRAMES: u32 = 10;

/// Stack slots that copying takes: a key and a value for each level.
pub(super) const RESULT_SLOTS: u16 = 2 * (MAX_DEPTH as u16 + 1);

/// Copies of values, and what it took to make them, in safepoints.
pub(super) struct Copies<V> {
    pub(super) values: V,
    pub(super) cost: u64,
}

/// The values on a stack: what a thread has returned, or the arguments of a function.
pub(super) fn values<V: FromIterator<Value>>(stack: &mut Stack<'_>) -> Copies<V> {
    let mut copier = Copier::new();
    let count = stack.top().min(MAX_VALUES as i32);
    let values = (1..=count).map(|index| copier.copy(stack, index, 0)).collect();
    Copies { values, cost: copier.cost() }
}

/// The value at an index.
pub(super) fn copy(stack: &mut Stack<'_>, index: i32) -> Copies<Value> {
    let mut copier = Copier::new();
    let values = copier.copy(stack, index, 0);
    Copies { values, cost: copier.cost() }
}

/// The values at `indices`, if all of them can be copied; otherwise, at which one they cannot and why. What may be
/// in them is what may be in one.
pub(super) fn messages<V: FromIterator<Value>>(
    stack: &mut Stack<'_>,
    indices: RangeInclusive<i32>,
) -> Copies<Result<V, (i32, String)>> {
    let mut copier = Copier::new();
    let values = indices.map(|index| copier.message(stack, index).map_err(|why| (index, why))).collect();
    Copies { values, cost: copier.cost() }
}

/// What it takes to make a copy of a value, in safepoints.
pub(super) fn cost(value: &Value) -> u64 {
    (value.size() / BYTES_COPIED) as u64
}

/// Pushes a copy of `value`. An opaque one becomes nil.
pub(super) fn push(stack: &mut Stack<'_>, value: &Value) {
    match value {
        Value::Nil | Value::Opaque(_) => stack.push_nil(),
        Value::Boolean(boolean) => stack.push_boolean(*boolean),
        Value::Number(number) => stack.push_number(*number),
        Value::Vector(vector) => stack.push_vector(*vector),
        Value::String(bytes) => stack.push_bytes(bytes),
        Value::Buffer(bytes) => stack.push_buffer(bytes),
        Value::Table(entries) => {
            stack.push_table(0, entries.len());
            for (key, value) in entries {
                let is_key = match key {
                    Value::Nil | Value::Opaque(_) => false,
                    Value::Number(number) => !number.is_nan(),
                    _ => true,
                };
                if is_key {
                    push(stack, key);
                    push(stack, value);
                    stack.raw_set(-3);
                }
            }
        }
    }
}

/// As much of `text` as `max` bytes hold.
pub(super) fn bounded(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Copies values, and counts what that takes.
struct Copier {
    values: usize,
    bytes: usize,
    /// Tables that were copied. Each is only once: going through one can take long, even if there is
    /// little in it.
    tables: HashSet<usize>,
}

impl Copier {
    fn new() -> Self {
        Self { values: MAX_VALUES, bytes: MAX_BYTES, tables: HashSet::default() }
    }

    fn cost(&self) -> u64 {
        let (values, bytes) = (MAX_VALUES - self.values, MAX_BYTES - self.bytes);
        (values + bytes / BYTES_COPIED) as u64
    }

    /// The value at `index`, if all of it can be copied; otherwise, why not.
    fn message(&mut self, stack: &mut Stack<'_>, index: i32) -> Result<Value, String> {
        let value = self.copy(stack, index, 0);
        match value.opaque() {
            None => Ok(value),
            Some(kind @ ("string" | "buffer")) => {
                Err(format!("a {kind} in it is too long: {MAX_BYTES} bytes are copied"))
            }
            Some("table") => Err(format!(
                "a table in it occurs twice, or has too much in it: {MAX_VALUES} values, {MAX_DEPTH} levels are copied"
            )),
            Some(kind) if self.values > 0 => Err(format!("a {kind} cannot leave its process")),
            Some(_) => Err(format!("there is too much in it: {MAX_VALUES} values are copied")),
        }
    }

    fn copy(&mut self, stack: &mut Stack<'_>, index: i32, depth: usize) -> Value {
        let kind = stack.kind(index);
        let opaque = Value::Opaque(stack.kind_name(kind));
        if self.values == 0 {
            return opaque;
        }
        self.values -= 1;
        match kind {
            Kind::NONE | Kind::NIL => Value::Nil,
            Kind::BOOLEAN => Value::Boolean(stack.boolean(index)),
            Kind::NUMBER => Value::Number(stack.number(index).unwrap_or_default()),
            Kind::VECTOR => stack.vector(index).map_or(opaque, Value::Vector),
            Kind::STRING => {
                stack.bytes(index).and_then(|bytes| self.take(bytes)).map_or(opaque, Value::String)
            }
            Kind::BUFFER => {
                stack.buffer(index).and_then(|bytes| self.take(bytes)).map_or(opaque, Value::Buffer)
            }
            Kind::TABLE if depth < MAX_DEPTH && self.tables.insert(stack.address(index)) => {
                self.entries(stack, index, depth + 1).map_or(opaque, Value::Table)
            }
            _ => opaque,
        }
    }

    /// All that is in a table, if it can be copied.
    fn entries(&mut self, stack: &mut Stack<'_>, table: i32, depth: usize) -> Option<Vec<(Value, Value)>> {
        let (mut entries, mut from) = (Vec::new(), 0);
        while self.values > 0 {
            let Some(next) = stack.next(table, from) else { return Some(entries) };
            let top = stack.top();
            entries.push((self.copy(stack, top - 1, depth), self.copy(stack, top, depth)));
            stack.resize(top - 2);
            from = next;
        }
        None
    }

    fn take(&mut self, bytes: &[u8]) -> Option<Box<[u8]>> {
        self.bytes = self.bytes.checked_sub(bytes.len())?;
        Some(bytes.into())
    }
}

/// The error value on top of a thread's stack, as bounded text. Only strings and numbers are shown:
/// turning anything else into text could run a script's `__tostring`.
pub(super) fn error_message(stack: &Stack<'_>) -> Box<str> {
    let text = match stack.kind(-1) {
        Kind::STRING => {
            let text = stack.bytes(-1).unwrap_or_default();
            let length = text.len();
            let mut message = String::from_utf8_lossy(&text[..length.min(MAX_MESSAGE)]).into_owned();
            if length > MAX_MESSAGE {
                let _ = write!(message, "... ({length} bytes)");
            }
            message
        }
        Kind::NUMBER => stack.number(-1).unwrap_or_default().to_string(),
        Kind::BOOLEAN => stack.boolean(-1).to_string(),
        Kind::NIL => "nil".to_owned(),
        kind => format!("(error object is a {} value)", stack.kind_name(kind)),
    };
    text.into()
}

/// The call stack of a thread that failed or was stopped, innermost frame first, one line each.
pub(super) fn traceback(stack: &Stack<'_>) -> Box<str> {
    let mut text = String::new();
    let depth = stack.depth();
    for level in 0..depth {
        if level == TRACEBACK_FRAMES && depth > 2 * TRACEBACK_FRAMES {
            let _ = writeln!(text, "... ({} frames)", depth - 2 * TRACEBACK_FRAMES);
        }
        if (TRACEBACK_FRAMES..depth.saturating_sub(TRACEBACK_FRAMES)).contains(&level) {
            continue;
        }
        let shown = stack.frame(level, |frame| {
            // What raises the errors of nil is a function of ours, which is in nobody's way.
            if level == 0 && frame.what == c"C" && frame.name.is_empty() {
                return;
            }
            let _ = write!(text, "{}", frame.short_source.to_string_lossy());
            if frame.line > 0 {
                let _ = write!(text, ":{}", frame.line);
            }
            if !frame.name.is_empty() {
                let _ = write!(text, " function {}", frame.name.to_string_lossy());
            }
            text.push('\n');
        });
        if shown.is_none() {
            break;
        }
    }
    text.into()
}
