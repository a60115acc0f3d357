//! The parts of a program that a state has loaded.

use super::heap::{Heap, Object, ObjectKind, Value};
use super::programs::{Part, ProgramParts};
use crate::luau::modules::LoadedProgram;
use crate::luau::stack::{Kind, Reference, Stack};
use crate::luau::state::chunk_name;
use crate::script::Script;

/// Of a program, in a protected call on the main thread.
pub(super) fn find(
    stack: &mut Stack<'_>,
    heap: &Heap,
    script: &Script,
    loaded: LoadedProgram,
) -> ProgramParts {
    let mut parts = vec![part_on_top(stack, heap, script, loaded.main.0)];
    let mut links = None;
    if let Some(table) = loaded.links {
        stack.push_reference(table);
        links = match heap.at(1) {
            Value::Object(object, ObjectKind::TABLE) => Some(object),
            _ => None,
        };
        // All processes of the program share it, and an image may give it to a script.
        links.into_iter().for_each(|links| freeze(heap, links));
        let modules = script.reachable_modules();
        parts.extend(modules.iter().map(|module| find_module(stack, heap, script, &modules, module)));
        stack.resize(0);
    }
    ProgramParts { parts, links }
}

/// The part that a reference refers to the main function of.
fn part_on_top(stack: &mut Stack<'_>, heap: &Heap, script: &Script, main: Reference) -> Option<Part> {
    stack.push_reference(main);
    let part = part_at(stack, heap, script);
    stack.resize(0);
    part
}

fn part_at(stack: &Stack<'_>, heap: &Heap, script: &Script) -> Option<Part> {
    match heap.at(stack.top()) {
        Value::Object(main, ObjectKind::FUNCTION) => Some(Part::of(heap, main, hash(script))),
        _ => None,
    }
}

/// The part of a module, which is found where one of the others requires it. The links are at 1.
fn find_module(
    stack: &mut Stack<'_>,
    heap: &Heap,
    script: &Script,
    modules: &[Script],
    wanted: &Script,
) -> Option<Part> {
    for part in std::iter::once(script).chain(modules) {
        let required = part.modules().iter().find(|it| it.script.address() == wanted.address());
        let Some(required) = required else { continue };
        stack.push_bytes(&chunk_name(part.name()));
        let mut found = None;
        if stack.raw_get(1) == Kind::TABLE {
            stack.push_bytes(required.specifier.as_bytes());
            stack.raw_get(2);
            found = part_at(stack, heap, wanted);
        }
        stack.resize(1);
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Freezes a table, and the tables in it.
fn freeze(heap: &Heap, table: Object) {
    heap.freeze(table);
    for node in heap.table(table).nodes() {
        if let Value::Object(inner, ObjectKind::TABLE) = node.value {
            heap.freeze(inner);
        }
    }
}

/// FNV-1a of the bytecode: another compiler, or another text, makes other code.
fn hash(script: &Script) -> u64 {
    let code = script.bytecode().map_or(&[][..], |code| code.as_bytes());
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    code.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
