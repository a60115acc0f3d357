//! Making objects, and putting values into them.
//!
//! New objects are no garbage as long as nothing is collected. They are white, so nothing has to be told to the collector
//! when they get values.

use std::ffi::c_void;
use std::ptr;

use mlua::ffi::lua_State;

use super::raw::RawNode;
use super::{Code, Frame, Heap, Node, Object, ObjectKind, RawThread, RawValue, Value};

/// A thread that is new.
pub(in super::super) struct NewThread {
    pub(in super::super) globals: Object,
    pub(in super::super) top: i32,
    pub(in super::super) base: i32,
    pub(in super::super) calls: u16,
    pub(in super::super) status: u8,
}

fn object<T>(pointer: *mut T) -> Object {
    Object::from_pointer(pointer).expect("Luau throws where it cannot make an object")
}

/// Of all of these: what they make is charged to the memory category of the main thread.
impl Heap {
    pub(in super::super) fn new_string(&self, bytes: &[u8]) -> Object {
        // SAFETY: Luau copies so many bytes.
        object(unsafe { luau_os_image_new_string(self.main, bytes.as_ptr(), bytes.len()) })
    }

    pub(in super::super) fn new_buffer(&self, bytes: &[u8]) -> Object {
        // SAFETY: Luau throws if it is too long.
        let buffer = object(unsafe { luau_os_image_new_buffer(self.main, bytes.len()) });
        let mut length = 0;
        // SAFETY: it is a buffer.
        let data = unsafe { super::luau_os_image_buffer(buffer.pointer(), &raw mut length) };
        assert!(length == bytes.len(), "it has the length that was asked for");
        // SAFETY: it has so many bytes, and nobody else has it.
        unsafe { data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        buffer
    }

    pub(in super::super) fn new_userdata(&self) -> Object {
        // SAFETY: it has no bytes.
        object(unsafe { luau_os_image_new_userdata(self.main) })
    }

    pub(in super::super) fn set_metatable(&self, userdata: Object, metatable: Option<Object>) {
        self.expect(userdata, ObjectKind::USERDATA);
        metatable.into_iter().for_each(|metatable| self.expect(metatable, ObjectKind::TABLE));
        // SAFETY: it is a userdata, and a table or null.
        unsafe { luau_os_image_set_metatable(userdata.pointer(), pointer(metatable)) }
    }

    /// A table of nils, with so many elements and nodes. Of nodes, the next power of two.
    pub(in super::super) fn new_table(&self, elements: usize, nodes: usize) -> Object {
        let [elements, nodes] = [elements, nodes].map(|count| i32::try_from(count).unwrap_or(i32::MAX));
        // SAFETY: Luau throws where there are too many.
        object(unsafe { luau_os_image_new_table(self.main, elements, nodes) })
    }

    /// Sets an element of a new table, counted from 0.
    pub(in super::super) fn set_element(&self, table: Object, index: usize, value: Value) {
        let elements = self.table(table).elements;
        assert!(index < elements.len(), "there is no element {index}");
        let elements = elements.as_ptr().cast_mut();
        // SAFETY: there are so many, and nobody else uses the table.
        unsafe { elements.wrapping_add(index).write(RawValue::new(value)) }
    }

    /// Sets a node of a new table.
    pub(in super::super) fn set_node(&self, table: Object, index: usize, node: Node) {
        let nodes = self.table(table).nodes;
        assert!(index < nodes.len(), "there is no node {index}");
        let nodes: *mut RawNode = nodes.as_ptr().cast_mut();
        // SAFETY: as above.
        unsafe { nodes.wrapping_add(index).write(RawNode::new(node)) }
    }

    pub(in super::super) fn freeze(&self, table: Object) {
        self.expect(table, ObjectKind::TABLE);
        // SAFETY: it is a table.
        unsafe { luau_os_image_freeze(self.main, table.pointer()) }
    }

    /// Whether a table finds a key in a node of its own. Chains of nodes must end.
    pub(in super::super) fn finds_in_node(&self, table: Object, index: usize, key: Value) -> bool {
        let found = self.find(table, key);
        let node = self.table(table).nodes.get(index).map(ptr::from_ref);
        node.is_some_and(|node| found.addr() == node.addr()) // which begins with its value
    }

    /// Whether a table has anything for a key.
    pub(in super::super) fn has(&self, table: Object, key: Value) -> bool {
        // SAFETY: it is the address of a value, of the table or of nil.
        unsafe { &*self.find(table, key) }.get() != Value::Nil
    }

    fn find(&self, table: Object, key: Value) -> *const RawValue {
        self.expect(table, ObjectKind::TABLE);
        let key = RawValue::new(key);
        // SAFETY: it is a table, and a value.
        unsafe { luau_os_image_get(table.pointer(), &raw const key) }
    }

    /// Sets an entry of a new table. The key must be neither nil nor NaN.
    pub(in super::super) fn set_entry(&self, table: Object, key: Value, value: Value) {
        self.expect(table, ObjectKind::TABLE);
        let key = RawValue::new(key);
        // SAFETY: it is a table, and a value. Luau throws if that cannot be a key.
        let slot = unsafe { luau_os_image_set(self.main, table.pointer(), &raw const key) };
        // SAFETY: it is a place of the table.
        unsafe { slot.write(RawValue::new(value)) }
    }

    /// The rest of a new table, whose elements and nodes are there.
    ///
    /// # Safety
    ///
    /// `free` must be at most the number of its nodes, or if it has none, 0 or minus a number of elements.
    pub(in super::super) unsafe fn finish_table(
        &self,
        table: Object,
        metatable: Option<Object>,
        free: Option<i32>,
        [is_read_only, is_safe]: [bool; 2],
    ) {
        metatable.into_iter().for_each(|metatable| self.expect(metatable, ObjectKind::TABLE));
        let free = free.unwrap_or(self.table(table).free);
        let flags = (is_read_only.into(), is_safe.into());
        // SAFETY: it is a table, and a table or null. The rest by the contract.
        unsafe {
            luau_os_image_finish_table(
                self.main,
                table.pointer(),
                pointer(metatable),
                free,
                flags.0,
                flags.1,
            );
        }
    }

    /// A function of a script, whose upvalues are nil.
    pub(in super::super) fn new_function(&self, code: Code, environment: Object) -> Object {
        self.expect(environment, ObjectKind::TABLE);
        // SAFETY: they are code and a table.
        object(unsafe { luau_os_image_new_function(self.main, code.pointer(), environment.pointer()) })
    }

    /// A function that is not a script's.
    ///
    /// # Safety
    ///
    /// The addresses must be those of such a function and its continuation, and the upvalues those that it assumes before
    /// it is called.
    pub(in super::super) unsafe fn new_native(
        &self,
        upvalues: u8,
        environment: Object,
        (function, continuation): (usize, usize),
        name: Option<Object>,
    ) -> Object {
        self.expect(environment, ObjectKind::TABLE);
        name.into_iter().for_each(|name| self.expect(name, ObjectKind::STRING));
        let [function, continuation] =
            [function, continuation].map(ptr::with_exposed_provenance_mut::<c_void>);
        // SAFETY: by the contract, and they are a table, and a string or null.
        object(unsafe {
            luau_os_image_new_native(
                self.main,
                upvalues.into(),
                environment.pointer(),
                function,
                continuation,
                pointer(name),
            )
        })
    }

    pub(in super::super) fn set_environment(&self, function: Object, environment: Object) {
        self.expect(function, ObjectKind::FUNCTION);
        self.expect(environment, ObjectKind::TABLE);
        // SAFETY: they are a function and a table.
        unsafe { luau_os_image_set_environment(function.pointer(), environment.pointer()) }
    }

    /// Sets an upvalue of a new function, counted from 0: a value, or an upvalue as an object.
    pub(in super::super) fn set_upvalue(&self, function: Object, index: usize, value: Value) {
        let upvalues = self.function(function).upvalues;
        assert!(index < upvalues.len(), "there is no upvalue {index}");
        let upvalues = upvalues.as_ptr().cast_mut();
        // SAFETY: there are so many, and nobody else uses the function.
        unsafe { upvalues.wrapping_add(index).write(RawValue::new(value)) }
    }

    /// A closed upvalue.
    pub(in super::super) fn new_upvalue(&self) -> Object {
        // SAFETY: nothing is asked for.
        object(unsafe { luau_os_image_new_upvalue(self.main) })
    }

    /// Whether its value is its own, and not on a stack.
    pub(in super::super) fn is_closed(&self, upvalue: Object) -> bool {
        self.upvalue(upvalue).is_closed
    }

    /// The value of a new one.
    pub(in super::super) fn set_upvalue_value(&self, upvalue: Object, value: Value) {
        self.expect(upvalue, ObjectKind::UPVALUE);
        // SAFETY: it is an upvalue.
        let place = unsafe { luau_os_image_upvalue_value(upvalue.pointer()) };
        // SAFETY: that is where its value is.
        unsafe { place.write(RawValue::new(value)) }
    }

    /// A thread with room for so many values and frames.
    pub(in super::super) fn new_thread(&self, values: usize, frames: usize) -> Object {
        let [values, frames] = [values, frames].map(|count| i32::try_from(count).unwrap_or(i32::MAX));
        // SAFETY: Luau throws where there are too many.
        object(unsafe { luau_os_image_new_thread(self.main, values, frames) })
    }

    /// The open upvalue of a place on the stack of a new thread.
    pub(in super::super) fn open_upvalue(&self, thread: Object, place: usize) -> Object {
        self.expect_place(thread, place);
        // SAFETY: it is a thread with such a place.
        object(unsafe { luau_os_image_open_upvalue(thread.pointer(), place as i32) })
    }

    fn expect_place(&self, thread: Object, place: usize) {
        self.expect(thread, ObjectKind::THREAD);
        assert!(place < self.raw_thread(thread).size as usize, "the stack has no place {place}");
    }

    /// Sets a value on the stack of a new thread.
    pub(in super::super) fn set_stack(&self, thread: Object, place: usize, value: Value) {
        self.expect_place(thread, place);
        // SAFETY: it is a thread.
        let stack = unsafe { luau_os_image_stack(thread.pointer()) };
        // SAFETY: it has such a place.
        unsafe { stack.wrapping_add(place).write(RawValue::new(value)) }
    }

    /// Sets a frame of a new thread, but for the first.
    ///
    /// # Safety
    ///
    /// The thread must have been made with so many frames and values, and its stack must have a function where the frame
    /// says. The rest must be as Luau leaves it.
    pub(in super::super) unsafe fn set_frame(&self, thread: Object, index: usize, frame: &Frame) {
        self.expect(thread, ObjectKind::THREAD);
        // SAFETY: by the contract.
        unsafe { luau_os_image_set_frame(thread.pointer(), index as i32, frame) }
    }

    /// The rest of a new thread, with so many frames, the first included.
    ///
    /// # Safety
    ///
    /// All frames must have been set. The rest must be as Luau leaves it.
    pub(in super::super) unsafe fn finish_thread(&self, thread: Object, frames: usize, rest: &NewThread) {
        self.expect(thread, ObjectKind::THREAD);
        self.expect(rest.globals, ObjectKind::TABLE);
        let raw = RawThread {
            globals: rest.globals.pointer(),
            top: rest.top,
            base: rest.base,
            frames: frames as i32,
            calls: rest.calls,
            status: rest.status,
            ..RawThread::default()
        };
        // SAFETY: by the contract.
        unsafe { luau_os_image_finish_thread(thread.pointer(), &raw const raw) }
    }

    /// Pushes a value on the stack of the main thread, which must have room.
    pub(in super::super) fn push(&self, value: Value) {
        let value = RawValue::new(value);
        // SAFETY: between protected calls and at their beginning there is room, for which the caller sees.
        unsafe { luau_os_image_push(self.main, &raw const value) }
    }
}

fn pointer(object: Option<Object>) -> *mut c_void {
    object.map_or(ptr::null_mut(), Object::pointer)
}

unsafe extern "C-unwind" {
    fn luau_os_image_new_string(main: *mut lua_State, bytes: *const u8, length: usize) -> *mut c_void;
    fn luau_os_image_new_buffer(main: *mut lua_State, length: usize) -> *mut c_void;
    fn luau_os_image_new_userdata(main: *mut lua_State) -> *mut c_void;
    fn luau_os_image_set_metatable(userdata: *mut c_void, metatable: *mut c_void);
    fn luau_os_image_new_table(main: *mut lua_State, elements: i32, nodes: i32) -> *mut c_void;
    fn luau_os_image_finish_table(
        main: *mut lua_State,
        table: *mut c_void,
        metatable: *mut c_void,
        free: i32,
        is_read_only: u8,
        is_safe: u8,
    );
    fn luau_os_image_freeze(main: *mut lua_State, table: *mut c_void);
    fn luau_os_image_get(table: *mut c_void, key: *const RawValue) -> *const RawValue;
    fn luau_os_image_set(main: *mut lua_State, table: *mut c_void, key: *const RawValue) -> *mut RawValue;
    fn luau_os_image_new_function(
        main: *mut lua_State,
        code: *mut c_void,
        environment: *mut c_void,
    ) -> *mut c_void;
    fn luau_os_image_new_native(
        main: *mut lua_State,
        upvalues: i32,
        environment: *mut c_void,
        function: *mut c_void,
        continuation: *mut c_void,
        name: *mut c_void,
    ) -> *mut c_void;
    fn luau_os_image_set_environment(function: *mut c_void, environment: *mut c_void);
    fn luau_os_image_new_upvalue(main: *mut lua_State) -> *mut c_void;
    fn luau_os_image_upvalue_value(upvalue: *mut c_void) -> *mut RawValue;
    fn luau_os_image_new_thread(main: *mut lua_State, values: i32, frames: i32) -> *mut lua_State;
    fn luau_os_image_open_upvalue(thread: *mut lua_State, place: i32) -> *mut c_void;
    fn luau_os_image_stack(thread: *mut lua_State) -> *mut RawValue;
    fn luau_os_image_set_frame(thread: *mut lua_State, index: i32, from: *const Frame);
    fn luau_os_image_finish_thread(thread: *mut lua_State, from: *const RawThread);
    fn luau_os_image_push(main: *mut lua_State, value: *const RawValue);
}
