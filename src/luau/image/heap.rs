//! Luau's objects as they are in memory, to be looked at. What makes and changes them is in [`make`].
//!
//! Where things are, only `heap.cpp` knows, which is compiled against Luau's own headers. It fills the structures here,
//! and checks what it has in common with them when it is compiled.

mod code;
pub(super) mod make;
mod objects;
mod raw;

use std::ffi::c_void;
use std::ptr;
use std::slice;

use mlua::ffi::lua_State;

pub(super) use code::{CodeView, Word, Words};
pub(super) use objects::{Code, Object, ObjectKind, Value};
pub(super) use raw::{Node, RawValue};

use raw::RawNode;

/// A table.
pub(super) struct TableView<'h> {
    pub(super) elements: &'h [RawValue],
    nodes: &'h [RawNode],
    pub(super) metatable: Option<Object>,
    /// What Luau knows of free nodes, or of where the elements end.
    pub(super) free: i32,
    /// The logarithm of their number, if there are any.
    pub(super) log_nodes: Option<u8>,
    pub(super) is_read_only: bool,
    pub(super) is_safe: bool,
}

impl TableView<'_> {
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node> {
        self.nodes.iter().map(RawNode::get)
    }
}

/// A function.
pub(super) struct FunctionView<'h> {
    pub(super) environment: Object,
    /// Of a script.
    pub(super) code: Option<Code>,
    /// What it is called, if it is none.
    pub(super) name: Option<Object>,
    /// Otherwise the addresses of the function and its continuation.
    pub(super) native: (usize, usize),
    pub(super) upvalues: &'h [RawValue],
}

/// A thread.
pub(super) struct ThreadView<'h> {
    /// What is in use of its stack.
    pub(super) values: &'h [RawValue],
    pub(super) globals: Object,
    pub(super) open: Option<Object>,
    pub(super) base: i32,
    pub(super) frames: i32,
    pub(super) calls: u16,
    pub(super) status: u8,
    /// Whether it runs, or has something that is not saved.
    pub(super) is_odd: bool,
    stack: *const RawValue,
}

impl ThreadView<'_> {
    /// The place of an address on its stack.
    pub(super) fn place(&self, address: *const RawValue) -> usize {
        address.addr().wrapping_sub(self.stack.addr()) / size_of::<RawValue>()
    }
}

/// A call that has not returned.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Frame {
    /// Where its function, and its first value, are on the stack, and where its values end.
    pub(super) function: i32,
    pub(super) base: i32,
    pub(super) top: i32,
    /// Where the instruction is that comes next. In a frame of a function that is no script's, the place of the handler
    /// of errors.
    pub(super) next: i32,
    pub(super) results: i32,
    pub(super) flags: u32,
    pub(super) is_script: u8,
}

/// See [`Frame::flags`]: `LUA_CALLINFO_*` in lstate.h.
pub(super) mod flags {
    pub(in super::super) const RETURN: u32 = 1;
    pub(in super::super) const HANDLE: u32 = 2;
    pub(in super::super) const LOOP: u32 = 8;
    pub(in super::super) const SYNTHETIC: u32 = 16;
}

/// An upvalue.
pub(super) struct UpvalueView {
    pub(super) value: Value,
    pub(super) address: *const RawValue,
    pub(super) is_closed: bool,
    /// The next one that is open of its thread.
    pub(super) next: Option<Object>,
}

/// The objects of a state.
#[derive(Clone, Copy)]
pub(super) struct Heap {
    main: *mut lua_State,
}

impl Heap {
    /// # Safety
    ///
    /// `main` must be the main thread of a state that [`LuauState::open`](crate::luau::LuauState::open) made, in which
    /// nothing runs and nothing is collected while this is used. The objects that it is given must be objects of that
    /// state which have not been collected.
    pub(super) unsafe fn new(main: *mut lua_State) -> Self {
        Self { main }
    }

    pub(super) fn kind(&self, object: Object) -> ObjectKind {
        // SAFETY: by the contract of `new` it is an object.
        ObjectKind(unsafe { luau_os_image_kind(object.pointer()) })
    }

    /// Asserts that an object is of a kind: what is asked of it is only there in such a one.
    fn expect(&self, object: Object, kind: ObjectKind) {
        let found = self.kind(object);
        assert!(found == kind, "an object of type {} is taken for one of type {}", found.0, kind.0);
    }

    /// The bytes of a string.
    pub(super) fn string(&self, object: Object) -> &[u8] {
        self.expect(object, ObjectKind::STRING);
        let mut length = 0;
        // SAFETY: it is a string.
        let bytes = unsafe { luau_os_image_string(object.pointer(), &raw mut length) };
        // SAFETY: a string has so many bytes there, and keeps them.
        unsafe { slice::from_raw_parts(bytes, length) }
    }

    /// The bytes of a buffer.
    pub(super) fn buffer(&self, object: Object) -> &[u8] {
        self.expect(object, ObjectKind::BUFFER);
        let mut length = 0;
        // SAFETY: it is a buffer.
        let bytes = unsafe { luau_os_image_buffer(object.pointer(), &raw mut length) };
        // SAFETY: a buffer has so many bytes there. Nothing runs that could change them.
        unsafe { slice::from_raw_parts(bytes, length) }
    }

    /// The metatable of a userdata, and whether a script has made it.
    pub(super) fn userdata(&self, object: Object) -> (Option<Object>, bool) {
        self.expect(object, ObjectKind::USERDATA);
        let mut is_proxy = 0;
        // SAFETY: it is a userdata.
        let metatable = unsafe { luau_os_image_userdata(object.pointer(), &raw mut is_proxy) };
        (Object::from_pointer(metatable), is_proxy != 0)
    }

    pub(super) fn table(&self, object: Object) -> TableView<'_> {
        self.expect(object, ObjectKind::TABLE);
        let mut raw = RawTable::default();
        // SAFETY: it is a table.
        unsafe { luau_os_image_table(object.pointer(), &raw mut raw) };
        let nodes = if raw.has_nodes == 0 { 0 } else { 1usize << raw.log_nodes };
        TableView {
            elements: self.values(raw.elements, raw.element_count as usize),
            // SAFETY: a table has so many nodes there. Nothing runs that could change them.
            nodes: unsafe { parts(raw.nodes, nodes) },
            metatable: Object::from_pointer(raw.metatable),
            free: raw.free,
            log_nodes: (raw.has_nodes != 0).then_some(raw.log_nodes),
            is_read_only: raw.is_read_only != 0,
            is_safe: raw.is_safe != 0,
        }
    }

    /// Values that an object of this heap has at an address.
    fn values(&self, values: *const RawValue, count: usize) -> &[RawValue] {
        // SAFETY: `heap.cpp` says so, and nothing runs that could change them.
        unsafe { parts(values, count) }
    }

    pub(super) fn function(&self, object: Object) -> FunctionView<'_> {
        self.expect(object, ObjectKind::FUNCTION);
        let mut raw = RawFunction::default();
        // SAFETY: it is a function.
        unsafe { luau_os_image_function(object.pointer(), &raw mut raw) };
        FunctionView {
            environment: Object::from_pointer(raw.environment).expect("every function has an environment"),
            code: Code::from_pointer(raw.code),
            name: Object::from_pointer(raw.name),
            native: (raw.native.addr(), raw.continuation.addr()),
            upvalues: self.values(raw.upvalues, raw.upvalue_count.into()),
        }
    }

    pub(super) fn thread(&self, object: Object) -> ThreadView<'_> {
        self.expect(object, ObjectKind::THREAD);
        let raw = self.raw_thread(object);
        ThreadView {
            values: self.values(raw.stack, raw.top as usize),
            globals: Object::from_pointer(raw.globals).expect("every thread has globals"),
            open: Object::from_pointer(raw.open),
            base: raw.base,
            frames: raw.frames,
            calls: raw.calls,
            status: raw.status,
            is_odd: raw.is_active != 0 || !raw.finalizers.is_null(),
            stack: raw.stack,
        }
    }

    fn raw_thread(&self, object: Object) -> RawThread {
        let mut raw = RawThread::default();
        // SAFETY: it is a thread.
        unsafe { luau_os_image_thread(object.pointer(), &raw mut raw) };
        raw
    }

    /// A frame of a thread, but for the first.
    pub(super) fn frame(&self, object: Object, index: i32) -> Frame {
        self.expect(object, ObjectKind::THREAD);
        assert!((1..self.raw_thread(object).frames).contains(&index), "there is no frame {index}");
        let mut frame = Frame::default();
        // SAFETY: it is a thread that has this frame.
        unsafe { luau_os_image_frame(object.pointer(), index, &raw mut frame) };
        frame
    }

    pub(super) fn upvalue(&self, object: Object) -> UpvalueView {
        self.expect(object, ObjectKind::UPVALUE);
        let mut raw = RawUpvalue { value: ptr::null_mut(), next: ptr::null_mut(), is_open: 0 };
        // SAFETY: it is an upvalue.
        unsafe { luau_os_image_upvalue(object.pointer(), &raw mut raw) };
        // SAFETY: an upvalue has its value there: its own, or one on the stack of a thread that lives.
        let value = unsafe { &*raw.value }.get();
        let is_closed = raw.is_open == 0;
        UpvalueView { value, address: raw.value, is_closed, next: Object::from_pointer(raw.next) }
    }

    /// The value at an index of the main thread's stack, where there must be one.
    pub(super) fn at(&self, index: i32) -> Value {
        // SAFETY: Luau gives the address of a value, or of a nil, for any index that is taken.
        let value = unsafe { luau_os_image_at(self.main, index) };
        // SAFETY: see above.
        unsafe { &*value }.get()
    }

    /// Asserts that the whole heap is sound, where Luau is compiled with assertions.
    #[cfg(test)]
    pub(super) fn validate(&self) {
        // SAFETY: by the contract of `new`.
        unsafe { luau_os_image_validate(self.main) }
    }
}

/// # Safety
///
/// If `count` is not 0, there must be so many for as long as they are used.
unsafe fn parts<'h, T>(first: *const T, count: usize) -> &'h [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: by the contract.
    unsafe { slice::from_raw_parts(first, count) }
}

/// Structures that `heap.cpp` fills, which has them under the same names with `Image` instead of `Raw`.
#[repr(C)]
struct RawTable {
    elements: *const RawValue,
    nodes: *const RawNode,
    metatable: *mut c_void,
    element_count: i32,
    free: i32,
    log_nodes: u8,
    has_nodes: u8,
    is_read_only: u8,
    is_safe: u8,
}

#[repr(C)]
struct RawFunction {
    environment: *mut c_void,
    code: *mut c_void,
    native: *mut c_void,
    continuation: *mut c_void,
    name: *mut c_void,
    upvalues: *const RawValue,
    is_native: u8,
    upvalue_count: u8,
}

#[repr(C)]
struct RawThread {
    stack: *const RawValue,
    globals: *mut c_void,
    open: *mut c_void,
    finalizers: *mut c_void,
    top: i32,
    base: i32,
    frames: i32,
    size: i32,
    calls: u16,
    status: u8,
    is_active: u8,
}

#[repr(C)]
struct RawUpvalue {
    value: *mut RawValue,
    next: *mut c_void,
    is_open: u8,
}

macro_rules! empty {
    ($($name:ident { $($pointer:ident),*; $($number:ident),* })*) => {$(
        impl Default for $name {
            fn default() -> Self {
                Self { $($pointer: ptr::null_mut(),)* $($number: 0,)* }
            }
        }
    )*};
}

empty! {
    RawTable { elements, nodes, metatable; element_count, free, log_nodes, has_nodes, is_read_only, is_safe }
    RawFunction { environment, code, native, continuation, name, upvalues; is_native, upvalue_count }
    RawThread { stack, globals, open, finalizers; top, base, frames, size, calls, status, is_active }
}

unsafe extern "C-unwind" {
    fn luau_os_image_kind(object: *const c_void) -> u8;
    fn luau_os_image_string(string: *const c_void, length: *mut usize) -> *const u8;
    fn luau_os_image_buffer(buffer: *mut c_void, length: *mut usize) -> *mut u8;
    fn luau_os_image_userdata(userdata: *const c_void, is_proxy: *mut u8) -> *mut c_void;
    fn luau_os_image_table(table: *const c_void, out: *mut RawTable);
    fn luau_os_image_function(function: *mut c_void, out: *mut RawFunction);
    fn luau_os_image_thread(thread: *mut lua_State, out: *mut RawThread);
    fn luau_os_image_frame(thread: *mut lua_State, index: i32, out: *mut Frame);
    fn luau_os_image_upvalue(upvalue: *mut c_void, out: *mut RawUpvalue);
    fn luau_os_image_at(thread: *mut lua_State, index: i32) -> *const RawValue;
    #[cfg(test)]
    fn luau_os_image_validate(thread: *mut lua_State);
}
