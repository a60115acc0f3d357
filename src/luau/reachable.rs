//! The definition file for luau-lsp has every name that a script can reach, and no other.

use std::collections::BTreeSet;
use std::ffi::CStr;

use mlua::ffi::{self, lua_State};

use super::LuauState;
use crate::luau::HostFunctions;

const DEFINITIONS: &str = include_str!("../../assets/scripts/luau_os.d.luau");

/// The keys of the table at `index`, and, inside `prefix`, those of the tables in it.
///
/// # Safety
///
/// `index` must be positive, and that of a table. There must be room for four values. May throw.
unsafe fn names(state: *mut lua_State, index: i32, prefix: &str, found: &mut BTreeSet<String>) {
    let mut iterator = 0;
    loop {
        // SAFETY: by the contract; each round pushes two values and takes them off. All keys are strings.
        unsafe {
            iterator = ffi::lua_rawiter(state, index, iterator);
            if iterator < 0 {
                return;
            }
            let key = CStr::from_ptr(ffi::lua_tostring(state, -2)).to_string_lossy();
            let name = format!("{prefix}{key}");
            if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
                let top = ffi::lua_gettop(state);
                names(state, top, &format!("{name}."), found);
            }
            found.insert(name);
            ffi::lua_pop(state, 2);
        }
    }
}

fn reachable() -> BTreeSet<String> {
    let mut state = LuauState::open(HostFunctions::default()).expect("a state");
    let mut found = BTreeSet::new();
    state
        .protect(|main| {
            // SAFETY: inside a protected call; the globals of the main thread are the base.
            unsafe {
                ffi::lua_pushvalue(main, ffi::LUA_GLOBALSINDEX);
                let base = ffi::lua_gettop(main);
                names(main, base, "", &mut found);
            }
        })
        .expect("no error");
    // What processes find by `__index`.
    found.extend(["_G", "process.pid", "process.name", "process.args", "process.address"].map(str::to_owned));
    found
}

fn defined() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut library: Option<String> = None;
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    for line in DEFINITIONS.lines() {
        if let Some(rest) = line.strip_prefix("declare function ") {
            found.extend(rest.split(['(', '<']).next().map(str::to_owned));
        } else if let Some((name, kind)) = line.strip_prefix("declare ").and_then(|rest| rest.split_once(':'))
        {
            found.insert(name.to_owned());
            library = (kind.trim() == "{").then(|| name.to_owned());
        } else if line == "}" {
            library = None;
        } else if let Some(library) = &library
            && let Some((name, _)) = line.strip_prefix('\t').and_then(|line| line.split_once(':'))
            && is_name(name)
        {
            found.insert(format!("{library}.{name}"));
        }
    }
    found
}

#[test]
fn the_definitions_have_what_a_script_can_reach_and_no_more() {
    let (reachable, defined) = (reachable(), defined());
    assert!(reachable.len() > 150 && reachable.contains("task.wait"), "{reachable:?}");
    let missing: Vec<_> = reachable.difference(&defined).collect();
    let unknown: Vec<_> = defined.difference(&reachable).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}
