//! The definition file for luau-lsp has every name that a script can reach, and no other.

use std::collections::BTreeSet;

use super::LuauState;
use super::stack::{Kind, Stack};
use crate::luau::HostFunctions;

const DEFINITIONS: &str = include_str!("../../assets/scripts/luau_os.d.luau");

/// The keys of the table at `index`, and, inside `prefix`, those of the tables in it.
fn names(stack: &mut Stack<'_>, index: i32, prefix: &str, found: &mut BTreeSet<String>) {
    let mut from = 0;
    while let Some(next) = stack.next(index, from) {
        let key = String::from_utf8_lossy(stack.bytes(-2).expect("all keys are strings"));
        let name = format!("{prefix}{key}");
        if stack.kind(-1) == Kind::TABLE {
            let top = stack.top();
            names(stack, top, &format!("{name}."), found);
        }
        found.insert(name);
        stack.pop(2);
        from = next;
    }
}

fn reachable() -> BTreeSet<String> {
    let mut state = LuauState::open(HostFunctions::default(), None).expect("a state");
    let mut found = BTreeSet::new();
    state
        .protect(|stack| {
            stack.push_globals(); // of the main thread: the base
            let base = stack.top();
            names(stack, base, "", &mut found);
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
    // The plugin adds those. They have a test of their own.
    found.retain(|name| name != "ecs" && !name.starts_with("ecs."));
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

/// The types are Luau: its own parser reads them, once each declaration is written as that of a type.
#[test]
fn the_definitions_are_luau() {
    let mut types = String::new();
    for line in DEFINITIONS.lines() {
        let Some(rest) = line.strip_prefix("declare ") else {
            types += &format!("{line}\n");
            continue;
        };
        if let Some((name, _)) = rest.strip_prefix("extern type ").and_then(|rest| rest.split_once(' ')) {
            types += &format!("type {name} = unknown\n");
            continue;
        }
        let Some(function) = rest.strip_prefix("function ") else {
            let (name, kind) = rest.split_once(':').expect("a type");
            types += &format!("type {name}_ ={kind}\n");
            continue;
        };
        let (head, results) = function.rsplit_once("): ").expect("results");
        let (name, parameters) = head.split_once('(').expect("parameters");
        let (name, generics) = name.split_at(name.find('<').unwrap_or(name.len()));
        let parameters = parameters.replace("...: any", "...any").replace("...: A...", "A...");
        types += &format!("type {name}_ = {generics}({parameters}) -> {results}\n");
    }
    let script = crate::script::Script::new("luau_os.d", types);
    assert_eq!(script.compile(), Ok(()));
}
