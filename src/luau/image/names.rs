//! Names of what each state has on its own: the base and all that is in it. A save has the names instead.

use std::ffi::c_void;

use bevy::platform::collections::HashMap;

use super::heap::{Heap, Object, ObjectKind, Value};
use crate::luau::bases::Base;
use crate::luau::library::{DRIVERS, NATIVES};
use crate::luau::stack::{Kind, Stack};

/// Functions of Luau's and ours that are made again and again. After [`NATIVES`] there are two of Luau's: what
/// `coroutine.wrap` returns, and what `utf8.codes` returns first.
pub(super) const NATIVE_COUNT: usize = NATIVES.len() + 2;
const WRAP: usize = NATIVES.len();
/// See [`NATIVES`].
pub(super) const REST: usize = 0;
pub(super) const MISSING: usize = 1;

/// How a function that is no script's can be left, and what Luau assumes when it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It cannot.
    Plain,
    /// By yielding. It has no continuation.
    Yield,
    /// By what it calls in protected mode; with its handler of errors before that.
    Protected { has_handler: bool },
    /// By a break of the thread that it has resumed: its first value, or its upvalue.
    Resumes { in_upvalue: bool },
    /// Because it waits, or by what it calls.
    Waits,
}

/// A function that is made again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct NativeKind {
    /// Its address, and that of its continuation.
    pub(super) native: (usize, usize),
    pub(super) upvalues: u8,
    /// A fixed upvalue, and its tag.
    pub(super) address: Option<(*mut c_void, u32)>,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Names {
    names: HashMap<Object, Box<[u8]>>,
    objects: HashMap<Box<[u8]>, (Object, ObjectKind)>,
    roles: HashMap<Object, Role>,
    /// What stands behind the globals.
    pub(super) base: Option<Object>,
    /// By their numbers.
    pub(super) natives: Vec<NativeKind>,
    native_numbers: HashMap<(usize, usize), usize>,
    /// Which of the drivers have been loaded.
    drivers: [bool; DRIVERS.len()],
}

// SAFETY: the addresses are those of functions, and of objects of the state that has this.
unsafe impl Send for Names {}
// SAFETY: as above.
unsafe impl Sync for Names {}

impl Names {
    /// Of a state, in a protected call on its main thread.
    pub(super) fn of(stack: &mut Stack<'_>, heap: &Heap, base: Base) -> Self {
        let mut names = Self::default();
        stack.push_reference(base.table);
        names.base = match heap.at(stack.top()) {
            Value::Object(object, ObjectKind::TABLE) => Some(object),
            _ => None,
        };
        names.add_top(stack, heap, "");
        stack.push_reference(base.environment);
        names.add_top(stack, heap, "@environment");
        stack.push_bytes(b"");
        stack.push_metatable(-1);
        names.add_top(stack, heap, "@string");
        stack.push_vector([0.0; 3]);
        if stack.push_metatable(-1) {
            names.add_top(stack, heap, "@vector");
        }
        stack.resize(0);
        names.find_natives(stack, heap, base);
        names
    }

    /// Names the object on top, and what it has.
    fn add_top(&mut self, stack: &Stack<'_>, heap: &Heap, name: &str) {
        let mut found: Vec<(Value, Vec<u8>)> = vec![(heap.at(stack.top()), name.into())];
        while let Some((value, name)) = found.pop() {
            let Value::Object(object, kind) = value else { continue };
            if !matches!(kind, ObjectKind::TABLE | ObjectKind::FUNCTION | ObjectKind::USERDATA)
                || self.names.contains_key(&object)
            {
                continue;
            }
            self.insert(&name, object, kind);
            match kind {
                ObjectKind::TABLE => inner(heap, object, &name, &mut found),
                ObjectKind::FUNCTION => {
                    let function = heap.function(object);
                    self.roles.insert(object, role(&name, function.native.1 != 0));
                    let upvalues = (0u8..).zip(function.upvalues);
                    found.extend(
                        upvalues.map(|(number, value)| (value.get(), joined(&name, &[b'^', b'0' + number]))),
                    );
                }
                _ => {}
            }
        }
    }

    fn insert(&mut self, name: &[u8], object: Object, kind: ObjectKind) {
        self.names.insert(object, name.into());
        self.objects.insert(name.into(), (object, kind));
    }

    fn find_natives(&mut self, stack: &mut Stack<'_>, heap: &Heap, base: Base) {
        for native in NATIVES {
            let address = |function: Option<usize>| function.unwrap_or(0);
            let function = native.entry.function as usize;
            let continuation = address(native.entry.continuation.map(|function| function as usize));
            let upvalues = native.upvalues;
            self.natives.push(NativeKind { native: (function, continuation), upvalues, address: None });
        }
        for (library, name, argument) in [(c"coroutine", c"wrap", false), (c"utf8", c"codes", true)] {
            stack.push_reference(base.table);
            stack.raw_get_field(1, library);
            if stack.raw_get_field(2, name) == Kind::FUNCTION {
                if argument {
                    stack.push_bytes(b"");
                } else {
                    stack.push_value(3);
                }
                stack.call(1, 1);
            }
            if let Value::Object(object, ObjectKind::FUNCTION) = heap.at(3) {
                let function = heap.function(object);
                let address = match function.upvalues.first().map(|value| value.get()) {
                    Some(Value::Address(address, tag)) => Some((address, tag)),
                    _ => None,
                };
                let upvalues = function.upvalues.len() as u8;
                self.natives.push(NativeKind { native: function.native, upvalues, address });
            }
            stack.resize(0);
        }
        self.native_numbers =
            self.natives.iter().enumerate().map(|(number, kind)| (kind.native, number)).collect();
    }

    /// Whether all functions were found that it knows of, each once.
    pub(super) fn is_complete(&self) -> bool {
        self.natives.len() == NATIVE_COUNT && self.native_numbers.len() == NATIVE_COUNT
    }

    /// Names the drivers that have been loaded since.
    pub(super) fn refresh(&mut self, stack: &mut Stack<'_>, heap: &Heap) {
        for (number, driver) in DRIVERS.iter().enumerate() {
            if self.drivers[number] {
                continue;
            }
            if stack.push_registered(driver.name()) == Kind::FUNCTION {
                self.add_driver(number, heap.at(stack.top()));
            }
            stack.resize(0);
        }
    }

    fn add_driver(&mut self, number: usize, function: Value) {
        if let Value::Object(object, kind) = function {
            self.insert(driver_name(number).as_bytes(), object, kind);
            self.drivers[number] = true;
        }
    }

    /// Loads a driver, if there is such a one and that has not been done.
    pub(super) fn load_driver(&mut self, number: usize, stack: &mut Stack<'_>, heap: &Heap) {
        let is_new = self.drivers.get(number) == Some(&false);
        if is_new && DRIVERS[number].push_on_main(stack) {
            self.add_driver(number, heap.at(stack.top()));
        }
        stack.resize(0);
    }

    /// The main functions of the drivers that are there.
    pub(super) fn loaded_drivers(&self) -> impl Iterator<Item = (usize, Object)> {
        let is_loaded = |&number: &usize| self.drivers[number];
        let numbers = (0..DRIVERS.len()).filter(is_loaded);
        numbers.filter_map(|number| Some((number, self.find(driver_name(number).as_bytes())?.0)))
    }

    pub(super) fn name(&self, object: Object) -> Option<&[u8]> {
        self.names.get(&object).map(|name| &**name)
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<(Object, ObjectKind)> {
        self.objects.get(name).copied()
    }

    /// How a function that is no script's can be left.
    pub(super) fn role(&self, object: Object, native: (usize, usize)) -> Role {
        if let Some(&role) = self.roles.get(&object) {
            return role;
        }
        match self.native_number(native) {
            Some(WRAP) => Role::Resumes { in_upvalue: true },
            _ => Role::Plain,
        }
    }

    /// Whether the upvalue of such a function must be a thread.
    pub(super) fn wraps(number: usize) -> bool {
        number == WRAP
    }

    /// Which of those it is that are made again and again.
    pub(super) fn native_number(&self, native: (usize, usize)) -> Option<usize> {
        self.native_numbers.get(&native).copied()
    }
}

/// The name of a driver, if it is one.
pub(super) fn driver_of(name: &[u8]) -> Option<usize> {
    (0..DRIVERS.len()).find(|&number| driver_name(number).as_bytes() == name)
}

fn driver_name(number: usize) -> String {
    format!("@driver{number}")
}

fn joined(name: &[u8], more: &[u8]) -> Vec<u8> {
    [name, more].concat()
}

/// What a table has under names, and its metatable.
fn inner(heap: &Heap, table: Object, name: &[u8], found: &mut Vec<(Value, Vec<u8>)>) {
    let view = heap.table(table);
    let separator: &[u8] = if name.is_empty() { b"" } else { b"." };
    for node in view.nodes() {
        if let Value::Object(key, ObjectKind::STRING) = node.key {
            found.push((node.value, [name, separator, heap.string(key)].concat()));
        }
    }
    if let Some(metatable) = view.metatable {
        found.push((Value::Object(metatable, ObjectKind::TABLE), joined(name, b"@")));
    }
}

fn role(name: &[u8], has_continuation: bool) -> Role {
    match name {
        b"coroutine.yield" => Role::Yield,
        b"pcall" => Role::Protected { has_handler: false },
        b"xpcall" => Role::Protected { has_handler: true },
        b"coroutine.resume" | b"task.spawn" => Role::Resumes { in_upvalue: false },
        _ if has_continuation => Role::Waits,
        _ => Role::Plain,
    }
}
