//! `string.gsub`. What calls code of the script is driven by a loop in Luau, so that it is preempted as any code, and can
//! wait.

use std::ops::Range;

use super::matcher::{Capture, Found, PatternError};
use super::{check, classes::ESCAPE, matcher, push_values};
use crate::luau::library::call::{Answer, Answered, Call, Entry, Failure, Returned};
use crate::luau::library::driver::Driver;
use crate::luau::library::text::Text;
use crate::luau::stack::Kind;

/// The loop.
pub(in crate::luau::library) static LOOP: Driver =
    Driver::new(c"bevy_luau_os.gsub", include_str!("gsub.luau"));

/// What the loop calls: it has a subject, a pattern and the state.
pub(in crate::luau::library) static SEARCH: Entry = Entry::new(c"", search);
/// The same with a result.
pub(in crate::luau::library) static ADD: Entry = Entry::new(c"", add);

/// Where arguments of `gsub`, and of what the loop calls, are on the stack.
const SUBJECT: i32 = 1;
const PATTERN: i32 = 2;
const REPLACEMENT: i32 = 3;
/// The limit, and then the state.
const STATE: i32 = 4;

/// How many functions called each other on the way from the script to those that the loop calls.
const LEVEL_OF_SEARCH: u16 = 3;
const LEVEL_OF_ADD: u16 = 4;

/// How far it is, counted from 0. Kept at the beginning of a buffer, behind which the result grows.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// Bytes of the buffer that are used.
    length: usize,
    /// Where to look for the next match.
    from: usize,
    /// Up to where the subject is in the result.
    copied: usize,
    /// Matches so far, ...
    count: usize,
    /// ... of so many.
    limit: usize,
    /// The match that is to be replaced.
    start: usize,
    end: usize,
}

/// Numbers that are kept.
const NUMBERS: usize = 7;

impl Progress {
    const BYTES: usize = NUMBERS * size_of::<u64>();

    /// What the buffer at an index begins with.
    fn load(call: &Call<'_>, buffer: i32) -> Self {
        let mut numbers = [0; NUMBERS];
        let (words, _) = call.buffer(buffer).unwrap_or_default().as_chunks::<8>();
        for (number, word) in numbers.iter_mut().zip(words) {
            *number = u64::from_le_bytes(*word) as usize;
        }
        let [length, from, copied, count, limit, start, end] = numbers;
        // A buffer that comes from a save may say anything.
        let subject = call.text(SUBJECT).len();
        let length = length.clamp(Self::BYTES, call.length(buffer).max(Self::BYTES as u32) as usize);
        let end = end.min(subject);
        let start = start.min(end);
        let copied = copied.min(end); // where the last match ended, or the one before
        Self { length, from, copied, count, limit, start, end }
    }

    fn store(&self, call: &mut Call<'_>, buffer: i32) {
        let Self { length, from, copied, count, limit, start, end } = *self;
        let words =
            [length, from, copied, count, limit, start, end].map(|number| (number as u64).to_le_bytes());
        call.write_to_buffer(buffer, 0, words.as_flattened());
    }

    /// The next match of the pattern, if there is one and it is to be replaced.
    fn search(&mut self, call: &Call<'_>) -> Result<Option<Found>, PatternError> {
        let length = call.text(SUBJECT).len();
        if self.count >= self.limit || self.from > length {
            return Ok(None);
        }
        let found = match call.text(PATTERN) {
            [b'^', pattern @ ..] => {
                self.limit = 1;
                matcher(call, pattern).find([self.from])?
            }
            pattern => matcher(call, pattern).find(self.from..=length)?,
        };
        if let Some(Found { start, end, .. }) = found {
            (self.start, self.end) = (start, end);
            self.count += 1;
            // At least one byte further.
            self.from = end.max(start + 1);
        }
        Ok(found)
    }

    /// The result so far, in the buffer at an index.
    fn text(&self, buffer: i32) -> Text {
        Text::new(buffer, self.length)
    }

    /// Adds a part of the string at an index.
    fn add_part(&mut self, call: &mut Call<'_>, buffer: i32, source: i32, part: Range<usize>) {
        let mut text = self.text(buffer);
        text.add_part(call, source, part);
        self.length = text.length();
    }

    /// Adds what lies before the match.
    fn add_gap(&mut self, call: &mut Call<'_>, buffer: i32) {
        self.add_part(call, buffer, SUBJECT, self.copied..self.start);
        self.copied = self.end;
    }

    /// The result and the number of matches.
    fn finish<'a>(mut self, mut call: Call<'a>) -> Returned<'a> {
        if self.count == 0 {
            call.push_value(SUBJECT);
        } else {
            let length = call.text(SUBJECT).len();
            self.add_part(&mut call, STATE, SUBJECT, self.copied..length);
            self.text(STATE).push_string(&mut call, Self::BYTES);
        }
        call.push_number(self.count as f64);
        Ok(call.top_results(2))
    }
}

/// `string.gsub(s, pattern, replacement [, limit])`. Arguments are read in Luau's order, so that errors are the same.
pub(super) fn gsub(mut call: Call<'_>) -> Answered<'_> {
    call.string_argument(SUBJECT)?;
    call.string_argument(PATTERN)?;
    check(&call)?;
    let limit = call.optional_integer(STATE, i32::MAX)?.max(0).unsigned_abs() as usize;
    let mut progress = Progress { limit, length: Progress::BYTES, ..Progress::default() };
    let by_loop = match call.kind(REPLACEMENT) {
        Kind::FUNCTION => true,
        Kind::TABLE => call.has_metatable(REPLACEMENT),
        Kind::STRING | Kind::NUMBER => !call.make_string(REPLACEMENT),
        _ => return Err(Failure::expected(REPLACEMENT, "string/function/table")),
    };
    call.resize(REPLACEMENT);
    call.push_zeros(Progress::BYTES);
    if !by_loop {
        while let Some(found) = progress.search(&call)? {
            progress.add_gap(&mut call, STATE);
            match call.kind(REPLACEMENT) {
                Kind::TABLE => add_entry(&mut call, &mut progress, &found)?,
                _ => add_replacement(&mut call, &mut progress, &found)?,
            }
        }
        return Ok(progress.finish(call)?.into());
    }
    progress.store(&mut call, STATE);
    LOOP.push(&mut call)?;
    call.push_function(&SEARCH);
    call.push_function(&ADD);
    (SUBJECT..=STATE).for_each(|index| call.push_value(index));
    Ok(Answer::Call { arguments: 6, results: Some(1) })
}

/// When the loop has returned the state.
pub(super) fn replaced(mut call: Call<'_>) -> Answered<'_> {
    call.replace(STATE);
    let progress = Progress::load(&call, STATE);
    Ok(progress.finish(call)?.into())
}

/// Whether there is another match, and its captures.
fn search(mut call: Call<'_>) -> Returned<'_> {
    const STATE: i32 = 3;
    let mut progress = Progress::load(&call, STATE);
    let found = match progress.search(&call) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(call.boolean_result(false)),
        Err(error) => return Err(Failure::text_at(LEVEL_OF_SEARCH, error.to_string())),
    };
    progress.store(&mut call, STATE);
    call.push_boolean(true);
    let pushed = push_values(&mut call, SUBJECT, &found);
    let count = pushed.map_err(|error| Failure::text_at(LEVEL_OF_SEARCH, error.to_string()))?;
    Ok(call.top_results(1 + count))
}

/// Puts a value in the place of the match. Returns the state.
fn add(mut call: Call<'_>) -> Returned<'_> {
    const STATE: i32 = 2;
    const VALUE: i32 = 3;
    let mut progress = Progress::load(&call, STATE);
    call.resize(VALUE);
    progress.add_gap(&mut call, STATE);
    add_value(&mut call, &mut progress, STATE, VALUE).map_err(|why| Failure::text_at(LEVEL_OF_ADD, why))?;
    progress.store(&mut call, STATE);
    call.resize(STATE);
    Ok(call.top_results(1))
}

/// Puts a value in the place of the match: text, or what is found there for a value that is false.
fn add_value(call: &mut Call<'_>, progress: &mut Progress, buffer: i32, value: i32) -> Result<(), String> {
    if !call.boolean(value) {
        progress.add_part(call, buffer, SUBJECT, progress.start..progress.end);
    } else if call.make_string(value) {
        let length = call.length(value) as usize;
        progress.add_part(call, buffer, value, 0..length);
    } else {
        return Err(format!("invalid replacement value (a {})", call.kind_name(call.kind(value))));
    }
    Ok(())
}

/// Puts in the place of the match what the table has for its first value.
fn add_entry(call: &mut Call<'_>, progress: &mut Progress, found: &Found) -> Result<(), Failure> {
    const VALUE: i32 = STATE + 1;
    match found.value(0)? {
        Capture::Text(start, end) => call.push_part(SUBJECT, start..end),
        Capture::Position(at) | Capture::Unfinished(at) => call.push_number((at + 1) as f64),
    }
    call.raw_get(REPLACEMENT);
    add_value(call, progress, STATE, VALUE).map_err(Failure::text)?;
    call.resize(STATE);
    Ok(())
}

/// Puts a text in the place of the match, in which `%1` and its like stand for what was found.
fn add_replacement(call: &mut Call<'_>, progress: &mut Progress, found: &Found) -> Result<(), Failure> {
    let length = call.text(REPLACEMENT).len();
    let mut at = 0;
    while at < length {
        let rest = &call.text(REPLACEMENT)[at..];
        let plain = memchr::memchr(ESCAPE, rest).unwrap_or(rest.len());
        let escaped = rest.get(plain + 1).copied().unwrap_or_default();
        progress.add_part(call, STATE, REPLACEMENT, at..at + plain);
        at += plain;
        if at == length {
            break;
        }
        match escaped {
            ESCAPE => progress.add_part(call, STATE, REPLACEMENT, at..at + 1),
            b'0' => progress.add_part(call, STATE, SUBJECT, found.start..found.end),
            b'1'..=b'9' => match found.value(usize::from(escaped - b'1'))? {
                Capture::Text(start, end) => progress.add_part(call, STATE, SUBJECT, start..end),
                Capture::Position(at) | Capture::Unfinished(at) => {
                    call.push_bytes((at + 1).to_string().as_bytes());
                    let digits = call.length(-1) as usize;
                    progress.add_part(call, STATE, STATE + 1, 0..digits);
                    call.resize(STATE);
                }
            },
            _ => return Err(Failure::text("invalid use of '%' in replacement string")),
        }
        call.pass_safepoints_or_owe(1);
        at += 2;
    }
    Ok(())
}
