//! Functions that need the process that calls them: `print`, `warn`, `os.clock`, `math.random`,
//! `math.randomseed`.

use bevy::ecs::entity::Entity;

use super::call::{Call, Failure, Returned};
use crate::random::Pcg32;

/// Bytes that are printed in the time of a safepoint.
const BYTES_PRINTED: usize = 32;

/// What it takes to make text of a value.
const TEXT_MADE: u64 = 5;

/// `print(...)`: one line of the process's console.
pub(super) fn print(call: Call<'_>) -> Returned<'_> {
    print_line(call, b"")
}

/// `warn(...)`: the same with a mark in front.
pub(super) fn warn(call: Call<'_>) -> Returned<'_> {
    print_line(call, b"warning: ")
}

fn print_line<'a>(mut call: Call<'a>, mark: &[u8]) -> Returned<'a> {
    if call.context().is_none_or(|context| context.console.is_silent()) {
        return Ok(call.nothing());
    }
    // All conversions come first: they may run a script's `__tostring`, which may throw, be interrupted, or print.
    let count = call.top();
    for index in 1..=count {
        call.push_text(index);
        call.replace(index);
        call.pass_safepoints_or_owe(TEXT_MADE);
    }
    let mut bytes = 0;
    if let Some((stack, console)) = call.stack_and_console() {
        console.push(mark);
        for index in 1..=count {
            if index > 1 {
                console.push(b"\t");
            }
            bytes += console.push(stack.bytes(index).unwrap_or_default());
        }
        console.push(b"\n");
    }
    call.charge((bytes / BYTES_PRINTED) as u64);
    Ok(call.nothing())
}

/// What makes text of an error object.
pub(super) fn error_text(mut call: Call<'_>) -> Returned<'_> {
    call.push_text(1);
    Ok(call.top_results(1))
}

/// The text of an entity.
pub(super) fn entity_text(mut call: Call<'_>) -> Returned<'_> {
    let entity = call.entity(1).and_then(Entity::try_from_bits);
    let text = entity.map_or_else(|| "userdata".to_owned(), |entity| format!("entity {entity}"));
    call.push_bytes(text.as_bytes());
    Ok(call.top_results(1))
}

/// `os.clock()`: seconds of the game's virtual time.
pub(super) fn clock(mut call: Call<'_>) -> Returned<'_> {
    let now = call.context().map_or(0.0, |context| context.now());
    Ok(call.number_result(now))
}

/// `math.random([m [, n]])`, from the process's own generator.
pub(super) fn random(mut call: Call<'_>) -> Returned<'_> {
    let (low, high, last) = match call.top() {
        0 => {
            let number = call.context().map_or(0.0, |context| context.caller().random.next_f64());
            return Ok(call.number_result(number));
        }
        1 => (1, call.integer_argument(1)?, 1),
        2 => (call.integer_argument(1)?, call.integer_argument(2)?, 2),
        _ => return Err(Failure::text("wrong number of arguments")),
    };
    if low > high {
        return Err(Failure::argument(last, "interval is empty"));
    }
    let number = call.context().map_or(low, |context| context.caller().random.in_range(low, high));
    Ok(call.number_result(number.into()))
}

/// `math.randomseed(seed)`: seeds the process's own generator.
pub(super) fn random_seed(mut call: Call<'_>) -> Returned<'_> {
    let seed = call.number_argument(1)?;
    if let Some(context) = call.context() {
        context.caller().random = Pcg32::from_seed(seed.to_bits());
    }
    Ok(call.nothing())
}
