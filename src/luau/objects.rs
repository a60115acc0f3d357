//! Luau's objects, as its collector sees them: what each refers to, and how many bytes it takes.
//!
//! Luau tells what all objects of a memory category take, and nobody what a VM can reach. Their layout is that of lobject.h
//! and lstate.h. Luau's version is pinned, and [`Objects::known`] looks whether they are as they are thought to be.

use std::ffi::{c_int, c_void};

use mlua::ffi;

use super::stack::Stack;

/// Bytes of a value (`TValue`), and of an entry of a table (`LuaNode`).
const VALUE: usize = 16;
const ENTRY: usize = 2 * VALUE;
/// Bytes of a call frame (`CallInfo`).
const FRAME: usize = 48;

/// Values that a frozen metatable has before its elements (`TM_N` in ltm.h).
const METAMETHODS: usize = 21;

/// Values of a table or a stack that are gone through at once.
pub(super) const AT_ONCE: usize = 512;

/// Tags beyond those of values: `LUA_TPROTO`, which is left alone, comes before this.
const UPVALUE: c_int = ffi::LUA_TBUFFER + 5;

/// Bytes at an address.
#[derive(Clone, Copy)]
struct Place(*const u8);

impl Place {
    /// What is so many bytes further on.
    fn get<T: Copy>(self, offset: usize) -> T {
        // SAFETY: an object is only made of a live one (see `Object::new`), and a place of what an object or an array of it
        // has, by the layout that is known. Luau has written to all that is asked for, and nothing runs meanwhile.
        unsafe { self.0.wrapping_add(offset).cast::<T>().read() }
    }

    fn at(self, offset: usize) -> Self {
        Self(self.0.wrapping_add(offset))
    }

    fn place(self, offset: usize) -> Self {
        Self(self.get(offset))
    }

    fn number(self, offset: usize) -> usize {
        self.get::<c_int>(offset).unsigned_abs() as usize
    }

    /// The object that is the value here, if it is one.
    fn value(self) -> Option<Object> {
        self.value_of(self.get::<c_int>(12))
    }

    /// The same of the key of an entry, which has its tag in four bits.
    fn key(self) -> Option<Object> {
        self.value_of((self.get::<u32>(12) & 0xf).cast_signed())
    }

    fn value_of(self, tag: c_int) -> Option<Object> {
        let is_object = (ffi::LUA_TSTRING..=ffi::LUA_TBUFFER).contains(&tag) || tag == UPVALUE;
        is_object.then(|| Object(self.place(0)))
    }

    fn is_nil(self) -> bool {
        self.get::<c_int>(12) == ffi::LUA_TNIL
    }

    /// The object whose address is here, if there is one.
    fn object(self, offset: usize) -> Option<Object> {
        let place = self.place(offset);
        (!place.0.is_null()).then_some(Object(place))
    }
}

/// An object of Luau's.
#[derive(Clone, Copy)]
pub(super) struct Object(Place);

impl Object {
    /// # Safety
    ///
    /// It must be an object of a state whose [layout is known](Objects::known). For as long as it, and what is got from it,
    /// is used, no collector may run that could free it, and no code of the state.
    pub(super) unsafe fn new(address: *const c_void) -> Self {
        Self(Place(address.cast()))
    }

    pub(super) fn address(self) -> usize {
        self.0.0.addr()
    }

    fn tag(self) -> c_int {
        self.0.get::<u8>(0).into()
    }

    /// The memory category that it is charged to.
    pub(super) fn category(self) -> u8 {
        self.0.get(2)
    }

    pub(super) fn is_string(self) -> bool {
        self.tag() == ffi::LUA_TSTRING
    }

    pub(super) fn is_table(self) -> bool {
        self.tag() == ffi::LUA_TTABLE
    }

    /// The text of a string.
    fn text(&self) -> &[u8] {
        let length = self.0.get::<u32>(20) as usize;
        // SAFETY: as for `Place::get`: a string has so many bytes behind its header, and they never change.
        unsafe { std::slice::from_raw_parts(self.0.at(24).0, length) }
    }
}

/// Whether a table keeps its keys and its values alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weakness {
    keys: bool,
    values: bool,
}

/// What is known of the objects of a state.
#[derive(Clone, Copy)]
pub(super) struct Objects {
    /// What tables have that never had an entry.
    no_entries: usize,
    /// The metatable that was looked at last: many tables have the same.
    last: (usize, Weakness),
}

impl Objects {
    /// `None` if objects look different from what is thought. To be called in a protected call.
    pub(super) fn known(stack: &mut Stack<'_>) -> Option<Self> {
        if !cfg!(target_pointer_width = "64") {
            return None;
        }
        stack.push_table(0, 0);
        stack.push_table(3, 1);
        stack.push_number(1.0);
        stack.raw_set_element(-2, 1);
        stack.push_bytes(b"key");
        stack.push_bytes(b"value");
        let [empty, table, key, value] = [-4, -3, -2, -1].map(|index| {
            // SAFETY: it is on the stack, and then in the table. Of a layout that is not as expected, no more is read than
            // the first words of each, which all objects have.
            unsafe { Object::new(stack.object(index)) }
        });
        stack.raw_set(-3);
        let tags = [empty, table, key, value].map(Object::tag);
        let are_tagged = tags == [ffi::LUA_TTABLE, ffi::LUA_TTABLE, ffi::LUA_TSTRING, ffi::LUA_TSTRING];
        let objects = Self { no_entries: empty.0.place(32).0.addr(), last: (0, Weakness::default()) };
        let is_known = are_tagged
            && key.text() == b"key"
            && (table.0.number(8), table.0.get::<u8>(6)) == (3, 0)
            && table.0.place(24).get::<f64>(0) == 1.0
            && table.0.place(32).value().is_some_and(|it| it.address() == value.address())
            && table.0.place(32).at(VALUE).key().is_some_and(|it| it.address() == key.address())
            && objects.bytes(table) == 48 + 3 * VALUE + ENTRY;
        stack.pop(2);
        is_known.then_some(objects)
    }

    /// What Luau counts for an object. 0 for code.
    pub(super) fn bytes(&self, object: Object) -> usize {
        let it = object.0;
        match object.tag() {
            ffi::LUA_TSTRING => 24 + it.get::<u32>(20) as usize + 1,
            ffi::LUA_TTABLE => {
                let has_cache = it.get::<u8>(4) & 2 != 0;
                let cache = if has_cache { VALUE * METAMETHODS } else { 0 };
                48 + cache + VALUE * it.number(8) + ENTRY * self.entries(object)
            }
            ffi::LUA_TFUNCTION => {
                let header = if is_native(object) { 48 } else { 32 };
                header + VALUE * usize::from(it.get::<u8>(4))
            }
            ffi::LUA_TUSERDATA => match it.number(4) {
                length if length > 16 => 16 + length.next_multiple_of(16),
                length => 16 + length,
            },
            ffi::LUA_TTHREAD => 136 + VALUE * it.number(72) + FRAME * it.number(76),
            ffi::LUA_TBUFFER => 8 + (it.get::<u32>(4) as usize).max(8),
            UPVALUE => 40,
            _ => 0,
        }
    }

    fn entries(&self, table: Object) -> usize {
        if table.0.place(32).0.addr() == self.no_entries { 0 } else { 1 << table.0.get::<u8>(6) }
    }

    /// Calls `f` with what an object keeps alive: of its values, with so many from one on. Where to go on, if there are
    /// more.
    pub(super) fn each_reference(
        &mut self,
        object: Object,
        from: usize,
        mut f: impl FnMut(Object),
    ) -> Option<usize> {
        let it = object.0;
        match object.tag() {
            ffi::LUA_TTABLE => return self.each_of_table(object, from, f),
            ffi::LUA_TTHREAD => return each_of_thread(object, from, f),
            ffi::LUA_TFUNCTION => {
                it.object(16).into_iter().for_each(&mut f);
                let first = it.at(if is_native(object) { 48 } else { 32 });
                let upvalues = usize::from(it.get::<u8>(4));
                (0..upvalues).filter_map(|i| first.at(VALUE * i).value()).for_each(f);
            }
            ffi::LUA_TUSERDATA => it.object(8).into_iter().for_each(f),
            UPVALUE => it.place(8).value().into_iter().for_each(f),
            _ => {}
        }
        None
    }

    fn each_of_table(&mut self, table: Object, from: usize, mut f: impl FnMut(Object)) -> Option<usize> {
        let it = table.0;
        let metatable = it.object(16);
        let weak = metatable.map_or(Weakness::default(), |metatable| self.weakness(metatable));
        if from == 0 {
            metatable.into_iter().for_each(&mut f);
        }
        // Strings are never collected while a table has them.
        let mut keep = |object: Option<Object>, is_weak: bool| {
            object.filter(|object| !is_weak || object.is_string()).into_iter().for_each(&mut f);
        };
        let (array, elements) = (it.place(24), it.number(8));
        let (entries, count) = (it.place(32), elements + self.entries(table));
        let until = count.min(from + AT_ONCE);
        for i in from..until {
            if i < elements {
                keep(array.at(VALUE * i).value(), weak.values);
                continue;
            }
            let entry = entries.at(ENTRY * (i - elements));
            if !entry.is_nil() {
                keep(entry.value(), weak.values);
                keep(entry.at(VALUE).key(), weak.keys);
            }
        }
        (until < count).then_some(until)
    }

    fn weakness(&mut self, metatable: Object) -> Weakness {
        if self.last.0 != metatable.address() {
            let entries = metatable.0.place(32);
            let mode = (0..self.entries(metatable)).map(|i| entries.at(ENTRY * i)).find_map(|entry| {
                let is_mode = |key: Object| key.is_string() && key.text() == b"__mode";
                let is_mode = !entry.is_nil() && entry.at(VALUE).key().is_some_and(is_mode);
                is_mode.then(|| entry.value()).flatten().filter(|mode| mode.is_string())
            });
            let has = |letter| mode.as_ref().is_some_and(|mode| mode.text().contains(&letter));
            self.last = (metatable.address(), Weakness { keys: has(b'k'), values: has(b'v') });
        }
        self.last.1
    }
}

fn each_of_thread(thread: Object, from: usize, mut f: impl FnMut(Object)) -> Option<usize> {
    let it = thread.0;
    if from == 0 {
        // Its globals. Closures lead to those upvalues that are on the stack.
        it.object(88).into_iter().for_each(&mut f);
    }
    let (stack, top) = (it.place(48), it.place(8));
    let count = top.0.addr().saturating_sub(stack.0.addr()) / VALUE;
    let until = count.min(from + AT_ONCE);
    (from..until).filter_map(|i| stack.at(VALUE * i).value()).for_each(f);
    (until < count).then_some(until)
}

/// Whether a function is none of Luau's.
fn is_native(function: Object) -> bool {
    function.0.get::<u8>(3) != 0
}
