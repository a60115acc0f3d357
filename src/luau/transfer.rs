//! Copies what a process leaves behind out of its thread: results, error message, traceback.
//!
//! Nothing here runs code of the script (no `__tostring`, no `__index`), and everything is bounded.

mod copier;
mod repeats;

use std::fmt::Write;
use std::ops::RangeInclusive;

pub(super) use copier::RESULT_SLOTS;
use copier::{BYTES_COPIED, Copier, MAX_VALUES, Refusal};

use super::stack::{Kind, Stack};
use crate::types::{ScriptError, ScriptPlace};
#[cfg(feature = "ecs")]
use crate::value::Column;
use crate::value::Value;

/// Bytes kept of an error message.
pub(super) const MAX_MESSAGE: usize = 4 * 1024;
/// Frames shown at either end of a traceback.
const TRACEBACK_FRAMES: u32 = 10;

/// Copies of values, and what it took to make them, in safepoints.
pub(super) struct Copies<V> {
    pub(super) values: V,
    pub(super) cost: u64,
}

/// The values on a stack: what a thread has returned, or the arguments of a function. What cannot be copied is opaque.
pub(super) fn values<V: FromIterator<Value>>(stack: &mut Stack<'_>) -> Copies<V> {
    let count = stack.top().min(MAX_VALUES as i32);
    let (copies, cost) = copies(stack, 1..=count);
    Copies { values: copies.into_iter().map(|(value, _)| value).collect(), cost }
}

/// The value at an index.
pub(super) fn copy(stack: &mut Stack<'_>, index: i32) -> Copies<Value> {
    let (mut copies, cost) = copies(stack, index..=index);
    Copies { values: copies.pop().map_or(Value::Nil, |(value, _)| value), cost }
}

/// The value at an index, if there is not too much in it; otherwise why it cannot be copied. What is bound to its
/// process is opaque.
pub(super) fn argument(stack: &mut Stack<'_>, index: i32) -> Copies<Result<Value, String>> {
    let (mut copies, cost) = copies(stack, index..=index);
    let values = copies.pop().map_or(Ok(Value::Nil), |(value, refusal)| whole(value, refusal));
    Copies { values, cost }
}

/// The values on a stack, in the same way; otherwise, at which index one cannot be copied and why.
pub(super) fn arguments<V: FromIterator<Value>>(stack: &mut Stack<'_>) -> Copies<Result<V, (i32, String)>> {
    let count = stack.top().min(MAX_VALUES as i32);
    let (copies, cost) = copies(stack, 1..=count);
    let all =
        (1..).zip(copies).map(|(index, (value, refusal))| whole(value, refusal).map_err(|why| (index, why)));
    Copies { values: all.collect(), cost }
}

fn whole(value: Value, refusal: Option<Refusal>) -> Result<Value, String> {
    match refusal {
        None | Some(Refusal::Kind(_)) => Ok(value),
        Some(refusal) => Err(refusal.to_string()),
    }
}

/// The values at `indices`, if all of them can be copied; otherwise, at which one they cannot and why. What may be
/// in them is what may be in one.
pub(super) fn messages<V: FromIterator<Value>>(
    stack: &mut Stack<'_>,
    indices: RangeInclusive<i32>,
) -> Copies<Result<V, (i32, String)>> {
    let (copies, cost) = copies(stack, indices.clone());
    let all = indices.zip(copies).map(|(index, (value, refusal))| match refusal {
        None => Ok(value),
        Some(refusal) => Err((index, refusal.to_string())),
    });
    Copies { values: all.collect(), cost }
}

/// Copies of values, with what of each could not be copied first, and what that took.
fn copies(stack: &mut Stack<'_>, indices: RangeInclusive<i32>) -> (Vec<(Value, Option<Refusal>)>, u64) {
    let mut copier = Copier::new();
    let mut copies: Vec<_> =
        (0..).zip(indices).map(|(root, index)| copier.root(stack, index, root)).collect();
    repeats::resolve(&mut copier, &mut copies);
    let cost = copier.cost();
    (copies, cost)
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
        Value::Entity(entity) => stack.push_entity(entity.to_bits()),
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

/// Pushes an array.
#[cfg(feature = "ecs")]
pub(super) fn push_column(stack: &mut Stack<'_>, column: &Column) {
    stack.push_table(column.len(), 0);
    let mut element = 0;
    let mut set = |stack: &mut Stack<'_>| {
        element += 1;
        stack.raw_set_element(-2, element);
    };
    match column {
        Column::Numbers(numbers) => numbers.iter().for_each(|number| {
            stack.push_number(*number);
            set(stack);
        }),
        Column::Vectors(vectors) => vectors.iter().for_each(|vector| {
            stack.push_vector(*vector);
            set(stack);
        }),
        Column::Entities(entities) => entities.iter().for_each(|entity| {
            stack.push_entity(entity.to_bits());
            set(stack);
        }),
        Column::Values(values) => values.iter().for_each(|value| {
            push(stack, value);
            set(stack);
        }),
    }
}

/// As much of `text` as `max` bytes hold.
pub(super) fn bounded(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
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

/// The field `message` of the object on top, if that is a string.
pub(super) fn own_message(stack: &mut Stack<'_>) -> Option<Box<str>> {
    if stack.kind(-1) != Kind::TABLE {
        return None;
    }
    let message = (stack.raw_get_field(-1, c"message") == Kind::STRING).then(|| error_message(stack));
    stack.pop(1);
    message
}

/// Whether the object on top has a function that makes text of it.
pub(super) fn has_text(stack: &mut Stack<'_>) -> bool {
    if !stack.push_metatable(-1) {
        return false;
    }
    let has_text = stack.raw_get_field(-1, c"__tostring") == Kind::FUNCTION;
    stack.pop(2);
    has_text
}

/// What a thread that failed leaves, in the middle of a slice: no code of a script runs for it. This takes memory.
pub(super) fn script_error(stack: &mut Stack<'_>) -> ScriptError {
    let (message, traceback, place) = (error_message(stack), traceback(stack), place(stack));
    if stack.kind(-1) == Kind::STRING || !stack.has_room(RESULT_SLOTS) {
        return ScriptError { message, traceback, value: None, place };
    }
    let top = stack.top();
    let value = copy(stack, top).values;
    ScriptError { message: own_message(stack).unwrap_or(message), traceback, value: Some(value), place }
}

/// Where a thread is that failed: in the innermost function that has lines.
pub(super) fn place(stack: &Stack<'_>) -> Option<ScriptPlace> {
    (0..stack.depth()).find_map(|level| {
        let place = stack.frame(level, |frame| {
            let line = u32::try_from(frame.line).ok().filter(|&line| line > 0)?;
            Some(ScriptPlace { script: frame.short_source.to_string_lossy().into(), line })
        });
        place.flatten()
    })
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
