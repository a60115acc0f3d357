//! `string.find` for plain text and `string.split`: Luau compares at every position, which takes
//! subject times needle. These take the sum.

use memchr::memmem::Finder;

use super::call::{Call, Entry, Returned};
use super::pattern::{self, start};
use super::{Replacement, replacement};

/// Bytes that are searched in the time of a safepoint.
const BYTES_SEARCHED: usize = 32;

/// Bytes that are searched before safepoints are passed for them.
const BATCH: usize = 1 << 15;

/// What they are called, and where.
pub(super) const REPLACEMENTS: &[Replacement] =
    &[replacement(c"string", Entry::new(c"find", find)), replacement(c"string", Entry::new(c"split", split))];

/// `string.find(s, pattern [, init [, plain]])`. Arguments are read in Luau's order, so that errors are the same.
fn find(mut call: Call<'_>) -> Returned<'_> {
    call.string_argument(1)?;
    call.string_argument(2)?;
    let init = call.optional_integer(3, 1)?;
    let (subject, needle) = (call.text(1), call.text(2));
    let init = start(init, subject.len());
    if init > subject.len() {
        return Ok(call.nil());
    }
    let is_plain = call.boolean(4) || !needle.iter().any(is_special);
    if !is_plain {
        return pattern::find(call, init);
    }
    let (needle_length, found) = (needle.len(), search(&call, &Finder::new(needle), init));
    let Some(at) = found else { return Ok(call.nil()) };
    call.push_number((at + 1) as f64);
    call.push_number((at + needle_length) as f64);
    Ok(call.top_results(2))
}

/// What gives a byte of a pattern a meaning of its own (`SPECIALS` in lstrlib.cpp).
fn is_special(byte: &u8) -> bool {
    matches!(byte, b'^' | b'$' | b'*' | b'+' | b'?' | b'.' | b'(' | b'[' | b'%' | b'-')
}

/// Where the string at 1 has a needle, from a place on. Safepoints are passed now and then.
fn search(call: &Call<'_>, finder: &Finder<'_>, mut from: usize) -> Option<usize> {
    let (subject, length) = (call.text(1), finder.needle().len());
    let batch = BATCH.max(length);
    loop {
        // With what begins in this batch and ends in the next.
        let end = subject.len().min(from + batch + length.saturating_sub(1));
        let found = finder.find(subject.get(from..end)?);
        call.pass_safepoints_or_owe((found.unwrap_or(end - from) / BYTES_SEARCHED) as u64);
        if found.is_some() || end == subject.len() {
            return found.map(|at| from + at);
        }
        from += batch;
    }
}

/// `string.split(s [, separator])`.
fn split(mut call: Call<'_>) -> Returned<'_> {
    call.string_argument(1)?;
    if call.is_none_or_nil(2) {
        call.resize(1);
        call.push_bytes(b",");
    }
    call.string_argument(2)?;
    let (length, separator) = (call.text(1).len(), call.text(2).len());
    call.charge(((length + separator) / BYTES_SEARCHED) as u64);
    call.push_table(0, 0);
    let finder = Finder::new(call.text(2)).into_owned();
    let mut from = 0;
    for part in 1.. {
        let next = match separator {
            // Into bytes.
            0 => (from < length).then_some(from + 1),
            _ => search(&call, &finder, from),
        };
        if separator == 0 && next.is_none() {
            break;
        }
        if part % 32 == 0 {
            call.pass_safepoints_or_owe(8);
        }
        call.push_part(1, from..next.unwrap_or(length));
        call.raw_set_element(-2, part);
        let Some(end) = next else { break };
        from = end + separator;
    }
    Ok(call.top_results(1))
}
