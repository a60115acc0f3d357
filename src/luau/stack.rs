//! The stack of a Luau thread, behind functions that cannot be misused: each of Luau's operations that we need, proven
//! once.
//!
//! Luau trusts its callers. It does not look whether an index is below the top, whether a table is one, or whether a
//! reference exists. A [`Stack`] looks, so its functions take any arguments: where nothing is they find nothing, and
//! what is no table reads as an empty one.
//!
//! # Errors of Luau
//!
//! What may allocate, or run code of a script, takes `&mut self` and may throw. Luau is compiled to throw C++
//! exceptions, and all of its functions have the ABI "C-unwind". With that ABI an exception passes through Rust's frames
//! as a panic does, and drops what they hold (<https://doc.rust-lang.org/reference/items/functions.html#r-items.fn.extern.unwind>;
//! where panics abort, so does an exception). Hence code that is safe with panics is safe with Luau's errors. Whoever
//! makes a stack sees to it that somebody catches them.

mod functions;
mod raw;
mod tables;

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::ops::Range;
use std::{ptr, slice};

use mlua::ffi::{self, lua_State};

pub(super) use functions::Coroutine;
pub(super) use tables::Reference;

/// The values of a thread from the running function's first argument on, counted from 1, or from the top with -1.
///
/// The lifetime is its own: no two stacks can be confused.
pub(super) struct Stack<'s> {
    thread: *mut lua_State,
    lifetime: PhantomData<*mut &'s ()>,
}

/// Bytes of a string that is read as a number: some microseconds.
const MAX_NUMBER_TEXT: u32 = 1024;

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(c_int);

impl Kind {
    pub(super) const NONE: Self = Self(ffi::LUA_TNONE);
    pub(super) const NIL: Self = Self(ffi::LUA_TNIL);
    pub(super) const BOOLEAN: Self = Self(ffi::LUA_TBOOLEAN);
    pub(super) const NUMBER: Self = Self(ffi::LUA_TNUMBER);
    pub(super) const VECTOR: Self = Self(ffi::LUA_TVECTOR);
    pub(super) const STRING: Self = Self(ffi::LUA_TSTRING);
    pub(super) const TABLE: Self = Self(ffi::LUA_TTABLE);
    pub(super) const FUNCTION: Self = Self(ffi::LUA_TFUNCTION);
    pub(super) const THREAD: Self = Self(ffi::LUA_TTHREAD);
    pub(super) const BUFFER: Self = Self(ffi::LUA_TBUFFER);
    pub(super) const LIGHT_USERDATA: Self = Self(ffi::LUA_TLIGHTUSERDATA);
}

/// What a light userdata is, as its tag. Scripts cannot make any.
#[derive(Clone, Copy)]
#[repr(i32)]
pub(super) enum Tag {
    /// What one of our own calls gets that goes through Luau.
    Call,
    /// A function that the running one stands in for.
    Original,
    /// A [`HostEntry`](crate::luau::host_functions::HostEntry).
    Host,
    /// Where a thread is anchored.
    Thread,
    /// An entity of the game: its bits, not an address. The only one that scripts get hold of.
    Entity,
}

impl<'s> Stack<'s> {
    /// # Safety
    ///
    /// `thread` must be live for `'s`. If it runs, that is a C function of which the stack is, and no other function is
    /// called for as long as this is used but by it; if not, nobody resumes it. Nobody else changes its stack meanwhile.
    #[inline]
    pub(super) unsafe fn new(thread: *mut lua_State) -> Self {
        Self { thread, lifetime: PhantomData }
    }

    /// Whose stack it is.
    #[inline]
    pub(super) fn thread(&self) -> *mut lua_State {
        self.thread
    }

    /// How many values there are.
    #[inline]
    pub(super) fn top(&self) -> i32 {
        self.raw_top()
    }

    #[inline]
    pub(super) fn kind(&self, index: i32) -> Kind {
        self.raw_type(index).map_or(Kind::NONE, Kind)
    }

    /// The name of a type, in Luau's words.
    pub(super) fn kind_name(&self, kind: Kind) -> &'static str {
        let name = self.raw_kind_name(kind);
        // SAFETY: names of types are literals.
        unsafe { CStr::from_ptr(name) }.to_str().unwrap_or("value")
    }

    #[inline]
    pub(super) fn is_none_or_nil(&self, index: i32) -> bool {
        matches!(self.kind(index), Kind::NONE | Kind::NIL)
    }

    /// What counts as true.
    pub(super) fn boolean(&self, index: i32) -> bool {
        self.raw_boolean(index).is_some_and(|boolean| boolean != 0)
    }

    /// A number, or a string with one in it. Long strings are no numbers: reading one takes milliseconds.
    #[inline]
    pub(super) fn number(&self, index: i32) -> Option<f64> {
        if self.is_long_string(index) {
            return None;
        }
        let mut is_number = 0;
        let number = self.raw_number(index, &mut is_number)?;
        (is_number != 0).then_some(number)
    }

    /// As [`Stack::number`], cut to an integer as Luau does it.
    #[inline]
    pub(super) fn integer(&self, index: i32) -> Option<i32> {
        if self.is_long_string(index) {
            return None;
        }
        let mut is_number = 0;
        let number = self.raw_integer(index, &mut is_number)?;
        (is_number != 0).then_some(number)
    }

    /// Whether there is a string that is too long to be a number.
    #[inline]
    pub(super) fn is_long_string(&self, index: i32) -> bool {
        self.kind(index) == Kind::STRING && self.length(index) > MAX_NUMBER_TEXT
    }

    pub(super) fn vector(&self, index: i32) -> Option<[f32; 3]> {
        // SAFETY: this points to the lanes of a vector, of which Luau is compiled to have three or four, or nowhere.
        unsafe { self.raw_vector(index)?.cast::<[f32; 3]>().as_ref() }.copied()
    }

    /// The bits of an entity.
    pub(super) fn entity(&self, index: i32) -> Option<u64> {
        let bits = self.raw_light_userdata(index, Tag::Entity)?.addr() as u64;
        (bits != 0).then_some(bits) // no entity has the bits 0
    }

    /// The bytes of a string, for as long as nothing changes the stack.
    #[inline]
    pub(super) fn bytes(&self, index: i32) -> Option<&[u8]> {
        self.contents(index, Kind::STRING)
    }

    /// The bytes of a buffer, for as long as nothing changes the stack, and so no code of a script runs.
    pub(super) fn buffer(&self, index: i32) -> Option<&[u8]> {
        self.contents(index, Kind::BUFFER)
    }

    #[inline(always)]
    fn contents(&self, index: i32, kind: Kind) -> Option<&[u8]> {
        if self.kind(index) != kind {
            return None;
        }
        let mut length = 0;
        let bytes: *const u8 = match kind {
            Kind::STRING => self.raw_string(index, &mut length)?.cast(),
            Kind::BUFFER => self.raw_buffer(index, &mut length)?.cast(),
            _ => return None,
        };
        // SAFETY: of a string, which is not converted, and of a buffer Luau gives a pointer to so many bytes, inside
        // it. The stack keeps it, and is borrowed: nothing writes to a buffer meanwhile, and strings never change.
        Some(unsafe { slice::from_raw_parts(bytes, length) })
    }

    /// Bytes of a string or a buffer, elements of a table; 0 for anything else.
    #[inline]
    pub(super) fn length(&self, index: i32) -> u32 {
        self.raw_length(index).map_or(0, i32::unsigned_abs)
    }

    /// Whether two values are the same, without metamethods.
    pub(super) fn raw_equal(&self, a: i32, b: i32) -> bool {
        self.raw_equals(a, b)
    }

    /// Where an object is, or null. Of userdata it is where their data are.
    pub(super) fn object(&self, index: i32) -> *const std::ffi::c_void {
        self.raw_pointer(index).unwrap_or(std::ptr::null())
    }

    /// Where the table is that references are in.
    pub(super) fn registry_object(&self) -> *const std::ffi::c_void {
        self.raw_registry_object(0).unwrap_or(std::ptr::null())
    }

    /// Where an object is, to tell it from others.
    pub(super) fn address(&self, index: i32) -> usize {
        self.raw_pointer(index).map_or(0, |pointer| pointer.addr())
    }

    pub(super) fn push_nil(&mut self) {
        self.raw_push_nil();
    }

    pub(super) fn push_boolean(&mut self, boolean: bool) {
        self.raw_push_boolean(boolean);
    }

    #[inline]
    pub(super) fn push_number(&mut self, number: f64) {
        self.raw_push_number(number);
    }

    pub(super) fn push_vector(&mut self, [x, y, z]: [f32; 3]) {
        self.raw_push_vector(x, y, z);
    }

    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.raw_push_bytes(bytes);
    }

    pub(super) fn push_buffer(&mut self, bytes: &[u8]) {
        self.push_zeros(bytes.len());
        self.write_to_buffer(-1, 0, bytes);
    }

    /// A string of a part of the string or buffer at an index, or of nothing if it does not have that.
    pub(super) fn push_part(&mut self, index: i32, part: Range<usize>) {
        self.raw_push_bytes(self.part(index, part));
    }

    fn part(&self, index: i32, part: Range<usize>) -> &[u8] {
        let bytes = self.bytes(index).or_else(|| self.buffer(index));
        bytes.and_then(|bytes| bytes.get(part)).unwrap_or_default()
    }

    /// A buffer of so many zeros.
    pub(super) fn push_zeros(&mut self, bytes: usize) {
        self.raw_push_buffer(bytes);
    }

    /// Writes bytes into the buffer at an index, if it has room for them there.
    pub(super) fn write_to_buffer(&mut self, buffer: i32, at: usize, bytes: &[u8]) {
        self.copy_into_buffer(buffer, at, bytes);
    }

    /// The same with bytes that may be of that buffer.
    fn copy_into_buffer(&mut self, buffer: i32, at: usize, bytes: *const [u8]) {
        if let Some(place) = self.place_in_buffer(buffer, at, bytes.len()) {
            // SAFETY: it has so many bytes there, and so have those, which our callers have borrowed or just looked up.
            unsafe { place.copy_from(bytes.cast(), bytes.len()) }
        }
    }

    /// The same with a part of a string or a buffer.
    pub(super) fn copy_to_buffer(&mut self, source: i32, part: Range<usize>, buffer: i32, at: usize) {
        let part: *const [u8] = self.part(source, part);
        self.copy_into_buffer(buffer, at, part);
    }

    /// Where so many bytes of a buffer are.
    fn place_in_buffer(&self, buffer: i32, at: usize, bytes: usize) -> Option<*mut u8> {
        let mut length = 0;
        let data = self.raw_buffer(buffer, &mut length)?.cast::<u8>();
        (!data.is_null() && at.checked_add(bytes)? <= length).then(|| data.wrapping_add(at))
    }

    /// Pushes the bits of an entity, as a value of its own: no number is one.
    #[inline]
    pub(super) fn push_entity(&mut self, bits: u64) {
        const { assert!(usize::BITS == u64::BITS, "an entity takes the place of an address") };
        self.push_address(ptr::without_provenance::<()>(bits as usize), Tag::Entity);
    }

    /// Pushes an address, and what it is.
    pub(super) fn push_address<T>(&mut self, address: *const T, tag: Tag) {
        self.raw_push_address(address.cast_mut().cast(), tag);
    }

    /// Throws the value on top as an error.
    pub(super) fn throw_top(&mut self) -> ! {
        if self.top() == 0 {
            self.push_nil();
        }
        self.raw_throw()
    }

    /// Throws a text as an error, however full the stack is.
    pub(super) fn throw_text(&mut self, text: &CStr) -> ! {
        self.raw_reserve(1);
        self.raw_push_bytes(text.to_bytes());
        self.raw_throw()
    }

    /// A copy of a value, nil if there is none.
    pub(super) fn push_value(&mut self, index: i32) {
        self.raw_push_value(index).unwrap_or_else(|| self.push_nil());
    }

    /// Makes room for so many values. `false` if there is no memory. Whatever pushes makes room by itself, or throws.
    pub(super) fn has_room(&mut self, values: u16) -> bool {
        self.raw_make_room(values) != 0
    }

    /// Takes values off.
    #[inline]
    pub(super) fn pop(&mut self, values: u32) {
        let top = self.top().saturating_sub_unsigned(values);
        self.resize(top);
    }

    /// Leaves so many values: takes off those above, or adds nil.
    #[inline]
    pub(super) fn resize(&mut self, top: i32) {
        self.raw_resize(top);
    }

    /// Moves the topmost value to where another is, which moves up with those above it.
    pub(super) fn insert(&mut self, index: i32) {
        self.raw_insert(index);
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, index: i32) {
        self.raw_remove(index);
    }

    /// Moves the topmost value to where another is, which is lost.
    pub(super) fn replace(&mut self, index: i32) {
        self.raw_replace(index);
    }

    /// Pushes a copy of a value on the stack of another thread of the same state, which must have room. To one of another
    /// state it copies nothing.
    pub(super) fn copy_to(&self, other: &mut Stack<'_>, index: i32) {
        if let Some(index) = self.taken(index)
            && self.main_address() == other.main_address()
        {
            // SAFETY: there is a value, and both threads are of one state. Luau makes room.
            unsafe { ffi::lua_xpush(self.thread, other.thread, index) }
        }
    }

    /// Moves the topmost values to another thread of the same state. To one of another state it moves nothing.
    pub(super) fn move_to(&mut self, other: &mut Stack<'_>, values: u32) {
        let values = values.cast_signed().clamp(0, self.top());
        if self.main_address() == other.main_address() {
            // SAFETY: there are so many values, and Luau makes room for them. Both threads are of one state.
            unsafe { ffi::lua_xmove(self.thread, other.thread, values) }
        }
    }
}
