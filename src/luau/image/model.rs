//! An image that has been read: objects with numbers instead of addresses. Nothing of it is in a state yet.

use std::ops::Range;

use super::bytes::{LoadError, Read, Reader, items, table_bits, tags, thread_bits};
use super::heap::ObjectKind;
use super::names::NATIVE_COUNT;
use super::programs::CodePlace;

/// The largest stack, and the deepest calls, that Luau allows.
const MAX_STACK: usize = 1 << 26;
const MAX_FRAMES: usize = 20_000;
/// Threads inside threads that Luau allows.
const MAX_CALLS: usize = 199;
/// The largest logarithm of the number of nodes of a table.
const MAX_LOG_NODES: u8 = 26;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Saved {
    Nil,
    Boolean(bool),
    Number(f64),
    Integer(i64),
    Vector([f32; 3]),
    Iterator(u32),
    DeadKey,
    Object(u32),
    Entity(u64),
}

/// An entry of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct SavedNode {
    pub(super) key: Saved,
    pub(super) value: Saved,
    pub(super) next: i32,
}

#[derive(Debug)]
pub(super) struct SavedTable {
    pub(super) bits: u8,
    pub(super) metatable: Option<u32>,
    /// Among all values.
    pub(super) elements: Range<usize>,
    pub(super) free: i32,
    pub(super) log_nodes: Option<u8>,
    /// Among all nodes.
    pub(super) nodes: Range<usize>,
}

impl SavedTable {
    pub(super) fn is(&self, bit: u8) -> bool {
        self.bits & bit != 0
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SavedFrame {
    pub(super) function: usize,
    pub(super) base: usize,
    /// How many its caller wants, -1 for all.
    pub(super) results: i32,
    pub(super) next: usize,
}

#[derive(Debug)]
pub(super) struct SavedThread {
    pub(super) status: u8,
    pub(super) bits: u8,
    pub(super) calls: u16,
    pub(super) globals: u32,
    /// Among all values.
    pub(super) values: Range<usize>,
    pub(super) base: usize,
    /// But for the first.
    pub(super) frames: Vec<SavedFrame>,
    /// Places of the stack and upvalues, from above.
    pub(super) open: Vec<(usize, u32)>,
}

impl SavedThread {
    pub(super) fn top(&self) -> usize {
        self.values.len()
    }
}

#[derive(Debug)]
pub(super) enum Item {
    String(Range<usize>),
    Buffer(Range<usize>),
    Table(SavedTable),
    Function {
        place: CodePlace,
        environment: u32,
        upvalues: Range<usize>,
    },
    Native {
        number: usize,
        upvalues: Range<usize>,
    },
    Upvalue(Saved),
    Thread(Box<SavedThread>),
    Userdata {
        metatable: Option<u32>,
    },
    /// With its type, which says what stands for it if it is not there any more.
    Named(ObjectKind, Range<usize>),
    Main {
        program: usize,
        part: usize,
    },
    Links {
        program: usize,
    },
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) items: Vec<Item>,
    /// Where each begins in the image.
    pub(super) offsets: Vec<u32>,
    pub(super) values: Vec<Saved>,
    pub(super) nodes: Vec<SavedNode>,
}

/// How many upvalues each function has that is made again and again. `None` if they are not saved.
pub(super) type NativeUpvalues = [Option<u8>; NATIVE_COUNT];

impl Model {
    /// Reads all objects. What they refer to may not be there yet.
    pub(super) fn read(reader: &mut Reader<'_>, natives: &NativeUpvalues) -> Read<Self> {
        let mut model = Self::default();
        loop {
            let at = reader.at;
            let kind = reader.byte()?;
            if kind == items::END {
                return Ok(model);
            }
            model.offsets.push(at as u32);
            let item = model.item(kind, reader, natives)?;
            model.items.push(item);
        }
    }

    pub(super) fn refuse<T>(
        &self,
        item: usize,
        reason: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Read<T> {
        Err(LoadError::new(self.offsets.get(item).map_or(0, |&at| at as usize), reason))
    }

    fn item(&mut self, kind: u8, reader: &mut Reader<'_>, natives: &NativeUpvalues) -> Read<Item> {
        let text = |reader: &mut Reader<'_>| {
            let bytes = reader.bytes()?.len();
            Ok(reader.at - bytes..reader.at)
        };
        Ok(match kind {
            items::STRING => Item::String(text(reader)?),
            items::BUFFER => Item::Buffer(text(reader)?),
            items::TABLE => Item::Table(self.table(reader)?),
            items::FUNCTION => {
                let [program, part, id] = [reader.number()?, reader.number()?, reader.number()?];
                let environment = reader.number()? as u32;
                let upvalues = reader.count()?;
                let place = CodePlace { program, part, id };
                Item::Function { place, environment, upvalues: self.values(reader, upvalues)? }
            }
            items::NATIVE => {
                let number = reader.below(NATIVE_COUNT, "function")?;
                let upvalues = natives[number].unwrap_or(0);
                Item::Native { number, upvalues: self.values(reader, upvalues.into())? }
            }
            items::UPVALUE => Item::Upvalue(value(reader)?),
            items::THREAD => Item::Thread(Box::new(self.thread(reader)?)),
            items::USERDATA => Item::Userdata { metatable: reader.option()?.map(|number| number as u32) },
            items::NAMED => Item::Named(ObjectKind(reader.byte()?), text(reader)?),
            items::MAIN => Item::Main { program: reader.number()?, part: reader.number()? },
            items::LINKS => Item::Links { program: reader.number()? },
            kind => return reader.refuse(format!("there is no object of kind {kind}")),
        })
    }

    /// Reads so many values, each of which takes at least a byte.
    fn values(&mut self, reader: &mut Reader<'_>, count: usize) -> Read<Range<usize>> {
        let first = self.values.len();
        for _ in 0..count {
            self.values.push(value(reader)?);
        }
        Ok(first..self.values.len())
    }

    fn table(&mut self, reader: &mut Reader<'_>) -> Read<SavedTable> {
        let bits = reader.byte()?;
        let metatable = reader.option()?.map(|number| number as u32);
        let count = reader.count()?;
        let elements = self.values(reader, count)?;
        let free = reader.signed()?;
        let first = self.nodes.len();
        let mut log_nodes = None;
        if bits & table_bits::NODES != 0 {
            let log = reader.byte()?;
            if log > MAX_LOG_NODES {
                return reader.refuse("a table is too large");
            }
            for _ in 0..1usize << log {
                let (key, value) = (value(reader)?, value(reader)?);
                let next = if bits & table_bits::BY_ADDRESS == 0 { reader.signed()? } else { 0 };
                self.nodes.push(SavedNode { key, value, next });
            }
            log_nodes = Some(log);
        }
        Ok(SavedTable { bits, metatable, elements, free, log_nodes, nodes: first..self.nodes.len() })
    }

    fn thread(&mut self, reader: &mut Reader<'_>) -> Read<SavedThread> {
        let status = reader.byte()?;
        let bits = reader.byte()? & thread_bits::ALL;
        let calls = reader.below(MAX_CALLS, "depth")? as u16;
        let globals = reader.number()? as u32;
        let count = reader.count()?;
        if count > MAX_STACK {
            return reader.refuse("a stack is too large");
        }
        let values = self.values(reader, count)?;
        let base = reader.number()?;
        let frame_count = reader.count()?;
        if frame_count > MAX_FRAMES {
            return reader.refuse("calls are too deep");
        }
        let mut frames = Vec::with_capacity(frame_count);
        let mut below = 0usize;
        for _ in 0..frame_count {
            let function = below.saturating_add(reader.number()?);
            let base = function.saturating_add(reader.number()?);
            let results = reader.below(256, "results")? as i32 - 1;
            frames.push(SavedFrame { function, base, results, next: reader.number()? });
            below = function;
        }
        let mut open = Vec::new();
        loop {
            match reader.number()? {
                0 => break,
                place => open.push((place, reader.number()? as u32)),
            }
        }
        Ok(SavedThread { status, bits, calls, globals, values, base, frames, open })
    }
}

/// Reads a value.
pub(super) fn value(reader: &mut Reader<'_>) -> Read<Saved> {
    Ok(match reader.byte()? {
        tags::NIL => Saved::Nil,
        tags::FALSE => Saved::Boolean(false),
        tags::TRUE => Saved::Boolean(true),
        tags::SMALL => Saved::Number(reader.signed()?.into()),
        tags::NUMBER => Saved::Number(f64::from_bits(reader.word()?)),
        tags::INTEGER => Saved::Integer(reader.word()?.cast_signed()),
        tags::VECTOR => Saved::Vector([reader.float()?, reader.float()?, reader.float()?]),
        tags::ITERATOR => Saved::Iterator(reader.number()? as u32),
        tags::DEAD_KEY => Saved::DeadKey,
        tags::OBJECT => Saved::Object(reader.number()? as u32),
        tags::ENTITY => Saved::Entity(reader.word()?),
        tag => return reader.refuse(format!("there is no value of type {tag}")),
    })
}
