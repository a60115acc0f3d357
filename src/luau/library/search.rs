//! `string.find` for plain text and `string.split`: Luau compares at every position, which takes
//! subject times needle. These take the sum.

use memchr::memmem;

use super::call::{Call, Entry, Returned};
use super::pattern::{self, start};
use super::{Replacement, replacement};

/// Bytes that are searched in the time of a safepoint.
const BYTES_SEARCHED: usize = 32;

/// What gives a byte of a pattern a meaning of its own (`SPECIALS` in lstrlib.cpp).
const SPECIALS: &[u8] = b"^$*+?.([%-";

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
    let is_plain = call.boolean(4) || !needle.iter().any(|byte| SPECIALS.contains(byte));
    if !is_plain {
        return pattern::find(call, init);
    }
    let (needle_length, found) = (needle.len(), memmem::find(&subject[init..], needle));
    let searched = found.unwrap_or(subject.len() - init) + needle_length;
    call.charge((searched / BYTES_SEARCHED) as u64);
    let Some(at) = found else { return Ok(call.nil()) };
    call.push_number((init + at + 1) as f64);
    call.push_number((init + at + needle_length) as f64);
    Ok(call.top_results(2))
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
    let mut from = 0;
    for part in 1.. {
        let next = match separator {
            // Into bytes.
            0 => (from < length).then_some(from + 1),
            _ => memmem::find(&call.text(1)[from..], call.text(2)).map(|at| from + at),
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
