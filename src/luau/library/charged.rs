//! Functions that go through their arguments once: they are charged to the slice and then do what
//! they always did.
//!
//! Where the arguments tell the cost it is charged before the call, so that a call that fails at its
//! end is paid for, too. Where only the result tells, it is charged after it.

use super::call::{Call, Entry, Failure, Returned};
use super::{BYTES_COPIED, Replacement, replacement};
use crate::luau::stack::{Kind, Stack};

/// Bytes that are looked at or written one by one in the time of a safepoint.
const BYTES_READ: u64 = 8;
/// Bytes of a buffer that are copied or filled in that time.
const BYTES_MOVED: u64 = 128;
/// Slots of a table or of the stack that are copied in that time.
pub(super) const SLOTS_COPIED: u64 = 8;
/// Slots that are read and written one by one in that time.
const SLOTS_MOVED: u64 = 2;

/// Elements that one `table.move` may move: as many as fit the largest table. Luau goes through the
/// whole range, even where there is nothing.
const MAX_MOVE: i64 = 1 << 18;

/// Bytes of a format of `string.pack`, `packsize` and `unpack`: it may be one of millions of options
/// that take no argument.
const MAX_PACK_FORMAT: u64 = 1 << 14;

/// A function that is charged what its arguments tell.
const fn before<F>(name: &'static std::ffi::CStr, cost: F) -> Entry
where
    F: for<'a> Fn(&Stack<'a>) -> u64 + Copy,
{
    Entry::new(name, move |mut call: Call<'_>| {
        let units = cost(&call);
        call.charge(units);
        Ok(call.original_results())
    })
}

/// A function that is charged what its results tell, so many on top.
const fn after<F>(name: &'static std::ffi::CStr, cost: F) -> Entry
where
    F: for<'a> Fn(&Stack<'a>, u32) -> u64 + Copy,
{
    Entry::new(name, move |call: Call<'_>| Ok(call.original(cost)))
}

fn string_format(mut call: Call<'_>) -> Returned<'_> {
    let units = size(&call, 1) / BYTES_READ;
    call.charge(units);
    Ok(call.original(copied_result))
}

fn string_pack(mut call: Call<'_>) -> Returned<'_> {
    charge_for_format(&mut call, "pack")?;
    Ok(call.original(copied_result))
}

fn string_packsize(mut call: Call<'_>) -> Returned<'_> {
    charge_for_format(&mut call, "packsize")?;
    Ok(call.original_results())
}

fn string_unpack(mut call: Call<'_>) -> Returned<'_> {
    charge_for_format(&mut call, "unpack")?;
    Ok(call.original(|stack, results| {
        let strings = (1..=results.cast_signed()).map(|index| size(stack, -index));
        strings.sum::<u64>() / BYTES_COPIED
    }))
}

/// Charges for reading the format in argument 1.
fn charge_for_format(call: &mut Call<'_>, function: &str) -> Result<(), Failure> {
    let length = size(call, 1);
    if length > MAX_PACK_FORMAT {
        return Err(Failure::text(format!(
            "string.{function} with a format of {length} bytes; the limit is {MAX_PACK_FORMAT}"
        )));
    }
    call.charge(length);
    Ok(())
}

fn table_concat(mut call: Call<'_>) -> Returned<'_> {
    let units = elements(&call, 3, 4);
    call.charge(units);
    Ok(call.original(copied_result))
}

/// `table.move`, which also walks ranges that neither table has anything in.
fn table_move(mut call: Call<'_>) -> Returned<'_> {
    let (first, last) = (integer(&call, 2, 1), integer(&call, 3, 0));
    let elements = last.saturating_sub(first).saturating_add(1).max(0);
    if elements > MAX_MOVE {
        return Err(Failure::text(format!(
            "table.move of {} elements; the limit is {MAX_MOVE}, move them in parts",
            elements.min(i32::MAX.into())
        )));
    }
    call.charge(elements.cast_unsigned() / SLOTS_MOVED);
    Ok(call.original_results())
}

/// `utf8.codes`, whose iterator skips continuation bytes from wherever it is called.
fn utf8_codes(call: Call<'_>) -> Returned<'_> {
    const NEXT: Entry = before(c"", |stack| {
        // A well-formed string has no more than three in a row.
        let from = integer(stack, 2, 0).max(0) as usize;
        let bytes = stack.bytes(1).unwrap_or_default();
        let ahead = bytes.get(from..).filter(|ahead| ahead.len() > 4).unwrap_or_default();
        let is_malformed = !ahead.is_empty() && ahead[..4].iter().all(|byte| byte & 0xc0 == 0x80);
        if is_malformed { bytes.len() as u64 / BYTES_READ } else { 0 }
    });
    // SAFETY: the iterator of `utf8.codes` is a C function that computes.
    Ok(unsafe { call.original_iterator(&NEXT) })
}

/// What they are called, and where.
pub(super) const REPLACEMENTS: &[Replacement] = &[
    Replacement::global(before(c"select", |stack| arguments(stack) / SLOTS_COPIED)),
    Replacement::global(before(c"tonumber", |stack| size(stack, 1) / BYTES_READ)),
    Replacement::global(before(c"unpack", |stack| elements(stack, 2, 3) / SLOTS_COPIED)),
    replacement(c"buffer", before(c"copy", |stack| moved(stack, 3, 5))),
    replacement(c"buffer", before(c"create", |stack| amount(stack, 1) / BYTES_MOVED)),
    replacement(c"buffer", before(c"fill", |stack| moved(stack, 1, 4))),
    replacement(c"buffer", before(c"fromstring", |stack| size(stack, 1) / BYTES_MOVED)),
    replacement(c"buffer", after(c"readstring", copied_result)),
    replacement(c"buffer", before(c"tostring", |stack| size(stack, 1) / BYTES_COPIED)),
    replacement(c"buffer", before(c"writestring", |stack| size(stack, 3) / BYTES_MOVED)),
    replacement(c"string", after(c"byte", |_, results| u64::from(results) / SLOTS_COPIED)),
    replacement(c"string", before(c"char", |stack| arguments(stack) / SLOTS_COPIED)),
    replacement(c"string", Entry::new(c"format", string_format)),
    replacement(c"string", before(c"lower", |stack| size(stack, 1) / BYTES_READ)),
    replacement(c"string", Entry::new(c"pack", string_pack)),
    replacement(c"string", Entry::new(c"packsize", string_packsize)),
    replacement(
        c"string",
        before(c"rep", |stack| size(stack, 1).saturating_mul(amount(stack, 2)) / BYTES_COPIED),
    ),
    replacement(c"string", before(c"reverse", |stack| size(stack, 1) / BYTES_READ)),
    replacement(c"string", after(c"sub", copied_result)),
    replacement(c"string", Entry::new(c"unpack", string_unpack)),
    replacement(c"string", before(c"upper", |stack| size(stack, 1) / BYTES_READ)),
    replacement(c"table", before(c"clear", |stack| size(stack, 1) / SLOTS_COPIED)),
    replacement(c"table", before(c"clone", |stack| size(stack, 1) / SLOTS_COPIED)),
    replacement(c"table", Entry::new(c"concat", table_concat)),
    replacement(c"table", before(c"create", |stack| amount(stack, 1) / SLOTS_COPIED)),
    replacement(c"table", before(c"insert", |stack| if stack.top() == 3 { shifted(stack) } else { 0 })),
    replacement(c"table", before(c"maxn", |stack| size(stack, 1) / SLOTS_COPIED)),
    replacement(c"table", Entry::new(c"move", table_move)),
    replacement(c"table", before(c"pack", |stack| arguments(stack) / SLOTS_COPIED)),
    replacement(c"table", before(c"remove", |stack| if stack.top() >= 2 { shifted(stack) } else { 0 })),
    replacement(c"table", before(c"unpack", |stack| elements(stack, 2, 3) / SLOTS_COPIED)),
    replacement(c"utf8", before(c"char", |stack| arguments(stack) / SLOTS_MOVED)),
    replacement(c"utf8", after(c"codepoint", |_, results| u64::from(results) / SLOTS_MOVED)),
    replacement(c"utf8", Entry::new(c"codes", utf8_codes)),
    replacement(
        c"utf8",
        before(c"len", |stack| {
            let length = size(stack, 1);
            let first = position(integer(stack, 2, 1), length);
            let last = position(integer(stack, 3, -1), length);
            (last + 1).saturating_sub(first.max(1)) / BYTES_READ
        }),
    ),
    // A character has up to four bytes.
    replacement(
        c"utf8",
        before(c"offset", |stack| {
            size(stack, 1).min(integer(stack, 2, 1).unsigned_abs().saturating_mul(4)) / BYTES_READ
        }),
    ),
];

/// How many arguments the running function has.
fn arguments(stack: &Stack<'_>) -> u64 {
    stack.top().max(0).unsigned_abs().into()
}

/// What it takes to have copied the string on top.
fn copied_result(stack: &Stack<'_>, _: u32) -> u64 {
    size(stack, -1) / BYTES_COPIED
}

/// Bytes of a string or a buffer, elements of a table, 0 for anything else.
pub(super) fn size(stack: &Stack<'_>, index: i32) -> u64 {
    stack.length(index).into()
}

/// An integer argument, or `default` where there is none. A string is not converted: it stays what it is.
pub(super) fn integer(stack: &Stack<'_>, index: i32, default: i64) -> i64 {
    match stack.kind(index) {
        Kind::NUMBER | Kind::STRING => {
            let number = stack.number(index).unwrap_or_default();
            (number as i64).clamp(i32::MIN.into(), i32::MAX.into())
        }
        _ => default,
    }
}

/// An integer argument that is not negative, 0 where there is none.
fn amount(stack: &Stack<'_>, index: i32) -> u64 {
    integer(stack, index, 0).max(0).cast_unsigned()
}

/// A position in a string, counted from its end if it is negative, and 0 before its start.
fn position(position: i64, length: u64) -> u64 {
    let length = length.cast_signed();
    (if position < 0 { position + length + 1 } else { position }).clamp(0, length).cast_unsigned()
}

/// How many elements lie between the bounds that two arguments give, by default all.
fn elements(stack: &Stack<'_>, first: i32, last: i32) -> u64 {
    let (first, last) = (integer(stack, first, 1), integer(stack, last, size(stack, 1).cast_signed()));
    (last - first + 1).max(0).cast_unsigned()
}

/// How many elements come behind the position that argument 2 gives.
fn shifted(stack: &Stack<'_>) -> u64 {
    let length = size(stack, 1).cast_signed();
    match integer(stack, 2, length) {
        position if (1..=length).contains(&position) => (length - position).cast_unsigned() / SLOTS_MOVED,
        _ => 0,
    }
}

/// Bytes that a buffer function moves: as many as argument `count` says, by default the buffer.
fn moved(stack: &Stack<'_>, buffer: i32, count: i32) -> u64 {
    let all = size(stack, buffer).cast_signed();
    integer(stack, count, all).clamp(0, all).cast_unsigned() / BYTES_MOVED
}
