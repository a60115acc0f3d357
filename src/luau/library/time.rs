//! `os.time`, `os.date` and `os.difftime`, by the clock of the game.
//!
//! There is no time zone: local time is that of UTC, so that a script does the same on all machines.

use super::call::{Call, Entry, Failure, Returned};
use super::{Replacement, replacement};

/// Bytes of a format that are read in the time of a safepoint. Each two may become 24.
const BYTES_READ: usize = 2;

/// Seconds beyond which there is no date: some millions of years, which all C libraries can still count.
const MAX_SECONDS: f64 = 6.0e13;

/// What they are called, and where.
pub(super) const REPLACEMENTS: &[Replacement] = &[
    replacement(c"os", Entry::new(c"time", time)),
    replacement(c"os", Entry::new(c"date", date)),
    replacement(c"os", Entry::new(c"difftime", difftime)),
];

/// `os.time(table?)`: seconds since 1970.
fn time(mut call: Call<'_>) -> Returned<'_> {
    if call.is_none_or_nil(1) {
        let now = unix_time(&mut call);
        return Ok(call.number_result(now));
    }
    for field in [c"year", c"month", c"day", c"hour", c"min", c"sec"] {
        call.raw_get_field(1, field);
        if call.is_long_string(-1) {
            return Err(Failure::text(format!("field '{}' missing in date table", field.to_string_lossy())));
        }
        call.pop(1);
    }
    Ok(call.original_results())
}

/// `os.date(format?, time?)`.
fn date(mut call: Call<'_>) -> Returned<'_> {
    call.resize(2);
    let format = if call.is_none_or_nil(1) {
        b"%c".as_slice()
    } else {
        call.string_argument(1)?;
        call.text(1)
    };
    let units = (format.len() / BYTES_READ) as u64;
    let format = [b"!", format.strip_prefix(b"!").unwrap_or(format)].concat();
    call.charge(units);
    let time = if call.is_none_or_nil(2) { unix_time(&mut call) } else { call.number_argument(2)? };
    if !(-MAX_SECONDS..=MAX_SECONDS).contains(&time) {
        return Ok(call.nil());
    }
    call.resize(0);
    call.push_bytes(&format);
    drop(format);
    call.push_number(time.floor());
    Ok(call.original_results())
}

/// `os.difftime(a, b?)`: whole seconds.
fn difftime(call: Call<'_>) -> Returned<'_> {
    let later = call.number_argument(1)?;
    let earlier = if call.is_none_or_nil(2) { 0.0 } else { call.number_argument(2)? };
    Ok(call.number_result(later.trunc() - earlier.trunc()))
}

/// What the game's clock shows, in whole seconds.
fn unix_time(call: &mut Call<'_>) -> f64 {
    call.context().map_or(0.0, |context| (context.epoch + context.now()).floor())
}
