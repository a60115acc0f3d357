//! What a saved process may have of the library beyond what every script can reach: functions that others return, the
//! loops behind them, and functions that stand for what is not there any more.

use super::call::{Call, Entry, Failure, Returned};
use super::driver::Driver;
use super::{callbacks, globals, mail, pattern, sort};
use crate::luau::stack::Kind;

/// Goes on with a loop over a table whose keys are objects: over the keys that were left when it was saved, if they are
/// still there. It has them, and the place of the next one.
static REST: Entry = Entry::new(c"next", rest);

/// Stands for a function that the game had when the process was saved. It has its name.
static MISSING: Entry = Entry::new(c"", missing);

/// A function of ours that others make.
pub(in crate::luau) struct Native {
    pub(in crate::luau) entry: &'static Entry,
    pub(in crate::luau) upvalues: u8,
}

/// All of them. A save has their places in this list, and those of two functions of Luau's behind them: with another list,
/// saves get another version. An [`Entry`] is found again by the address of its function, so all of these are statics.
pub(in crate::luau) const NATIVES: [Native; 8] = [
    Native { entry: &REST, upvalues: 2 },
    Native { entry: &MISSING, upvalues: 1 },
    Native { entry: &pattern::NEXT_MATCH, upvalues: 3 },
    Native { entry: &globals::NEXT_GLOBAL, upvalues: 0 },
    Native { entry: &mail::DISCONNECT, upvalues: 1 },
    Native { entry: &sort::LESS_THAN, upvalues: 0 },
    Native { entry: &pattern::gsub::SEARCH, upvalues: 0 },
    Native { entry: &pattern::gsub::ADD, upvalues: 0 },
];

/// The loops behind functions, in the order of their numbers in a save. The same holds for these.
pub(in crate::luau) const DRIVERS: [&Driver; 6] = [
    &sort::ALGORITHM,
    &sort::INDEXING,
    &pattern::gsub::LOOP,
    &callbacks::FIND,
    &callbacks::FOREACH,
    &callbacks::FOREACHI,
];

fn rest(mut call: Call<'_>) -> Returned<'_> {
    const KEYS: i32 = 2;
    const KEY: i32 = 3;
    call.resize(1);
    call.push_upvalue(1);
    loop {
        call.resize(KEYS);
        call.push_upvalue(2);
        let place = call.number(KEY).unwrap_or_default() as i32;
        call.resize(KEYS);
        if call.raw_get_element(KEYS, place) == Kind::NIL {
            return Ok(call.nil());
        }
        call.push_number(f64::from(place) + 1.0);
        call.replace_upvalue(2);
        call.push_value(KEY);
        if call.raw_get(1) != Kind::NIL {
            return Ok(call.top_results(2));
        }
        call.pass_safepoints_or_owe(1);
    }
}

fn missing(mut call: Call<'_>) -> Returned<'_> {
    call.resize(0);
    call.push_upvalue(1);
    let name = String::from_utf8_lossy(call.bytes(1).unwrap_or_default()).into_owned();
    Err(Failure::text(format!("{name} is not there any more: the process was saved where it was")))
}
