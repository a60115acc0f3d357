//! The records of processes: what they have beside their globals.
//!
//! Processes of programs with modules, and processes that take over the state of an earlier version, have a *record*, a
//! table that only our own functions see: in the registry, by the process's globals, weakly.

use std::ffi::CStr;

use super::stack::{Kind, Reference, Stack};

/// Where the records are, in the registry.
pub(super) const RECORDS: &CStr = c"bevy_luau_os.records";
/// In a record: the links of the process's program.
pub(super) const LINKS: &CStr = c"links";
/// In a record: the modules that the process has required, by their main functions.
pub(super) const INSTANCES: &CStr = c"instances";
/// In a record: the state table of the version that ran before, for `on_reload`. Also the global that
/// holds it.
pub(super) const STATE: &CStr = c"state";

/// Makes the table of records.
pub(super) fn connect(stack: &mut Stack<'_>) {
    stack.push_table(0, 0);
    stack.push_table(0, 1);
    stack.push_bytes(b"k");
    stack.raw_set_field(-2, c"__mode");
    stack.set_metatable(-2);
    stack.register(RECORDS);
}

/// Makes the record of a process whose globals are on top.
pub(super) fn add_record(stack: &mut Stack<'_>, links: Option<Reference>, state: Option<Reference>) {
    stack.push_registered(RECORDS);
    stack.push_value(-2);
    stack.push_table(0, 2);
    for (field, table) in [(LINKS, links), (STATE, state)] {
        if let Some(table) = table {
            stack.push_reference(table);
            stack.raw_set_field(-2, field);
        }
    }
    stack.raw_set(-3);
    stack.pop(1);
}

/// Pushes the record of the process that a thread belongs to, if it has one, and nothing otherwise.
pub(super) fn push_record(stack: &mut Stack<'_>) -> bool {
    stack.push_registered(RECORDS);
    stack.push_globals();
    let is_there = stack.raw_get(-2) == Kind::TABLE;
    stack.remove(-2);
    if !is_there {
        stack.pop(1);
    }
    is_there
}

/// Forgets the record of the process with the globals on top. Luau's weak tables hold on to values that refer to
/// their keys, as modules do to their process's globals, so it would never go.
pub(super) fn forget_record(stack: &mut Stack<'_>) {
    stack.push_registered(RECORDS);
    stack.push_value(-2);
    if stack.raw_get(-2) == Kind::TABLE {
        stack.pop(1);
        stack.push_value(-2);
        stack.push_nil();
        stack.raw_set(-3);
    }
}

/// A reference of the state table of the process that a thread belongs to: its global `state`, or, if it
/// has not taken over the one of the version before it, that one.
pub(super) fn take_state(stack: &mut Stack<'_>) -> Option<Reference> {
    let top = stack.top();
    stack.push_globals();
    let mut found = stack.raw_get_field(-1, STATE) == Kind::TABLE;
    if !found && push_record(stack) {
        found = stack.raw_get_field(-1, STATE) == Kind::TABLE;
    }
    let table = found.then(|| stack.refer_to(-1));
    stack.resize(top);
    table
}
