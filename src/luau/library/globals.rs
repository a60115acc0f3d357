//! The functions that keep a process's globals its own.
//!
//! `_G` is the process's own table, which is empty at first. What stands behind it, the base, is one table for all
//! processes. `rawget` and `pairs` show both as if they were one.

use std::ffi::CStr;

use super::call::{Call, Entry, Returned};
use super::{json, missing, reload};
use crate::luau::stack::{Kind, Stack};

/// In the registry: the base that stands behind environments, by their metatable. VMs with other libraries of the game
/// have another base.
pub(in crate::luau) const BASES: &CStr = c"bevy_luau_os.bases";

/// Where [`pairs`] finds Luau's `next`, in the registry.
const NEXT: &CStr = c"bevy_luau_os.next";

/// What [`pairs`] returns for an environment.
pub(super) static NEXT_GLOBAL: Entry = Entry::new(c"next", next_global);

/// Tells the functions of a state which table is the first base.
pub(in crate::luau) fn connect(stack: &mut Stack<'_>, base: i32) {
    json::connect(stack, base);
    stack.raw_get_field(base, c"next");
    stack.register(NEXT);
    stack.push_table(0, 1);
    stack.register(BASES);
}

/// Tells them which base stands behind environments with a metatable.
pub(in crate::luau) fn connect_environment(stack: &mut Stack<'_>, base: i32, metatable: i32) {
    stack.push_registered(BASES);
    stack.push_value(metatable);
    stack.push_value(base);
    stack.raw_set(-3);
    stack.pop(1);
}

/// Pushes the base that stands behind the environment of a process. `false`, and nothing is pushed, if that is none.
fn push_base(call: &mut Call<'_>, environment: i32) -> bool {
    if !call.push_metatable(environment) {
        return false;
    }
    call.push_registered(BASES);
    call.insert(-2);
    let is_environment = call.raw_get(-2) == Kind::TABLE;
    call.remove(-2);
    if !is_environment {
        call.pop(1);
    }
    is_environment
}

/// `__index` of the base: what no process and no base defines. `_G` is the process's own table.
///
/// On the main thread there is no process: that is `luau_load`, which would keep what it gets.
pub(super) fn own_globals(mut call: Call<'_>) -> Returned<'_> {
    if call.bytes(2) != Some(b"_G") || call.is_main_thread() {
        if !call.is_main_thread() {
            missing::note_global(&mut call);
        }
        return Ok(call.nil());
    }
    call.push_globals();
    Ok(call.top_results(1))
}

/// `rawget(table, key)`.
pub(super) fn raw_get(mut call: Call<'_>) -> Returned<'_> {
    call.table_argument(1)?;
    call.any_argument(2)?;
    call.resize(2);
    call.push_value(2);
    if call.raw_get(1) == Kind::NIL && push_base(&mut call, 1) {
        if call.bytes(2) == Some(b"_G") {
            call.push_value(1);
        } else {
            call.push_value(2);
            call.raw_get(-2);
        }
    }
    Ok(call.top_results(1))
}

/// `pairs(table)`.
pub(super) fn pairs(mut call: Call<'_>) -> Returned<'_> {
    call.table_argument(1)?;
    call.resize(1);
    if is_environment(&mut call, 1) {
        return iterator(call);
    }
    // As Luau's own: loops over what this returns go through the table without calling anything.
    call.push_registered(NEXT);
    call.push_value(1);
    call.push_nil();
    Ok(call.top_results(3))
}

/// `__iter` of environments.
pub(super) fn iterate(mut call: Call<'_>) -> Returned<'_> {
    call.resize(1);
    iterator(call)
}

/// No table among them: Luau would go through that by itself.
fn iterator(mut call: Call<'_>) -> Returned<'_> {
    call.push_function(&NEXT_GLOBAL);
    call.push_nil();
    call.push_nil();
    Ok(call.top_results(3))
}

/// From one global of a process to the next: its own, then those of the base that it has not replaced.
fn next_global(mut call: Call<'_>) -> Returned<'_> {
    call.resize(2);
    call.push_globals();
    let (own, base) = (3, 4);
    if !push_base(&mut call, own) {
        call.push_nil();
    }
    let mut is_of_base = !call.is_none_or_nil(2) && !has(&mut call, own, 2) && has(&mut call, base, 2);
    if !is_of_base {
        if next_key(&mut call, own) {
            return Ok(call.top_results(2));
        }
        is_of_base = true;
        call.push_nil();
        call.replace(2);
    }
    while is_of_base && next_key(&mut call, base) {
        let top = call.top();
        if !has(&mut call, own, top - 1) {
            return Ok(call.top_results(2));
        }
        call.push_value(top - 1);
        call.replace(2);
        call.resize(base);
    }
    Ok(call.nil())
}

/// Whether a table has something for the key at an index.
fn has(call: &mut Call<'_>, table: i32, key: i32) -> bool {
    call.push_value(key);
    let has = call.raw_get(table) != Kind::NIL;
    call.pop(1);
    has
}

/// Pushes the key of a table after the one at 2, and its value. `false`, and nothing is pushed, if there is none.
fn next_key(call: &mut Call<'_>, table: i32) -> bool {
    let top = call.top();
    call.push_registered(NEXT);
    call.push_value(table);
    call.push_value(2);
    call.call(2, 2);
    let is_there = !call.is_none_or_nil(top + 1);
    if !is_there {
        call.resize(top);
    }
    is_there
}

/// Whether there is an environment of a process.
fn is_environment(call: &mut Call<'_>, index: i32) -> bool {
    let is_environment = push_base(call, index);
    if is_environment {
        call.pop(1);
    }
    is_environment
}

/// `__newindex` of environments: called for each first assignment to a global.
pub(super) fn new_global(mut call: Call<'_>) -> Returned<'_> {
    set_global(&mut call);
    Ok(call.nothing())
}

/// Sets a global of an environment, the table at 1.
///
/// Luau resolves globals of the base when a script is loaded and may call builtins without a look-up
/// while an environment is "safe". A process that gives one of those names a value of its own must
/// get its own value from then on, so its environment stops being safe.
fn set_global(call: &mut Call<'_>) {
    call.resize(3);
    if push_base(call, 1) {
        call.push_value(2);
        if call.raw_get(-2) != Kind::NIL {
            call.set_safe_environment(1, false);
        }
    }
    call.resize(3);
    call.push_value(2);
    call.push_value(3);
    call.raw_set(1);
    reload::call_on_reload(call);
}

/// `rawset(table, key, value)`, which must not get past [`new_global`].
pub(super) fn raw_set(mut call: Call<'_>) -> Returned<'_> {
    call.table_argument(1)?;
    call.any_argument(2)?;
    call.any_argument(3)?;
    call.resize(3);
    if is_environment(&mut call, 1) {
        set_global(&mut call);
    } else {
        call.raw_set(1);
    }
    call.resize(1);
    Ok(call.top_results(1))
}
