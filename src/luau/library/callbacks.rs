//! Functions that call code of the script and need nothing else for it: `tostring`, `table.foreach`, `foreachi`, `find`.
//! That code is preempted as any, and can wait.

use super::call::{Answer, Answered, Call, Entry, Failure};
use super::charged::{SLOTS_COPIED, integer, size};
use super::driver::Driver;
use super::{Replacement, replacement};
use crate::luau::stack::Kind;

/// What they are called, and where.
pub(super) const REPLACEMENTS: &[Replacement] = &[
    Replacement::global(Entry::waiting(c"tostring", tostring, made_text)),
    replacement(c"table", Entry::waiting(c"find", find, all_results)),
    replacement(c"table", Entry::waiting(c"foreach", foreach, all_results)),
    replacement(c"table", Entry::waiting(c"foreachi", foreachi, all_results)),
];

/// What it takes to make text of a number.
const TEXT_MADE: u64 = 5;

/// Loops that get a table and a value.
pub(super) static FIND: Driver = Driver::new(
    c"bevy_luau_os.find",
    "local t, wanted, i = ...
    while true do
        local value = rawget(t, i)
        if value == nil then return nil end
        if wanted == value then return i end
        i += 1
    end",
);
pub(super) static FOREACH: Driver = Driver::new(
    c"bevy_luau_os.foreach",
    "local t, f = ...
    for key, value in next, t do
        local result = f(key, value)
        if result ~= nil then return result end
    end",
);
pub(super) static FOREACHI: Driver = Driver::new(
    c"bevy_luau_os.foreachi",
    "local t, f = ...
    for i = 1, rawlen(t) do
        local result = f(i, rawget(t, i))
        if result ~= nil then return result end
    end",
);

/// `tostring(value)`.
fn tostring(mut call: Call<'_>) -> Answered<'_> {
    call.any_argument(1)?;
    call.resize(1);
    if call.push_metatable(1) && call.raw_get_field(-1, c"__tostring") != Kind::NIL {
        call.remove(-2);
        call.push_value(1);
        return Ok(Answer::Call { arguments: 1, results: Some(1) });
    }
    call.resize(1);
    call.charge_later(TEXT_MADE);
    Ok(call.original_results().into())
}

/// When `__tostring` has returned.
fn made_text(mut call: Call<'_>) -> Answered<'_> {
    if !call.make_string(-1) {
        return Err(Failure::text("'__tostring' must return a string"));
    }
    Ok(call.top_results(1).into())
}

/// `table.find(t, value [, init])`, which goes on behind the array part as long as there are elements.
fn find(mut call: Call<'_>) -> Answered<'_> {
    call.read_number(3)?;
    let first = integer(&call, 3, 1);
    let elements = (size(&call, 1).cast_signed() + 1).saturating_sub(first);
    let may_call = call.has_metatable(2) && call.kind(2) != Kind::STRING;
    if call.kind(1) != Kind::TABLE || call.top() < 2 || (elements > 0 && !may_call) {
        call.charge(elements.max(0).cast_unsigned() / SLOTS_COPIED);
        return Ok(call.original_results().into());
    }
    // It may call `__eq`, or it begins behind the array part, where nothing tells how many elements there are.
    let first = call.optional_integer(3, 1)?;
    if first < 1 {
        return Err(Failure::argument(3, "index out of range"));
    }
    call.resize(2);
    call.push_number(first.into());
    run(call, &FIND, 3)
}

/// `table.foreach(t, f)`.
fn foreach(mut call: Call<'_>) -> Answered<'_> {
    check_callback(&mut call)?;
    run(call, &FOREACH, 2)
}

/// `table.foreachi(t, f)`.
fn foreachi(mut call: Call<'_>) -> Answered<'_> {
    check_callback(&mut call)?;
    run(call, &FOREACHI, 2)
}

fn check_callback(call: &mut Call<'_>) -> Result<(), Failure> {
    call.table_argument(1)?;
    call.function_argument(2)?;
    call.resize(2);
    Ok(())
}

/// Calls a loop with the arguments, so many.
fn run<'a>(mut call: Call<'a>, driver: &Driver, arguments: u16) -> Answered<'a> {
    driver.push(&mut call)?;
    call.insert(1);
    Ok(Answer::Call { arguments, results: None })
}

/// When a loop has returned.
fn all_results(call: Call<'_>) -> Answered<'_> {
    let count = call.top().unsigned_abs();
    Ok(call.top_results(count).into())
}
