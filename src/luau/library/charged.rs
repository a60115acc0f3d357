//! Functions that go through their arguments once: they are charged to the slice and then do what
//! they always did.
//!
//! Where the arguments tell the cost it is charged before the call, so that a call that fails at its
//! end is paid for, too. Where only the result tells, it is charged after it.

use super::call::{Call, Entry, Failure, Returned};
use super::formats;
use super::text::Text;
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

/// Arguments of `string.format`, which may make text of each.
const MAX_FORMATTED: i32 = 1 << 13;

/// What it takes to make text of a number.
const NUMBER_MADE: u64 = 5;

/// Elements that are moved before safepoints are passed for them.
const MOVED_AT_ONCE: i64 = 1 << 13;

/// Bytes of a format of `string.pack`, `packsize` and `unpack`: it may be one of millions of options
/// that take no argument.
const MAX_PACK_FORMAT: u64 = 1 << 14;

/// For [`before`] and [`after`]: the argument at an index is a number.
const fn number(index: u32) -> u8 {
    1 << (index - 1)
}

/// All arguments are numbers.
const NUMBERS: u8 = u8::MAX;

/// Reads the arguments that are numbers.
fn read(call: &mut Call<'_>, numbers: u8) -> Result<(), Failure> {
    if numbers == NUMBERS {
        return call.read_numbers(1);
    }
    for index in 1..=8_u32 {
        if numbers & number(index) != 0 {
            call.read_number(index.cast_signed())?;
        }
    }
    Ok(())
}

/// A function that is charged what its arguments tell. `NUMBERS` says which of them are numbers.
const fn before<const NUMBERS: u8, F>(name: &'static std::ffi::CStr, cost: F) -> Entry
where
    F: for<'a> Fn(&Stack<'a>) -> u64 + Copy,
{
    Entry::new(name, move |mut call: Call<'_>| {
        read(&mut call, NUMBERS)?;
        let units = cost(&call);
        call.charge(units);
        Ok(call.original_results())
    })
}

/// The same of a function that is charged what its results tell, so many on top.
const fn after<const NUMBERS: u8, F>(name: &'static std::ffi::CStr, cost: F) -> Entry
where
    F: for<'a> Fn(&Stack<'a>, u32) -> u64 + Copy,
{
    Entry::new(name, move |mut call: Call<'_>| {
        read(&mut call, NUMBERS)?;
        Ok(call.original(cost))
    })
}

fn string_format(mut call: Call<'_>) -> Returned<'_> {
    let arguments = call.top();
    if arguments > MAX_FORMATTED {
        return Err(Failure::text(format!(
            "string.format of {arguments} values; the limit is {MAX_FORMATTED}"
        )));
    }
    call.string_argument(1)?;
    refuse_long(&call, formats::numbers_of_format)?;
    let units = size(&call, 1) / BYTES_READ;
    call.charge(units);
    Ok(call.original(copied_result))
}

/// Refuses long strings where a format wants numbers.
fn refuse_long(call: &Call<'_>, numbers: fn(&[u8], &mut dyn FnMut(i32))) -> Result<(), Failure> {
    let mut long = None;
    numbers(call.text(1), &mut |index| {
        if long.is_none() && call.is_long_string(index) {
            long = Some(index);
        }
    });
    long.map_or(Ok(()), |index| Err(Failure::expected(index, "number")))
}

fn string_pack(mut call: Call<'_>) -> Returned<'_> {
    charge_for_format(&mut call, "pack")?;
    refuse_long(&call, formats::numbers_of_pack)?;
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
    call.string_argument(1)?;
    let length = size(call, 1);
    if length > MAX_PACK_FORMAT {
        return Err(Failure::text(format!(
            "string.{function} with a format of {length} bytes; the limit is {MAX_PACK_FORMAT}"
        )));
    }
    call.charge(length);
    Ok(())
}

/// `tonumber(value [, base])`. A long string is no number.
fn to_number(mut call: Call<'_>) -> Returned<'_> {
    call.read_number(2)?;
    if call.is_long_string(1) {
        return Ok(call.nil());
    }
    let units = size(&call, 1) / BYTES_READ;
    call.charge(units);
    Ok(call.original_results())
}

/// `integer.fromstring(text [, base])`. A long string is no number.
fn integer_from_string(mut call: Call<'_>) -> Returned<'_> {
    call.read_number(2)?;
    if call.is_long_string(1) { Ok(call.nil()) } else { Ok(call.original_results()) }
}

/// `table.concat(t [, separator [, first [, last]]])`. Numbers are made text one by one, which takes long for many.
fn table_concat(mut call: Call<'_>) -> Returned<'_> {
    const TEXT: i32 = 5;
    let has_separator = !call.is_none_or_nil(2);
    if has_separator {
        call.string_argument(2)?;
    }
    call.table_argument(1)?;
    let first = call.optional_integer(3, 1)?;
    let last = call.optional_integer(4, call.length(1).cast_signed())?;
    call.resize(TEXT - 1);
    let mut text = Text::push(&mut call, 0);
    for index in first..=last {
        match call.raw_get_element(1, index) {
            Kind::STRING => {}
            Kind::NUMBER => {
                call.make_string(-1);
                call.pass_safepoints_or_owe(NUMBER_MADE);
            }
            kind => {
                let kind = call.kind_name(kind);
                let why = format!("invalid value ({kind}) at index {index} in table for 'concat'");
                return Err(Failure::text(why));
            }
        }
        text.add(&mut call, TEXT + 1);
        call.resize(TEXT);
        if has_separator && index < last {
            text.add(&mut call, 2);
        }
        if index % 4 == 0 {
            call.pass_safepoints_or_owe(2);
        }
    }
    text.push_string(&mut call, 0);
    Ok(call.top_results(1))
}

/// `table.insert(t [, position], value)`.
fn table_insert(mut call: Call<'_>) -> Returned<'_> {
    if call.top() == 3 {
        call.read_number(2)?;
        let units = shifted(&call);
        call.charge(units);
    }
    Ok(call.original_results())
}

/// `table.move`, which also walks ranges that neither table has anything in.
fn table_move(mut call: Call<'_>) -> Returned<'_> {
    read(&mut call, number(2) | number(3) | number(4))?;
    let (first, last) = (integer(&call, 2, 1), integer(&call, 3, 0));
    let elements = last.saturating_sub(first).saturating_add(1).max(0);
    if elements > MAX_MOVE {
        return Err(Failure::text(format!(
            "table.move of {} elements; the limit is {MAX_MOVE}, move them in parts",
            elements.min(i32::MAX.into())
        )));
    }
    let (to, length) = (integer(&call, 4, 0), elements);
    // In parts, each of which is quick: from behind where it moves up inside one table, as Luau does.
    let is_backward = to > first && to <= last && (call.is_none_or_nil(5) || call.raw_equal(1, 5));
    if length <= MOVED_AT_ONCE || first <= 0 || to <= 0 || to + length > i32::MAX.into() {
        call.charge(elements.cast_unsigned() / SLOTS_MOVED);
        return Ok(call.original_results());
    }
    let parts = (length + MOVED_AT_ONCE - 1) / MOVED_AT_ONCE;
    for part in 0..parts {
        let done = MOVED_AT_ONCE * if is_backward { parts - 1 - part } else { part };
        let count = MOVED_AT_ONCE.min(length - done);
        for (index, number) in [(2, first + done), (3, first + done + count - 1), (4, to + done)] {
            call.push_number(number as f64);
            call.replace(index);
        }
        if part + 1 == parts {
            break;
        }
        call.original_in_between();
        call.pass_safepoints_or_owe(count.cast_unsigned() / SLOTS_MOVED);
    }
    call.charge_later(MOVED_AT_ONCE as u64 / SLOTS_MOVED);
    Ok(call.original_results())
}

/// `utf8.codes`, whose iterator skips continuation bytes from wherever it is called.
fn utf8_codes(call: Call<'_>) -> Returned<'_> {
    static NEXT: Entry = before::<0, _>(c"", |stack| {
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
    Replacement::global(before::<{ number(1) }, _>(c"select", |stack| arguments(stack) / SLOTS_COPIED)),
    Replacement::global(Entry::new(c"tonumber", to_number)),
    Replacement::global(before::<{ number(2) | number(3) }, _>(c"unpack", |stack| {
        elements(stack, 2, 3) / SLOTS_COPIED
    })),
    replacement(
        c"buffer",
        before::<{ number(2) | number(4) | number(5) }, _>(c"copy", |stack| moved(stack, 3, 5)),
    ),
    replacement(c"buffer", before::<{ number(1) }, _>(c"create", |stack| amount(stack, 1) / BYTES_MOVED)),
    replacement(
        c"buffer",
        before::<{ number(2) | number(3) | number(4) }, _>(c"fill", |stack| moved(stack, 1, 4)),
    ),
    replacement(c"buffer", before::<0, _>(c"fromstring", |stack| size(stack, 1) / BYTES_MOVED)),
    replacement(c"buffer", after::<{ number(2) | number(3) }, _>(c"readstring", copied_result)),
    replacement(c"buffer", before::<0, _>(c"tostring", |stack| size(stack, 1) / BYTES_COPIED)),
    replacement(
        c"buffer",
        before::<{ number(2) | number(4) }, _>(c"writestring", |stack| size(stack, 3) / BYTES_MOVED),
    ),
    replacement(c"integer", before::<0, _>(c"fromstring", |stack| size(stack, 1) / BYTES_READ)),
    replacement(
        c"string",
        after::<{ number(2) | number(3) }, _>(c"byte", |_, results| u64::from(results) / SLOTS_COPIED),
    ),
    replacement(c"string", before::<{ NUMBERS }, _>(c"char", |stack| arguments(stack) / SLOTS_COPIED)),
    replacement(c"string", Entry::new(c"format", string_format)),
    replacement(c"string", before::<0, _>(c"lower", |stack| size(stack, 1) / BYTES_READ)),
    replacement(c"string", Entry::new(c"pack", string_pack)),
    replacement(c"string", Entry::new(c"packsize", string_packsize)),
    replacement(
        c"string",
        before::<{ number(2) }, _>(c"rep", |stack| {
            size(stack, 1).saturating_mul(amount(stack, 2)) / BYTES_COPIED
        }),
    ),
    replacement(c"string", before::<0, _>(c"reverse", |stack| size(stack, 1) / BYTES_READ)),
    replacement(c"integer", Entry::new(c"fromstring", integer_from_string)),
    replacement(c"string", after::<{ number(2) | number(3) }, _>(c"sub", copied_result)),
    replacement(c"string", Entry::new(c"unpack", string_unpack)),
    replacement(c"string", before::<0, _>(c"upper", |stack| size(stack, 1) / BYTES_READ)),
    replacement(c"table", before::<0, _>(c"clear", |stack| size(stack, 1) / SLOTS_COPIED)),
    replacement(c"table", before::<0, _>(c"clone", |stack| size(stack, 1) / SLOTS_COPIED)),
    replacement(c"table", Entry::new(c"concat", table_concat)),
    replacement(c"table", before::<{ number(1) }, _>(c"create", |stack| amount(stack, 1) / SLOTS_COPIED)),
    replacement(c"table", Entry::new(c"insert", table_insert)),
    replacement(c"table", before::<0, _>(c"maxn", |stack| size(stack, 1) / SLOTS_COPIED)),
    replacement(c"table", Entry::new(c"move", table_move)),
    replacement(c"table", before::<0, _>(c"pack", |stack| arguments(stack) / SLOTS_COPIED)),
    replacement(
        c"table",
        before::<{ number(2) }, _>(c"remove", |stack| if stack.top() >= 2 { shifted(stack) } else { 0 }),
    ),
    replacement(
        c"table",
        before::<{ number(2) | number(3) }, _>(c"unpack", |stack| elements(stack, 2, 3) / SLOTS_COPIED),
    ),
    replacement(c"utf8", before::<{ NUMBERS }, _>(c"char", |stack| arguments(stack) / SLOTS_MOVED)),
    replacement(
        c"utf8",
        after::<{ number(2) | number(3) }, _>(c"codepoint", |_, results| u64::from(results) / SLOTS_MOVED),
    ),
    replacement(c"utf8", Entry::new(c"codes", utf8_codes)),
    replacement(
        c"utf8",
        before::<{ number(2) | number(3) }, _>(c"len", |stack| {
            let length = size(stack, 1);
            let first = position(integer(stack, 2, 1), length);
            let last = position(integer(stack, 3, -1), length);
            (last + 1).saturating_sub(first.max(1)) / BYTES_READ
        }),
    ),
    // A character has up to four bytes.
    replacement(
        c"utf8",
        before::<{ number(2) | number(3) }, _>(c"offset", |stack| {
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
