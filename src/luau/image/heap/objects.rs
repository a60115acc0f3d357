//! What values are, and what they refer to.

use std::ffi::c_void;
use std::ptr::NonNull;

use mlua::ffi::lua_State;

/// An object of Luau: what values refer to, and upvalues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Object(NonNull<c_void>);

impl Object {
    pub(in super::super) fn address(self) -> usize {
        self.0.addr().get()
    }

    pub(super) fn from_pointer<T>(pointer: *const T) -> Option<Self> {
        NonNull::new(pointer.cast_mut().cast()).map(Self)
    }

    pub(super) fn pointer<T>(self) -> *mut T {
        self.0.as_ptr().cast()
    }

    /// The thread that it is.
    pub(in super::super) fn thread(self) -> *mut lua_State {
        self.pointer()
    }

    /// A thread as an object.
    pub(in super::super) fn of_thread(thread: *mut lua_State) -> Option<Self> {
        Self::from_pointer(thread)
    }
}

/// Of which type an object is, as Luau counts types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct ObjectKind(pub(in super::super) u8);

impl ObjectKind {
    pub(in super::super) const STRING: Self = Self(6);
    pub(in super::super) const TABLE: Self = Self(7);
    pub(in super::super) const FUNCTION: Self = Self(8);
    pub(in super::super) const USERDATA: Self = Self(9);
    pub(in super::super) const THREAD: Self = Self(10);
    pub(in super::super) const BUFFER: Self = Self(11);
    pub(in super::super) const UPVALUE: Self = Self(16);
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Value {
    Nil,
    Boolean(bool),
    Number(f64),
    Integer(i64),
    Vector([f32; 3]),
    /// Where a loop over a table is.
    Iterator(u32),
    /// An entity of the game.
    Entity(u64),
    /// An address that is ours, with its tag.
    Address(*mut c_void, u32),
    Object(Object, ObjectKind),
    /// A key whose object has been collected.
    DeadKey,
}

/// The code of a function (`Proto` in lobject.h), which all functions share that are made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Code(NonNull<c_void>);

impl Code {
    pub(super) fn from_pointer(pointer: *mut c_void) -> Option<Self> {
        NonNull::new(pointer).map(Self)
    }

    pub(super) fn pointer(self) -> *mut c_void {
        self.0.as_ptr()
    }
}
