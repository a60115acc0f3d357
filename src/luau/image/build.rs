//! From a checked image to objects. First all are made, then they get what they have: nothing is recursive.

use super::bytes::{Read, table_bits};
use super::cache::ImageCache;
use super::check::{ThreadPlan, status};
use super::heap::make::NewThread;
use super::heap::{Heap, Node, Object, ObjectKind, Value};
use super::meaning::{Found, Meanings};
use super::model::{Item, Model, Saved, SavedTable, SavedThread};
use super::names::{MISSING, REST};

/// Bytes that objects have beyond what they contain, at most.
const OBJECT_BYTES: usize = 64;
const THREAD_BYTES: usize = 1400;
const VALUE_BYTES: usize = 16;
const NODE_BYTES: usize = 32;
const FRAME_BYTES: usize = 48;

/// What a thread fails with whose code is not there any more.
const GONE: &str = "the program of this thread is not there any more";

/// See the [module](self).
pub(super) struct Builder<'b> {
    pub(super) model: &'b Model,
    pub(super) image: &'b [u8],
    pub(super) heap: &'b Heap,
    pub(super) cache: &'b ImageCache,
    pub(super) meanings: &'b Meanings<'b>,
    /// Of threads, by number.
    pub(super) plans: &'b [Option<ThreadPlan>],
    /// The globals of the main thread, until functions get their own.
    pub(super) base: Object,
    objects: Vec<Object>,
}

/// How many bytes the objects take at most.
pub(super) fn bytes(model: &Model, plans: &[Option<ThreadPlan>]) -> usize {
    let of = |(item, plan): (&Item, &Option<ThreadPlan>)| {
        OBJECT_BYTES
            + match item {
                Item::String(text) | Item::Buffer(text) => text.len(),
                Item::Table(table) => table.elements.len() * VALUE_BYTES + table.nodes.len() * NODE_BYTES,
                Item::Function { upvalues, .. } | Item::Native { upvalues, .. } => {
                    upvalues.len() * VALUE_BYTES
                }
                Item::Thread(thread) => plan.as_ref().map_or(THREAD_BYTES, |plan| {
                    let loops = plan.loops.iter().map(|&first| loop_bytes(model, thread, first));
                    THREAD_BYTES
                        + plan.room * VALUE_BYTES
                        + plan.frames.len() * FRAME_BYTES
                        + loops.sum::<usize>()
                }),
                _ => 0,
            }
    };
    model.items.iter().zip(plans).map(of).sum()
}

/// What it takes to go on with a loop over a table whose keys have other places.
fn loop_bytes(model: &Model, thread: &SavedThread, first: usize) -> usize {
    match model.values.get(thread.values.start + first + 1) {
        Some(&Saved::Object(of)) => match model.items.get(of as usize) {
            Some(Item::Table(table)) => {
                4 * OBJECT_BYTES + (table.elements.len() + table.nodes.len()) * VALUE_BYTES
            }
            _ => 0,
        },
        _ => 0,
    }
}

impl<'b> Builder<'b> {
    pub(super) fn new(
        (model, image): (&'b Model, &'b [u8]),
        (heap, cache): (&'b Heap, &'b ImageCache),
        (meanings, plans): (&'b Meanings<'b>, &'b [Option<ThreadPlan>]),
        base: Object,
    ) -> Self {
        Self {
            model,
            image,
            heap,
            cache,
            meanings,
            plans,
            base,
            objects: Vec::with_capacity(model.items.len()),
        }
    }

    /// Makes all objects. An error is one of the image.
    pub(super) fn build(mut self) -> Read<Vec<Object>> {
        let model = self.model;
        for number in 0..model.items.len() {
            let made = self.make(number);
            self.objects.push(made);
        }
        self.open_upvalues();
        for (number, item) in model.items.iter().enumerate() {
            self.fill(number, item)?;
        }
        for (number, item) in model.items.iter().enumerate() {
            if let (Item::Thread(thread), Some(plan)) = (item, &self.plans[number]) {
                self.go_on_with_loops(number, thread, plan);
            }
        }
        Ok(self.objects)
    }

    fn text(&self, text: &std::ops::Range<usize>) -> &'b [u8] {
        &self.image[text.clone()]
    }

    fn make(&self, number: usize) -> Object {
        let heap = self.heap;
        match self.meanings.found(number) {
            Found::There(object, _) => return object,
            Found::Script(code) => return heap.new_function(code, self.base),
            Found::Gone(kind) => return self.stand_in(number, kind),
            Found::Made(_) => {}
        }
        match &self.model.items[number] {
            Item::String(text) => heap.new_string(self.text(text)),
            Item::Buffer(text) => heap.new_buffer(self.text(text)),
            Item::Table(table) => heap.new_table(table.elements.len(), table.nodes.len()),
            Item::Native { number, .. } => self.native(*number),
            Item::Thread(_) => match &self.plans[number] {
                Some(plan) if !plan.is_broken => heap.new_thread(plan.room, plan.frames.len() + 1),
                _ => heap.new_thread(0, 0),
            },
            Item::Userdata { .. } => heap.new_userdata(),
            _ => heap.new_upvalue(),
        }
    }

    /// A function that is made again and again, without what it knows.
    fn native(&self, number: usize) -> Object {
        let kind = self.cache.names.natives[number];
        let name = crate::luau::library::NATIVES.get(number).map(|native| native.entry.name.to_bytes());
        let name = name.filter(|name| !name.is_empty()).map(|name| self.heap.new_string(name));
        // SAFETY: the addresses are those that were found in this state for that number. The upvalues are checked, and set
        // before anything runs.
        let made = unsafe { self.heap.new_native(kind.upvalues, self.base, kind.native, name) };
        if let Some((address, tag)) = kind.address {
            self.heap.set_upvalue(made, 0, Value::Address(address, tag));
        }
        made
    }

    /// What stands for something that is not there any more.
    fn stand_in(&self, number: usize, kind: ObjectKind) -> Object {
        match kind {
            ObjectKind::FUNCTION => {
                let function = self.native(MISSING);
                let name = match &self.model.items[number] {
                    Item::Named(_, name) => self.text(name),
                    _ => b"a function of a program",
                };
                let name = self.heap.new_string(name);
                self.heap.set_upvalue(function, 0, Value::Object(name, ObjectKind::STRING));
                function
            }
            ObjectKind::USERDATA => self.heap.new_userdata(),
            _ => self.heap.new_table(0, 0),
        }
    }

    /// Variables that are still on the stack of a thread.
    fn open_upvalues(&mut self) {
        for (number, item) in self.model.items.iter().enumerate() {
            let Item::Thread(thread) = item else { continue };
            if self.plans[number].as_ref().is_none_or(|plan| plan.is_broken) {
                continue;
            }
            for &(place, upvalue) in &thread.open {
                self.objects[upvalue as usize] = self.heap.open_upvalue(self.objects[number], place);
            }
        }
    }

    fn value(&self, saved: Saved) -> Value {
        match saved {
            Saved::Nil => Value::Nil,
            Saved::Boolean(boolean) => Value::Boolean(boolean),
            Saved::Number(number) => Value::Number(number),
            Saved::Integer(integer) => Value::Integer(integer),
            Saved::Vector(lanes) => Value::Vector(lanes),
            Saved::Iterator(at) => Value::Iterator(at),
            Saved::DeadKey => Value::DeadKey,
            Saved::Object(number) => self.object_value(number),
            Saved::Entity(bits) => Value::Entity(bits),
        }
    }

    pub(super) fn object_value(&self, number: u32) -> Value {
        let object = self.objects[number as usize];
        Value::Object(object, self.heap.kind(object))
    }

    fn fill(&self, number: usize, item: &Item) -> Read<()> {
        let (heap, object) = (self.heap, self.objects[number]);
        if !matches!(self.meanings.found(number), Found::Made(_) | Found::Script(_)) {
            return Ok(());
        }
        match item {
            Item::Table(table) => self.fill_table(number, object, table)?,
            Item::Function { upvalues, .. } | Item::Native { upvalues, .. } => {
                if let Item::Function { environment, .. } = item {
                    heap.set_environment(object, self.objects[*environment as usize]);
                }
                let values = &self.model.values[upvalues.clone()];
                values
                    .iter()
                    .enumerate()
                    .for_each(|(at, &value)| heap.set_upvalue(object, at, self.value(value)));
            }
            Item::Upvalue(value) if heap.is_closed(object) => {
                heap.set_upvalue_value(object, self.value(*value));
            }
            Item::Userdata { metatable } => {
                heap.set_metatable(object, metatable.map(|metatable| self.objects[metatable as usize]));
            }
            Item::Thread(thread) => self.fill_thread(number, object, thread),
            _ => {}
        }
        Ok(())
    }

    fn fill_table(&self, number: usize, object: Object, table: &SavedTable) -> Read<()> {
        let heap = self.heap;
        let elements = &self.model.values[table.elements.clone()];
        for (at, &value) in elements.iter().enumerate().filter(|(_, value)| **value != Saved::Nil) {
            heap.set_element(object, at, self.value(value));
        }
        let nodes = &self.model.nodes[table.nodes.clone()];
        let is_by_address = table.is(table_bits::BY_ADDRESS);
        if is_by_address {
            for node in nodes.iter().filter(|node| node.value != Saved::Nil) {
                let key = self.value(node.key);
                if heap.has(object, key) {
                    return self.model.refuse(number, "a key is there twice");
                }
                heap.set_entry(object, key, self.value(node.value));
            }
        } else {
            for (at, node) in nodes.iter().enumerate() {
                let (key, value) = (self.value(node.key), self.value(node.value));
                heap.set_node(object, at, Node { key, value, next: node.next });
            }
            for (at, node) in nodes.iter().enumerate().filter(|(_, node)| node.value != Saved::Nil) {
                if !heap.finds_in_node(object, at, self.value(node.key)) {
                    return self.model.refuse(number, "a key is not where it is looked for");
                }
            }
            if table.log_nodes.is_some() && heap.has(object, Value::Number(elements.len() as f64 + 1.0)) {
                return self.model.refuse(number, "an element is not among the others");
            }
        }
        let metatable = table.metatable.map(|metatable| self.objects[metatable as usize]);
        let free = (!is_by_address).then_some(table.free);
        let bits = [table_bits::READ_ONLY, table_bits::SAFE].map(|bit| table.is(bit));
        // SAFETY: `free` was checked against the numbers of nodes and elements, which are those of the table.
        unsafe { heap.finish_table(object, metatable, free, bits) };
        Ok(())
    }

    fn fill_thread(&self, number: usize, object: Object, thread: &SavedThread) {
        let heap = self.heap;
        let globals = self.objects[thread.globals as usize];
        let Some(plan) = self.plans[number].as_ref().filter(|plan| !plan.is_broken) else {
            let message = Value::Object(heap.new_string(GONE.as_bytes()), ObjectKind::STRING);
            heap.set_stack(object, 1, message);
            let rest = NewThread { globals, top: 2, base: 1, calls: 0, status: 2 };
            // SAFETY: it has only its first frame, and an error, as a thread whose function could not be called.
            return unsafe { heap.finish_thread(object, 1, &rest) };
        };
        let values = &self.model.values[thread.values.clone()];
        for (place, &value) in values.iter().enumerate().skip(1).filter(|(_, value)| **value != Saved::Nil) {
            heap.set_stack(object, place, self.value(value));
        }
        for (index, frame) in (1..).zip(&plan.frames) {
            // SAFETY: the thread was made with so many frames and values. The checks have seen to the rest.
            unsafe { heap.set_frame(object, index, frame) };
        }
        let rest = NewThread {
            globals,
            top: values.len() as i32,
            base: thread.base as i32,
            calls: thread.calls,
            status: thread.status,
        };
        // SAFETY: all frames are set. The checks have seen to the rest.
        unsafe { heap.finish_thread(object, plan.frames.len() + 1, &rest) };
    }

    /// A loop over a table whose keys have other places now goes on with those that were left.
    fn go_on_with_loops(&self, number: usize, thread: &SavedThread, plan: &ThreadPlan) {
        if plan.is_broken || !matches!(thread.status, status::YIELD | status::BREAK) {
            return;
        }
        let values = &self.model.values[thread.values.clone()];
        for &first in &plan.loops {
            let Some(&[Saved::Nil, Saved::Object(of), Saved::Iterator(at)]) = values.get(first..first + 3)
            else {
                continue;
            };
            let Some(Item::Table(table)) = self.model.items.get(of as usize) else { continue };
            if !table.is(table_bits::BY_ADDRESS) {
                continue;
            }
            let rest = self.rest(table, at as usize);
            let thread = self.objects[number];
            self.heap.set_stack(thread, first, Value::Object(rest, ObjectKind::FUNCTION));
            self.heap.set_stack(thread, first + 2, Value::Nil);
        }
    }

    /// The function that returns one entry after the other.
    fn rest(&self, table: &SavedTable, at: usize) -> Object {
        let elements = table.elements.len();
        let indices = (at.min(elements)..elements).map(|index| Value::Number(index as f64 + 1.0));
        let nodes = &self.model.nodes[table.nodes.clone()];
        let nodes = nodes.iter().skip(at.saturating_sub(elements)).filter(|node| node.value != Saved::Nil);
        let keys: Vec<Value> = indices.chain(nodes.map(|node| self.value(node.key))).collect();
        let list = self.heap.new_table(keys.len(), 0);
        keys.iter().enumerate().for_each(|(index, &key)| self.heap.set_element(list, index, key));
        let rest = self.native(REST);
        self.heap.set_upvalue(rest, 0, Value::Object(list, ObjectKind::TABLE));
        self.heap.set_upvalue(rest, 1, Value::Number(1.0));
        rest
    }
}
