//! From objects to bytes: whatever can be reached, breadth first, so that a long list is no deep recursion.
//!
//! An object has the number of its turn. Where it is first met, it gets one.

use std::borrow::Cow;

use bevy::platform::collections::{HashMap, HashSet};

use super::bytes::{Writer, items, small, table_bits, tags, thread_bits};
use super::cache::ImageCache;
use super::heap::{Code, Heap, Object, ObjectKind, RawValue, Value, flags};
use super::programs::{CodePlace, ProgramParts};
use crate::luau::notes::{Mark, Notes};

/// Why something cannot be saved as it is now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotNow(Cow<'static, str>),
    /// There is a function of a script that is none of the programs, by its name.
    UnknownProgram(String),
}

impl Refusal {
    pub(super) fn now(why: impl Into<Cow<'static, str>>) -> Self {
        Self::NotNow(why.into())
    }
}

/// See the [module](self).
pub(super) struct Saver<'s> {
    pub(super) heap: &'s Heap,
    cache: &'s ImageCache,
    /// By number.
    programs: &'s [&'s ProgramParts],
    codes: HashMap<Code, CodePlace>,
    mains: HashMap<Object, (usize, usize)>,
    links: HashMap<Object, usize>,
    numbers: HashMap<Object, usize>,
    objects: Vec<Object>,
    done: usize,
    /// Tables that are ours, and that functions of ours may have left on a stack.
    hidden: HashSet<Object>,
    out: Writer,
}

impl<'s> Saver<'s> {
    pub(super) fn new(heap: &'s Heap, cache: &'s ImageCache, programs: &'s [&'s ProgramParts]) -> Self {
        let mut saver = Self {
            heap,
            cache,
            programs,
            codes: HashMap::default(),
            mains: HashMap::default(),
            links: HashMap::default(),
            numbers: HashMap::default(),
            objects: Vec::new(),
            done: 0,
            hidden: HashSet::default(),
            out: Writer(Vec::with_capacity(128)),
        };
        for (program, parts) in programs.iter().enumerate() {
            saver.links.extend(parts.links.map(|links| (links, program)));
            for (part, it) in parts.parts.iter().enumerate() {
                let Some(it) = it else { continue };
                saver.mains.insert(it.main, (program, part));
                let codes = it.codes.iter().enumerate();
                let place = |id| CodePlace { program: program + 1, part, id };
                saver.codes.extend(codes.filter_map(|(id, &code)| Some((code?, place(id)))));
            }
        }
        saver
    }

    /// The table at an index of the main thread's stack is ours.
    pub(super) fn hide(&mut self, index: i32) {
        if let Value::Object(object, _) = self.heap.at(index) {
            self.hidden.insert(object);
        }
    }

    /// Saves what has been met and has not had its turn. All that is met there follows.
    pub(super) fn run(&mut self) -> Result<(), Refusal> {
        while let Some(&object) = self.objects.get(self.done) {
            self.done += 1;
            self.object(object)?;
        }
        Ok(())
    }

    /// The objects, and what is to follow.
    pub(super) fn finish(mut self, rest: Writer) -> Vec<u8> {
        self.out.byte(items::END);
        self.out.0.extend_from_slice(&rest.0);
        self.out.0
    }

    /// The number of an object.
    pub(super) fn number(&mut self, object: Object) -> usize {
        let next = self.objects.len();
        let number = *self.numbers.entry(object).or_insert(next);
        if number == next {
            self.objects.push(object);
        }
        number
    }

    /// Writes a value.
    pub(super) fn value(&mut self, value: Value, out: &mut Writer) -> Result<(), Refusal> {
        match value {
            Value::Nil => out.byte(tags::NIL),
            Value::Boolean(false) => out.byte(tags::FALSE),
            Value::Boolean(true) => out.byte(tags::TRUE),
            Value::Number(number) => match small(number) {
                Some(small) => {
                    out.byte(tags::SMALL);
                    out.signed(small);
                }
                None => {
                    out.byte(tags::NUMBER);
                    out.word(number.to_bits());
                }
            },
            Value::Integer(integer) => {
                out.byte(tags::INTEGER);
                out.word(integer.cast_unsigned());
            }
            Value::Vector(lanes) => {
                out.byte(tags::VECTOR);
                lanes.iter().for_each(|lane| out.0.extend_from_slice(&lane.to_le_bytes()));
            }
            Value::Iterator(at) => {
                out.byte(tags::ITERATOR);
                out.number(at as usize);
            }
            Value::DeadKey => out.byte(tags::DEAD_KEY),
            Value::Entity(bits) => {
                out.byte(tags::ENTITY);
                out.word(bits);
            }
            Value::Address(..) => return Err(Refusal::now("it has an address")),
            Value::Object(object, _) => {
                out.byte(tags::OBJECT);
                let number = self.number(object);
                out.number(number);
            }
        }
        Ok(())
    }

    fn values(&mut self, values: &[RawValue], out: &mut Writer) -> Result<(), Refusal> {
        values.iter().try_for_each(|value| self.value(value.get(), out))
    }

    fn object(&mut self, object: Object) -> Result<(), Refusal> {
        let mut out = std::mem::take(&mut self.out);
        let saved = self.object_to(object, &mut out);
        self.out = out;
        saved
    }

    fn object_to(&mut self, object: Object, out: &mut Writer) -> Result<(), Refusal> {
        let heap = self.heap;
        match heap.kind(object) {
            ObjectKind::STRING => {
                out.byte(items::STRING);
                out.bytes(heap.string(object));
            }
            ObjectKind::BUFFER => {
                out.byte(items::BUFFER);
                out.bytes(heap.buffer(object));
            }
            ObjectKind::UPVALUE => {
                out.byte(items::UPVALUE);
                self.value(heap.upvalue(object).value, out)?;
            }
            ObjectKind::THREAD => self.thread(object, out)?,
            _ if self.known(object, out) => {}
            ObjectKind::TABLE => self.table(object, out)?,
            ObjectKind::FUNCTION => self.function(object, out)?,
            ObjectKind::USERDATA => {
                let (metatable, is_proxy) = heap.userdata(object);
                if !is_proxy {
                    return Err(Refusal::now("it has a userdata that is not its own"));
                }
                out.byte(items::USERDATA);
                let metatable = metatable.map(|metatable| self.number(metatable));
                out.option(metatable);
            }
            _ => return Err(Refusal::now("it has an object of a type that is not known")),
        }
        Ok(())
    }

    /// What each state has, or each that has the programs.
    fn known(&mut self, object: Object, out: &mut Writer) -> bool {
        if let Some(name) = self.cache.names.name(object) {
            out.byte(items::NAMED);
            out.byte(self.heap.kind(object).0);
            out.bytes(name);
        } else if let Some(&(program, part)) = self.mains.get(&object) {
            out.byte(items::MAIN);
            out.number(program);
            out.number(part);
        } else if let Some(&program) = self.links.get(&object) {
            out.byte(items::LINKS);
            out.number(program);
        } else {
            return false;
        }
        true
    }

    fn table(&mut self, object: Object, out: &mut Writer) -> Result<(), Refusal> {
        let table = self.heap.table(object);
        let is_by_address = table.nodes().any(|node| match node.key {
            Value::Object(_, kind) => kind != ObjectKind::STRING,
            Value::Address(..) => true,
            _ => false,
        });
        let bits = [
            (table.is_read_only, table_bits::READ_ONLY),
            (table.is_safe, table_bits::SAFE),
            (table.log_nodes.is_some(), table_bits::NODES),
            (is_by_address, table_bits::BY_ADDRESS),
        ];
        out.byte(items::TABLE);
        out.byte(bits.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum());
        let metatable = table.metatable.map(|metatable| self.number(metatable));
        out.option(metatable);
        out.number(table.elements.len());
        self.values(table.elements, out)?;
        out.signed(table.free);
        out.0.extend(table.log_nodes);
        for node in table.nodes() {
            self.value(node.key, out)?;
            self.value(node.value, out)?;
            if !is_by_address {
                out.signed(node.next);
            }
        }
        Ok(())
    }

    fn function(&mut self, object: Object, out: &mut Writer) -> Result<(), Refusal> {
        let heap = self.heap;
        let function = heap.function(object);
        let upvalues = function.upvalues;
        match function.code {
            Some(code) => {
                let Some(CodePlace { program, part, id }) = self.place(code) else {
                    return Err(Refusal::UnknownProgram(self.source(code)));
                };
                out.byte(items::FUNCTION);
                [program, part, id].into_iter().for_each(|number| out.number(number));
                // Drivers have that base for their environment which was there first.
                let base = self.cache.names.base.filter(|_| program == 0);
                let environment = self.number(base.unwrap_or(function.environment));
                out.number(environment);
                out.number(upvalues.len());
                self.values(upvalues, out)
            }
            None => {
                let Some(number) = self.cache.names.native_number(function.native) else {
                    let name =
                        function.name.map(|name| String::from_utf8_lossy(heap.string(name)).into_owned());
                    let name = name.unwrap_or_default();
                    return Err(Refusal::now(format!("it has the function `{name}`, which is not known")));
                };
                let has_address = self.cache.names.natives[number].address.is_some();
                out.byte(items::NATIVE);
                // Its environment is of no use to it. For Luau's own it is the library as it was before the sandbox.
                out.number(number);
                if has_address { Ok(()) } else { self.values(upvalues, out) }
            }
        }
    }

    /// Where a piece of code is.
    fn place(&mut self, code: Code) -> Option<CodePlace> {
        if let Some(&place) = self.codes.get(&code) {
            return Some(place);
        }
        let place = self.find_in_drivers(code).or_else(|| self.find_same(code))?;
        self.codes.insert(code, place);
        Some(place)
    }

    fn find_in_drivers(&self, code: Code) -> Option<CodePlace> {
        self.cache.drivers.iter().find_map(|(number, driver)| {
            let id = driver.codes.iter().position(|it| *it == Some(code))?;
            Some(CodePlace { program: 0, part: *number, id })
        })
    }

    /// The program was loaded again meanwhile. What it was then is still used.
    fn find_same(&self, code: Code) -> Option<CodePlace> {
        let id = usize::try_from(self.heap.code(code).id).ok()?;
        self.programs.iter().enumerate().find_map(|(program, parts)| {
            let is_same = |other: Option<&Option<Code>>| {
                other.copied().flatten().is_some_and(|other| self.heap.is_same_code(code, other))
            };
            let part =
                parts.parts.iter().position(|it| it.as_ref().is_some_and(|it| is_same(it.codes.get(id))))?;
            Some(CodePlace { program: program + 1, part, id })
        })
    }

    fn source(&self, code: Code) -> String {
        let source = self.heap.code(code).source.map(|source| self.heap.string(source));
        let source = source.unwrap_or_default();
        String::from_utf8_lossy(source.strip_prefix(b"=").unwrap_or(source)).into_owned()
    }

    fn thread(&mut self, object: Object, out: &mut Writer) -> Result<(), Refusal> {
        let thread = self.heap.thread(object);
        if thread.is_odd || (thread.status == 0 && thread.frames != 1) {
            return Err(Refusal::now("it is in the middle of a function that is no script's"));
        }
        // SAFETY: it is a thread of the state, which lives.
        let notes = unsafe { Notes::of(object.thread()) };
        let bits = [
            (notes.owner() != 0, thread_bits::COUNTED),
            (notes.has(Mark::Waits), thread_bits::WAITS),
            (notes.has(Mark::Known), thread_bits::KNOWN),
            (notes.has(Mark::Handler), thread_bits::HANDLER),
            (notes.has(Mark::Reported), thread_bits::REPORTED),
        ];
        out.byte(items::THREAD);
        out.byte(thread.status);
        out.byte(bits.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum());
        out.number(thread.calls.into());
        let globals = self.number(thread.globals);
        out.number(globals);
        out.number(thread.values.len());
        for value in thread.values {
            let is_left_behind = |value: &Value| match value {
                Value::Address(..) => true,
                Value::Object(object, ObjectKind::TABLE) => self.hidden.contains(object),
                _ => false,
            };
            // What a function of ours has left behind that is over, nobody will look at.
            let value = Some(value.get()).filter(|value| !is_left_behind(value));
            self.value(value.unwrap_or(Value::Nil), out)?;
        }
        out.number(thread.base as usize);
        out.number(thread.frames as usize - 1);
        let mut below = 0;
        for index in 1..thread.frames {
            let frame = self.heap.frame(object, index);
            if frame.flags & flags::SYNTHETIC != 0 {
                return Err(Refusal::now("it has a call of an unknown kind"));
            }
            out.number((frame.function - below) as usize);
            out.number((frame.base - frame.function) as usize);
            out.number((frame.results + 1) as usize);
            out.number(if frame.is_script != 0 { frame.next as usize } else { 0 });
            below = frame.function;
        }
        let mut open = thread.open;
        while let Some(upvalue) = open {
            let view = self.heap.upvalue(upvalue);
            out.number(thread.place(view.address));
            let number = self.number(upvalue);
            out.number(number);
            open = view.next;
        }
        out.number(0); // no value is there
        Ok(())
    }
}
