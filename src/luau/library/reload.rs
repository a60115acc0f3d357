//! `on_reload`: how a process gets the state of the version of its script that ran before.

use super::call::Call;
use crate::luau::records::{STATE, push_record};
use crate::luau::stack::Kind;

/// If a process that took over from an earlier version of its script assigns the global `on_reload` for
/// the first time, calls it with the state table of that version. In `__newindex` of environments, after
/// the assignment.
pub(super) fn call_on_reload(call: &mut Call<'_>) {
    if call.kind(3) != Kind::FUNCTION || call.bytes(2) != Some(b"on_reload") || !push_record(call) {
        return;
    }
    let record = call.top();
    call.push_value(3);
    if call.raw_get_field(record, STATE) == Kind::TABLE {
        call.push_nil();
        call.raw_set_field(record, STATE);
        call.call(1, 0);
    }
}
