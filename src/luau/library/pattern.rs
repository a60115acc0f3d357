//! Patterns: `string.match`, `gmatch`, and `string.find` where its needle is one. `string.gsub` is in [`gsub`].
//!
//! Matching passes safepoints of its own. Where it takes longer than a slice, its C stack is kept for the next one.

mod classes;
pub(super) mod gsub;
mod matcher;

use super::call::{Call, Entry, Failure, Returned};
use super::{Replacement, replacement};
use matcher::{Capture, Found, Matcher, PatternError};

/// Bytes of a pattern.
const MAX_PATTERN: usize = 1 << 15;

/// What they are called, and where.
pub(super) const REPLACEMENTS: &[Replacement] = &[
    replacement(c"string", Entry::new(c"gmatch", gmatch)),
    replacement(c"string", Entry::waiting(c"gsub", gsub::gsub, gsub::replaced)),
    replacement(c"string", Entry::new(c"match", r#match)),
];

/// What [`gmatch`] returns. It has the subject, the pattern, and where to go on.
pub(super) static NEXT_MATCH: Entry = Entry::new(c"", next_match);

impl From<PatternError> for Failure {
    fn from(error: PatternError) -> Self {
        Self::text(error.to_string())
    }
}

/// `string.match(s, pattern [, init])`. Arguments are read in Luau's order, so that errors are the same.
fn r#match(mut call: Call<'_>) -> Returned<'_> {
    call.string_argument(1)?;
    call.string_argument(2)?;
    let init = start(call.optional_integer(3, 1)?, call.text(1).len());
    let Some(found) = find_from(&call, init)? else { return Ok(call.nil()) };
    let count = push_values(&mut call, 1, &found)?;
    Ok(call.top_results(count))
}

/// `string.find(s, pattern [, init])`, of a pattern.
pub(super) fn find(mut call: Call<'_>, init: usize) -> Returned<'_> {
    let Some(found) = find_from(&call, init)? else { return Ok(call.nil()) };
    call.push_number((found.start + 1) as f64);
    call.push_number(found.end as f64);
    let mut count = 2;
    if found.captures() > 0 {
        count += push_values(&mut call, 1, &found)?;
    }
    Ok(call.top_results(count))
}

/// `string.gmatch(s, pattern)`. In this function `^` means nothing.
fn gmatch(mut call: Call<'_>) -> Returned<'_> {
    call.string_argument(1)?;
    call.string_argument(2)?;
    check(&call)?;
    call.resize(2);
    call.push_number(0.0);
    call.push_closure(&NEXT_MATCH, 3);
    Ok(call.top_results(1))
}

fn next_match(mut call: Call<'_>) -> Returned<'_> {
    const PLACE: u8 = 3;
    call.resize(0);
    (1..=PLACE).for_each(|upvalue| call.push_upvalue(upvalue));
    let (from, length) = (call.number(PLACE.into()).unwrap_or_default() as usize, call.text(1).len());
    let found = matcher(&call, call.text(2)).find(from..=length)?;
    let Some(found) = found else { return Ok(call.nothing()) };
    // At least one byte further.
    call.push_number(found.end.max(found.start + 1).max(from) as f64);
    call.replace_upvalue(PLACE);
    let count = push_values(&mut call, 1, &found)?;
    Ok(call.top_results(count))
}

/// The pattern at 2 in the subject at 1, from a place on.
fn find_from(call: &Call<'_>, init: usize) -> Result<Option<Found>, PatternError> {
    check(call)?;
    let (length, pattern) = (call.text(1).len(), call.text(2));
    match pattern {
        [b'^', pattern @ ..] => matcher(call, pattern).find((init..=length).take(1)),
        pattern => matcher(call, pattern).find(init..=length),
    }
}

/// Refuses a pattern at 2 of which one step takes long: each goes through a set, which may be all of it.
fn check(call: &Call<'_>) -> Result<(), PatternError> {
    if call.text(2).len() > MAX_PATTERN { Err(PatternError::TooLong) } else { Ok(()) }
}

/// To find a pattern in the subject at 1.
fn matcher<'c>(call: &'c Call<'_>, pattern: &'c [u8]) -> Matcher<'c, impl Fn(u64)> {
    Matcher::new(call.text(1), pattern, |safepoints| call.pass_safepoints(safepoints))
}

/// Pushes the captures of a match in the string at an index.
fn push_values(call: &mut Call<'_>, subject: i32, found: &Found) -> Result<u32, PatternError> {
    for index in 0..found.values() {
        match found.value(index)? {
            Capture::Text(start, end) => call.push_part(subject, start..end),
            Capture::Position(at) | Capture::Unfinished(at) => call.push_number((at + 1) as f64),
        }
    }
    Ok(found.values() as u32)
}

/// Where to start, counted from 0, for an argument counted from 1 or from the end.
pub(super) fn start(init: i32, length: usize) -> usize {
    let init = if init < 0 { i64::from(init) + length as i64 + 1 } else { init.into() };
    init.max(1) as usize - 1
}
