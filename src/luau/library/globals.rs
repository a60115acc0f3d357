//! The functions that keep a process's globals its own.

use std::ffi::CStr;

use super::call::{Call, Returned};
use super::reload;
use crate::luau::stack::{Kind, Stack};

/// Where [`set_global`] and [`raw_set`] find the base, in the registry.
const BASE: &CStr = c"bevy_luau_os.base";
/// Where [`raw_set`] finds the metatable of environments, in the registry.
const ENVIRONMENT: &CStr = c"bevy_luau_os.environment";

/// Tells the functions of a state which tables are the base, and the metatable of environments.
pub(in crate::luau) fn connect(stack: &mut Stack<'_>, base: i32, environment: i32) {
    stack.push_value(base);
    stack.register(BASE);
    stack.push_value(environment);
    stack.register(ENVIRONMENT);
}

/// `__index` of the base: what no process and no base defines. `_G` is the process's own table.
///
/// On the main thread there is no process: that is `luau_load`, which would keep what it gets.
pub(super) fn own_globals(mut call: Call<'_>) -> Returned<'_> {
    if call.bytes(2) != Some(b"_G") || call.is_main_thread() {
        return Ok(call.nil());
    }
    call.push_globals();
    Ok(call.top_results(1))
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
    call.push_registered(BASE);
    call.push_value(2);
    if call.raw_get(4) != Kind::NIL {
        call.set_safe_environment(1, false);
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
    call.push_registered(ENVIRONMENT);
    let is_environment = call.push_metatable(1) && call.raw_equal(-1, 4);
    call.resize(3);
    if is_environment {
        set_global(&mut call);
    } else {
        call.raw_set(1);
    }
    call.resize(1);
    Ok(call.top_results(1))
}
