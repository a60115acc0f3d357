//! Our functions in the sandbox: those that need the process that calls them, those that keep its
//! globals its own, and those that stand before Luau's own library.
//!
//! All of them are safe code: see [`call`].
//!
//! # No call holds up a tick
//!
//! Luau looks at the interrupt between calls, never inside a C function, so a function that goes
//! through its arguments is one indivisible step. The allocator bounds every single object to a few
//! MiB, hence whatever is linear in its arguments is bounded, to a few milliseconds; it is charged to
//! the slice (`Call::charge`), which then ends. What is worse than linear is
//! replaced or capped. `docs/library.md` lists every function with its cost and what was done.

mod call;
mod callbacks;
mod charged;
mod coroutine;
mod driver;
mod export;
mod formats;
mod globals;
mod host;
mod inspect;
mod json;
mod mail;
mod missing;
mod numbers;
mod pattern;
mod process;
mod reload;
mod require;
mod search;
mod sort;
mod system;
mod task;
mod text;
mod time;
mod wait;

use std::ffi::CStr;

use call::Entry;

use super::stack::{Kind, Stack, Tag};

#[cfg(feature = "save")]
mod saved;

#[cfg(feature = "save")]
pub(super) use globals::BASES;
pub(super) use globals::{connect, connect_environment};
pub(super) use host::push_library;
#[cfg(feature = "save")]
pub(super) use saved::{DRIVERS, NATIVES};

/// Bytes that are copied and hashed in the time of a safepoint.
const BYTES_COPIED: u64 = 32;

/// What `sandbox.luau` gets of ours, by the names that it uses.
const FUNCTIONS: &[Entry] = &[
    Entry::new(c"print", process::print),
    Entry::new(c"warn", process::warn),
    Entry::new(c"clock", process::clock),
    Entry::new(c"random", process::random),
    Entry::new(c"randomseed", process::random_seed),
    Entry::new(c"own_globals", globals::own_globals),
    Entry::new(c"newindex", globals::new_global),
    Entry::new(c"iter", globals::iterate),
    Entry::new(c"pairs", globals::pairs),
    Entry::new(c"rawget", globals::raw_get),
    Entry::new(c"rawset", globals::raw_set),
    Entry::new(c"missing_os", missing::os_member),
    Entry::new(c"missing_debug", missing::debug_member),
    Entry::new(c"json.encode", json::encode),
    Entry::new(c"json.decode", json::decode),
    Entry::new(c"task.defer", task::defer),
    Entry::new(c"task.delay", task::delay),
    Entry::new(c"task.cancel", task::cancel),
    Entry::new(c"process_index", system::index),
    Entry::new(c"mailbox.poll", mail::poll),
    Entry::new(c"signal.connect", mail::connect),
    Entry::new(c"host.export", export::export),
    Entry::new(c"host.get", export::get),
    Entry::waiting(c"task.wait", wait::task_wait, wait::slept),
    Entry::waiting(c"task.spawn", task::spawn, task::spawned),
    Entry::waiting(c"task.join", task::join, task::joined),
    Entry::waiting(c"process.spawn", system::spawn, wait::answered),
    Entry::waiting(c"process.kill", system::kill, wait::answered),
    Entry::waiting(c"process.list", system::list, wait::answered),
    Entry::waiting(c"process.info", system::info, wait::answered),
    Entry::waiting(c"process.join", system::join, wait::answered),
    Entry::waiting(c"process.monitor", system::monitor, wait::answered),
    Entry::waiting(c"process.send", system::send, wait::answered),
    Entry::waiting(c"process.exit", system::exit, wait::answered),
    Entry::waiting(c"mailbox.receive", mail::receive, wait::answered),
    Entry::waiting(c"signal.wait", mail::wait, wait::answered),
    Entry::waiting(c"require", require::require, require::required),
];

/// Makes text of an error object.
pub(super) const ERROR_TEXT: Entry = Entry::new(c"tostring", process::error_text);

/// What stands in the metatable of nil. The functions have no names, so that they show in no error.
const NIL: &[(&CStr, Entry)] =
    &[(c"__call", Entry::new(c"", missing::call_nil)), (c"__index", Entry::new(c"", missing::index_nil))];

/// A function that takes the place of one of Luau's.
struct Replacement {
    /// `None` for a global.
    library: Option<&'static CStr>,
    entry: Entry,
}

impl Replacement {
    const fn global(entry: Entry) -> Self {
        Self { library: None, entry }
    }
}

const fn replacement(library: &'static CStr, entry: Entry) -> Replacement {
    Replacement { library: Some(library), entry }
}

/// Puts our functions in the place of Luau's in its open libraries, which must not be frozen yet.
pub(super) fn replace(stack: &mut Stack<'_>) {
    let all = [
        callbacks::REPLACEMENTS,
        charged::REPLACEMENTS,
        search::REPLACEMENTS,
        pattern::REPLACEMENTS,
        sort::REPLACEMENTS,
        time::REPLACEMENTS,
        inspect::REPLACEMENTS,
        coroutine::REPLACEMENTS,
    ];
    for Replacement { library, entry } in all.into_iter().flatten() {
        replace_one(stack, *library, entry);
    }
    for &(library, names) in numbers::NAMES {
        names.iter().for_each(|name| replace_one(stack, Some(library), &numbers::entry(name)));
    }
}

/// Puts one of ours in the place of Luau's function of the same name, if there is one.
fn replace_one(stack: &mut Stack<'_>, library: Option<&CStr>, entry: &Entry) {
    stack.push_globals();
    if let Some(library) = library {
        stack.raw_get_field(-1, library);
    }
    if stack.raw_get_field(-1, entry.name) == Kind::FUNCTION {
        // SAFETY: these are C functions of Luau's libraries, which have no upvalues and no continuations.
        unsafe { stack.stand_in(-1, entry) };
        stack.raw_set_field(-2, entry.name);
    }
    stack.resize(0);
}

/// Gives nil a metatable that says more of the errors of calling and indexing it.
pub(super) fn explain_nil(stack: &mut Stack<'_>) {
    stack.push_nil();
    stack.push_table(0, 3);
    for (event, entry) in NIL {
        stack.push_function(entry);
        stack.raw_set_field(-2, event);
    }
    stack.push_boolean(false);
    stack.raw_set_field(-2, c"__metatable");
    stack.set_metatable_of_type(-2);
    stack.pop(1);
}

/// Gives entities a name of their type and a text.
pub(super) fn show_entities(stack: &mut Stack<'_>) {
    stack.name_light_userdata(Tag::Entity, c"Entity");
    stack.push_entity(1);
    stack.push_table(0, 2);
    stack.push_function(&Entry::new(c"tostring", process::entity_text));
    stack.raw_set_field(-2, c"__tostring");
    stack.push_boolean(false);
    stack.raw_set_field(-2, c"__metatable");
    stack.set_metatable_of_type(-2);
    stack.pop(1);
}

/// Pushes a table of our functions.
pub(super) fn push_functions(stack: &mut Stack<'_>) {
    stack.push_table(0, FUNCTIONS.len());
    for entry in FUNCTIONS {
        stack.push_function(entry);
        stack.raw_set_field(-2, entry.name);
    }
}
