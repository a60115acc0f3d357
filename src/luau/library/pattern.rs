//! Patterns: `string.match`, `gmatch`, `gsub`, and `string.find` where its needle is one.
//!
//! Luau calls the interrupt whenever it matches the rest of a pattern, so backtracking is counted and
//! stopped. What it does between two such calls is limited here: going through a repetition
//! (subject times the longest set), reading the pattern, copying a replacement.

use memchr::memchr_iter;

use super::call::{Call, Entry, Failure, Returned};
use super::{BYTES_COPIED, Replacement, replacement};
use crate::luau::stack::Kind;

/// Bytes of the subject times bytes of the longest set, `[...]`, of the pattern: a millisecond.
const MAX_SCAN: usize = 1 << 20;

/// Bytes of a pattern.
const MAX_PATTERN: usize = 1 << 13;

/// Uses of captures, `%1`, in the replacement of `string.gsub`, which is made for every match.
const MAX_ESCAPES: usize = 1 << 8;

/// What they are called, and where.
pub(super) const REPLACEMENTS: &[Replacement] = &[
    replacement(c"string", Entry::new(c"gmatch", gmatch)),
    replacement(c"string", Entry::new(c"gsub", gsub)),
    replacement(c"string", Entry::new(c"match", r#match)),
];

/// `string.match(s, pattern [, init])`. Arguments are read in Luau's order, so that errors are the same.
fn r#match(mut call: Call<'_>) -> Returned<'_> {
    call.string_argument(1)?;
    call.string_argument(2)?;
    let length = call.text(1).len();
    let init = start(call.optional_integer(3, 1)?, length);
    check("match", length.saturating_sub(init), call.text(2))?;
    Ok(call.original_results())
}

/// `string.gmatch(s, pattern)`.
fn gmatch(mut call: Call<'_>) -> Returned<'_> {
    call.string_argument(1)?;
    call.string_argument(2)?;
    check("gmatch", call.text(1).len(), call.text(2))?;
    Ok(call.original_results())
}

/// `string.gsub(s, pattern, replacement [, limit])`.
fn gsub(mut call: Call<'_>) -> Returned<'_> {
    call.string_argument(1)?;
    call.string_argument(2)?;
    check("gsub", call.text(1).len(), call.text(2))?;
    if call.kind(3) == Kind::STRING {
        let escapes = memchr_iter(b'%', call.text(3)).count();
        if escapes > MAX_ESCAPES {
            return Err(Failure::text(format!(
                "string.gsub with {escapes} escapes in the replacement; the limit is {MAX_ESCAPES}"
            )));
        }
    }
    // The result is below the count.
    Ok(call.original(|stack, _| u64::from(stack.length(-2)) / BYTES_COPIED))
}

/// Refuses a pattern that could keep `function` busy for too long between two looks at the interrupt.
pub(super) fn check(function: &str, subject: usize, pattern: &[u8]) -> Result<(), Failure> {
    let length = pattern.len();
    if length > MAX_PATTERN {
        return Err(Failure::text(format!(
            "string.{function} with a pattern of {length} bytes; the limit is {MAX_PATTERN}"
        )));
    }
    let set = longest_set(pattern);
    if subject.saturating_mul(set) > MAX_SCAN {
        return Err(Failure::text(format!(
            "string.{function} of {subject} bytes with a pattern whose longest set has {set} bytes; the product is \
             limited to {MAX_SCAN}"
        )));
    }
    Ok(())
}

/// Where to start, counted from 0, for an argument counted from 1 or from the end.
pub(super) fn start(init: i32, length: usize) -> usize {
    let init = if init < 0 { i64::from(init) + length as i64 + 1 } else { init.into() };
    init.max(1) as usize - 1
}

/// Bytes between the brackets of the longest set of a pattern, and 1 if there is none.
fn longest_set(pattern: &[u8]) -> usize {
    let (mut longest, mut at) = (1, 0);
    while let Some(&byte) = pattern.get(at) {
        at += 1;
        match byte {
            b'%' => at += 1,
            b'[' => {
                let opened = at;
                // As Luau's `classend`: what comes first does not close the set.
                at += usize::from(pattern.get(at) == Some(&b'^'));
                loop {
                    at += if pattern.get(at) == Some(&b'%') { 2 } else { 1 };
                    if pattern.get(at).is_none_or(|&byte| byte == b']') {
                        break;
                    }
                }
                longest = longest.max(at.min(pattern.len()) - opened.min(pattern.len()));
                at += 1;
            }
            _ => {}
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::longest_set;

    #[test]
    fn sets_end_where_luau_ends_them() {
        for (pattern, longest) in [
            ("", 1),
            ("abc.*%d+", 1),
            ("[ab]", 2),
            ("%[abcdef]", 1),
            ("%f[%w]x[abc]y[ab]", 3),
            ("[]]", 1),
            ("[^]ab]", 4),
            ("[%]ab]", 4),
            ("[a-z%]", 5),
            ("[", 1),
            ("[%", 1),
            ("[^", 1),
            ("%", 1),
        ] {
            assert_eq!(longest_set(pattern.as_bytes()), longest, "{pattern}");
        }
    }
}
