//! `table.sort`, in Luau, so that it is preempted as any code of a script is, comparator included.
//!
//! Three things differ from Luau's own: a comparator may yield, one that makes the table longer is told so
//! less often, and between a comparator and the caller of `sort` are two functions instead of one, which
//! shows in tracebacks and in the positions of errors that a comparator raises at level 3 and above.

use super::call::{Answer, Answered, Call, Entry, Failure, Returned};
use super::driver::Driver;
use super::{Replacement, replacement};
use crate::luau::stack::Kind;

const SOURCE: &str = include_str!("sort.luau");

/// The algorithm: a chunk that gets a table and a comparator.
pub(super) static ALGORITHM: Driver = Driver::new(c"bevy_luau_os.sort", SOURCE);

/// The same for tables without a metatable, in which it finds what `rawget` would, in half the time.
pub(super) static INDEXING: Driver =
    Driver::edited(c"bevy_luau_os.sort_plain", SOURCE, |source| with_indexing(source).into());

pub(super) const REPLACEMENTS: &[Replacement] =
    &[replacement(c"table", Entry::waiting(c"sort", sort, sorted))];

/// What the algorithm calls where the script gives no comparator.
pub(super) static LESS_THAN: Entry = Entry::new(c"", less_than);

/// Up to this many numbers or short strings are sorted in one go, in less than 100 microseconds.
const QUICK_ELEMENTS: i32 = 512;

/// Two strings of this many bytes are compared about as quickly as numbers.
const SHORT_STRING: u32 = 64;

/// Bytes of two strings that are compared in the time of a safepoint.
const BYTES_COMPARED: u32 = 128;

/// `table.sort(t, comparator?)`.
fn sort(mut call: Call<'_>) -> Answered<'_> {
    call.table_argument(1)?;
    if call.is_read_only(1) {
        call.push_bytes(b"attempt to modify a readonly table");
        return Err(Failure::value());
    }
    let has_comparator = !call.is_none_or_nil(2);
    if has_comparator {
        call.function_argument(2)?;
    }
    call.resize(2);
    if !has_comparator && let Some(elements) = quick_elements(&mut call) {
        let comparisons = elements * (i32::BITS - elements.leading_zeros()).cast_signed();
        call.charge(u64::from((comparisons / 2).unsigned_abs()));
        return Ok(call.original_results().into());
    }
    let algorithm = if call.has_metatable(1) { &ALGORITHM } else { &INDEXING };
    algorithm.push(&mut call)?;
    call.insert(1);
    if !has_comparator {
        call.push_function(&LESS_THAN);
        call.replace(3);
    }
    Ok(Answer::Call { arguments: 2, results: Some(0) })
}

/// The source with `t[i]` for each `rawget(t, i)`.
fn with_indexing(source: &str) -> String {
    let mut parts = source.split("rawget(t, ");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (index, rest) = part.split_once(')').expect("it is closed");
        result.extend(["t[", index, "]", rest]);
    }
    result
}

/// When the algorithm has returned.
fn sorted(call: Call<'_>) -> Answered<'_> {
    Ok(call.nothing().into())
}

/// How many elements the table at 1 has, if they are few, and all quick to compare.
fn quick_elements(call: &mut Call<'_>) -> Option<i32> {
    let elements = call.length(1).cast_signed();
    let is_quick = elements <= QUICK_ELEMENTS
        && (1..=elements).all(|index| {
            let is_quick = match call.raw_get_element(1, index) {
                Kind::NUMBER => true,
                Kind::STRING => call.length(-1) <= SHORT_STRING,
                _ => false,
            };
            call.pop(1);
            is_quick
        });
    is_quick.then_some(elements)
}

/// `a < b`, which in a C function has no position of its own to put before its errors.
fn less_than(mut call: Call<'_>) -> Returned<'_> {
    if [1, 2].iter().all(|&index| call.kind(index) == Kind::STRING) {
        let bytes = call.length(1).min(call.length(2));
        call.charge(u64::from(bytes / BYTES_COMPARED));
    }
    let is_less = call.is_less(1, 2);
    Ok(call.boolean_result(is_less))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_by_their_index_where_that_is_the_same() {
        assert_eq!(
            with_indexing("if less(rawget(t, l + i), rawget(t, l)) then"),
            "if less(t[l + i], t[l]) then"
        );
        let indexing = with_indexing(SOURCE);
        assert!(!indexing.contains("rawget") && indexing.contains("less(t[i], t[p])"));
    }
}
