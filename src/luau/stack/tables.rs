//! Tables, metatables and the registry.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::{Kind, Stack, Tag};

/// A value in the registry of a state, which keeps it until it is [released](Stack::release).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::luau) struct Reference(c_int);

impl Reference {
    /// Refers to nil.
    pub(in crate::luau) const NONE: Self = Self(ffi::LUA_NOREF);
}

impl Stack<'_> {
    /// A new table with room for so many elements and other entries.
    pub(in crate::luau) fn push_table(&mut self, elements: usize, entries: usize) {
        let [elements, entries] = [elements, entries].map(|count| c_int::try_from(count).unwrap_or(0));
        self.raw_push_table(elements, entries);
    }

    /// What has been pushed, or nil if nothing has.
    #[inline]
    fn pushed(&mut self, kind: Option<c_int>) -> Kind {
        kind.map(Kind).unwrap_or_else(|| {
            self.push_nil();
            Kind::NIL
        })
    }

    /// Replaces the key on top by what a table has for it.
    pub(in crate::luau) fn raw_get(&mut self, table: i32) -> Kind {
        let kind = self.raw_get_value(table);
        if kind.is_none() {
            self.pop(1);
        }
        self.pushed(kind)
    }

    /// Pushes an element of a table.
    #[inline]
    pub(in crate::luau) fn raw_get_element(&mut self, table: i32, element: i32) -> Kind {
        let kind = self.raw_get_integer(table, element);
        self.pushed(kind)
    }

    /// Pushes a field of a table.
    pub(in crate::luau) fn raw_get_field(&mut self, table: i32, name: &CStr) -> Kind {
        let kind = self.raw_get_string(table, name);
        self.pushed(kind)
    }

    /// Sets what a table has for the key below the top to the value on top, and takes both off.
    pub(in crate::luau) fn raw_set(&mut self, table: i32) {
        self.raw_set_value(table).unwrap_or_else(|| self.pop(2));
    }

    /// Sets an element of a table to the value on top, and takes that off.
    pub(in crate::luau) fn raw_set_element(&mut self, table: i32, element: i32) {
        self.raw_set_integer(table, element).unwrap_or_else(|| self.pop(1));
    }

    /// Sets a field of a table to the value on top, and takes that off.
    pub(in crate::luau) fn raw_set_field(&mut self, table: i32, name: &CStr) {
        self.raw_set_string(table, name).unwrap_or_else(|| self.pop(1));
    }

    /// Pushes the next key of a table and its value, from 0 on, and returns where to go on.
    pub(in crate::luau) fn next(&mut self, table: i32, from: i32) -> Option<i32> {
        self.raw_next(table, from.max(0)).filter(|&next| next >= 0)
    }

    pub(in crate::luau) fn is_read_only(&self, table: i32) -> bool {
        self.raw_is_read_only(table).is_some_and(|is_read_only| is_read_only != 0)
    }

    /// Pushes the metatable of a value. `false`, and nothing is pushed, if it has none.
    pub(in crate::luau) fn push_metatable(&mut self, index: i32) -> bool {
        self.raw_push_metatable(index).is_some_and(|is_pushed| is_pushed != 0)
    }

    /// Whether a value has a metatable.
    pub(in crate::luau) fn has_metatable(&mut self, index: i32) -> bool {
        let has_one = self.push_metatable(index);
        if has_one {
            self.pop(1);
        }
        has_one
    }

    /// Gives a table the one on top as its metatable, and takes that off.
    pub(in crate::luau) fn set_metatable(&mut self, table: i32) {
        if self.raw_set_metatable(table).is_none() {
            self.pop(1);
        }
    }

    /// Gives the table on top to all values of the type of the one at an index, which is no table or userdata, as their
    /// metatable, and takes that off.
    pub(in crate::luau) fn set_metatable_of_type(&mut self, index: i32) {
        if self.raw_set_type_metatable(index).is_none() {
            self.pop(1);
        }
    }

    /// What `typeof` says of light userdata with a tag. The first name stays.
    pub(in crate::luau) fn name_light_userdata(&mut self, tag: Tag, name: &CStr) {
        self.raw_name_light_userdata(tag, name);
    }

    /// Whether Luau may call builtins without a look-up in an environment.
    pub(in crate::luau) fn set_safe_environment(&mut self, table: i32, is_safe: bool) {
        self.raw_set_safe(table, is_safe);
    }

    /// Pushes the globals of the thread.
    pub(in crate::luau) fn push_globals(&mut self) {
        self.raw_push_globals(0);
    }

    /// Makes the table on top the globals of the thread, and takes it off.
    pub(in crate::luau) fn set_globals(&mut self) {
        self.raw_set_globals(0).unwrap_or_else(|| self.pop(1));
    }

    /// Pushes the globals of a function or a thread, nil for anything else.
    pub(in crate::luau) fn push_environment(&mut self, index: i32) {
        self.raw_push_environment(index).unwrap_or_else(|| self.push_nil());
    }

    /// Pushes what the registry has under a name.
    pub(in crate::luau) fn push_registered(&mut self, name: &CStr) -> Kind {
        let kind = self.raw_push_registered(0, name);
        self.pushed(kind)
    }

    /// Registers the value on top under a name, and takes it off.
    pub(in crate::luau) fn register(&mut self, name: &CStr) {
        self.raw_register(0, name);
    }

    /// Has the registry keep a value.
    pub(in crate::luau) fn refer_to(&mut self, index: i32) -> Reference {
        self.raw_refer(index).map_or(Reference::NONE, Reference)
    }

    /// Pushes what the registry keeps.
    #[inline]
    pub(in crate::luau) fn push_reference(&mut self, reference: Reference) -> Kind {
        let kind = self.raw_push_reference(0, reference.0);
        self.pushed(kind)
    }

    /// Has the registry keep a value no longer.
    pub(in crate::luau) fn release(&mut self, reference: Reference) {
        self.raw_release(reference.0); // overwrites what is there, and does not throw
    }

    /// Charges what is made from now on, on this thread and those that it makes, to a memory category.
    pub(in crate::luau) fn set_memory_category(&mut self, category: u8) {
        self.raw_set_memory_category(category);
    }
}
