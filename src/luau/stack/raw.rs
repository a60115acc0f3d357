//! Luau's functions, in classes by what they demand. Each class is proven once.

use std::ffi::{CStr, c_char, c_int, c_void};

use mlua::ffi::{self, lua_State};

use super::{Kind, Stack, Tag};

/// The globals of a thread, as an index.
const GLOBALS: c_int = ffi::LUA_GLOBALSINDEX;

/// If this does not compile, a crate in the graph enables mlua's feature `luau-vector4`. Vectors have three lanes here.
const MLUA_FEATURE_LUAU_VECTOR4_IS_NOT_SUPPORTED: unsafe extern "C-unwind" fn(*mut lua_State, f32, f32, f32) =
    ffi::lua_pushvector;
const _: unsafe extern "C-unwind" fn(*mut lua_State, f32, f32, f32) =
    MLUA_FEATURE_LUAU_VECTOR4_IS_NOT_SUPPORTED;

/// Nothing handles the errors of a call.
pub(super) struct NoHandler;

/// Arguments that Luau may be given whatever they are.
trait Argument {
    type Raw;

    fn raw(self) -> Self::Raw;
}

macro_rules! arguments {
    ($($type:ty => $raw:ty, $argument:ident: $conversion:expr;)*) => {$(
        impl Argument for $type {
            type Raw = $raw;

            #[inline(always)]
            fn raw(self) -> $raw {
                let $argument = self;
                $conversion
            }
        }
    )*};
}

arguments! {
    bool => c_int, boolean: boolean.into();
    u8 => c_int, number: number.into();
    u16 => c_int, number: number.into();
    c_int => c_int, number: number;
    u64 => u64, number: number;
    usize => usize, number: number;
    f32 => f32, number: number;
    f64 => f64, number: number;
    &CStr => *const c_char, text: text.as_ptr();
    &mut c_int => *mut c_int, place: place;
    &mut usize => *mut usize, place: place;
    *mut c_void => *mut c_void, address: address;
    Tag => c_int, tag: tag as c_int;
    NoHandler => c_int, _nothing: 0;
    Kind => c_int, kind: kind.0;
}

/// Functions that can be called on any live thread.
macro_rules! on_any_thread {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty = $function:ident;)*) => {
        impl Stack<'_> {$(
            #[inline]
            pub(super) fn $name(&self $(, $argument: $type)*) -> $result {
                // SAFETY: by the contract of `Stack::new` the thread is live and its stack ours to change. Luau makes room
                // for what it pushes, or throws. It takes any arguments of these types.
                unsafe { ffi::$function(self.thread $(, $argument.raw())*) }
            }
        )*}
    };
}

/// Functions that demand an index that passes a check. They are not called where it does not.
macro_rules! at_an_index {
    ($check:ident: $($name:ident($($argument:ident: $type:ty),*) -> $result:ty = $function:ident;)*) => {
        impl Stack<'_> {$(
            #[inline]
            pub(super) fn $name(&self, index: i32 $(, $argument: $type)*) -> Option<$result> {
                let index = self.$check(index)?;
                // SAFETY: as for `on_any_thread`, and at the index is what the function demands.
                Some(unsafe { ffi::$function(self.thread, index $(, $argument.raw())*) })
            }
        )*}
    };
}

/// The same with two indices.
macro_rules! at_two_indices {
    ($check:ident: $($name:ident = $function:ident;)*) => {
        impl Stack<'_> {$(
            #[inline]
            pub(super) fn $name(&self, a: i32, b: i32) -> bool {
                let (Some(a), Some(b)) = (self.$check(a), self.$check(b)) else { return false };
                // SAFETY: as for `at_an_index`.
                unsafe { ffi::$function(self.thread, a, b) != 0 }
            }
        )*}
    };
}

on_any_thread! {
    raw_top() -> c_int = lua_gettop;
    raw_push_nil() -> () = lua_pushnil;
    raw_push_boolean(boolean: bool) -> () = lua_pushboolean;
    raw_push_number(number: f64) -> () = lua_pushnumber;
    raw_push_vector(x: f32, y: f32, z: f32) -> () = lua_pushvector;
    raw_push_buffer(bytes: usize) -> *mut c_void = lua_newbuffer;
    raw_push_table(elements: c_int, entries: c_int) -> () = lua_createtable;
    raw_push_thread() -> *mut lua_State = lua_newthread;
    raw_push_own_thread() -> c_int = lua_pushthread;
    raw_push_position(level: u16) -> () = luaL_where;
    raw_main_thread() -> *mut lua_State = lua_mainthread;
    raw_depth() -> c_int = lua_stackdepth;
    raw_status() -> c_int = lua_status;
    raw_make_room(values: u16) -> c_int = lua_checkstack;
    raw_callbacks() -> *mut ffi::lua_Callbacks = lua_callbacks;
    raw_total_bytes(category: c_int) -> usize = lua_totalbytes;
    raw_open_libraries() -> () = luaL_openlibs;
    raw_open_integer_library() -> c_int = luaopen_integer;
    raw_set_memory_category(category: u8) -> () = lua_setmemcat;
    raw_push_address(address: *mut c_void, tag: Tag) -> () = lua_pushlightuserdatatagged;
    raw_name_light_userdata(tag: Tag, name: &CStr) -> () = lua_setlightuserdataname;
    raw_kind_name(kind: Kind) -> *const c_char = lua_typename;
    raw_reserve(values: u16) -> () = lua_rawcheckstack;
    raw_throw() -> ! = lua_error;
    raw_set_pointer_keys(a: u64, b: u64, c: u64, d: u64) -> () = lua_setpointerencodekey;
}

// Where Luau looks by itself whether there is a value, and of which type.
at_an_index! { valid:
    raw_type() -> c_int = lua_type;
    raw_boolean() -> c_int = lua_toboolean;
    raw_number(is_number: &mut c_int) -> f64 = lua_tonumberx;
    raw_integer(is_number: &mut c_int) -> c_int = lua_tointegerx_;
    raw_vector() -> *const f32 = lua_tovector;
    raw_string(length: &mut usize) -> *const c_char = lua_tolstring;
    raw_buffer(length: &mut usize) -> *mut c_void = lua_tobuffer;
    raw_length() -> c_int = lua_objlen_;
    raw_pointer() -> *const c_void = lua_topointer;
    raw_userdata() -> *mut c_void = lua_touserdata;
    raw_light_userdata(tag: Tag) -> *mut c_void = lua_tolightuserdatatagged;
    raw_thread() -> *mut lua_State = lua_tothread;
    raw_is_script_function() -> c_int = lua_isLfunction;
    raw_push_value() -> () = lua_pushvalue;
    raw_push_metatable() -> c_int = lua_getmetatable;
}

at_two_indices! { valid:
    raw_equals = lua_rawequal;
}

// Where there must be values.
at_two_indices! { taken:
    raw_compare_less = lua_lessthan;
}

// Where there must be a value.
at_an_index! { taken:
    raw_insert() -> () = lua_insert;
    raw_remove() -> () = lua_remove;
    raw_replace() -> () = lua_replace;
    raw_push_environment() -> () = lua_getfenv;
    raw_push_upvalue(number: c_int) -> *const c_char = lua_getupvalue;
    raw_push_text(length: &mut usize) -> *const c_char = luaL_tolstring_;
    raw_refer() -> c_int = lua_ref;
}

// Where there must be a table. For `raw_get` the key, which is replaced, can be the table itself.
at_an_index! { table:
    raw_get_value() -> c_int = lua_rawget;
    raw_get_integer(element: c_int) -> c_int = lua_rawgeti_;
    raw_get_string(name: &CStr) -> c_int = lua_rawgetfield;
    raw_is_read_only() -> c_int = lua_getreadonly;
    raw_set_safe(is_safe: bool) -> () = lua_setsafeenv;
    raw_next(from: c_int) -> c_int = lua_rawiter;
}

// Where there must be a table, and a value on top to be put there. Luau refuses keys that are nil and tables that are frozen.
at_an_index! { table_for_value:
    raw_set_integer(element: c_int) -> () = lua_rawseti_;
    raw_set_string(name: &CStr) -> () = lua_rawsetfield;
}

// The same with its key below.
at_an_index! { table_for_entry:
    raw_set_value() -> () = lua_rawset;
}

// The globals of the thread, which it always has.
at_an_index! { globals:
    raw_push_globals() -> () = lua_pushvalue;
}

// The same, where there must be a table on top to take their place.
at_an_index! { globals_for_table:
    raw_set_globals() -> () = lua_replace;
}

// In the registry, which is always a table.
at_an_index! { registry:
    raw_push_reference(reference: c_int) -> c_int = lua_rawgeti_;
    raw_push_registered(name: &CStr) -> c_int = lua_rawgetfield;
    raw_registry_object() -> *const c_void = lua_topointer;
}
at_an_index! { registry_for_value:
    raw_register(name: &CStr) -> () = lua_rawsetfield;
}

// Where there must be a table, and one on top.
at_an_index! { table_for_table:
    raw_set_metatable() -> c_int = lua_setmetatable;
}

// Where there must be a value that is no table, for all of whose type the table on top is meant.
at_an_index! { no_table_for_table:
    raw_set_type_metatable() -> c_int = lua_setmetatable;
}

// Not an index, but a number that the registry must keep something under.
at_an_index! { kept:
    raw_release() -> c_int = lua_unref;
}

// So many values, which there must be. Luau throws if they cannot be concatenated.
at_an_index! { at_most:
    raw_concat() -> () = lua_concat;
}

// So many values, with one below them, on a thread that does not wait to be resumed. Luau throws if that cannot be
// called, and makes room for the results. Code that runs now gets the thread's stack as its own, above ours.
at_an_index! { callable:
    raw_call(results: u16) -> () = lua_call;
    raw_try_call(results: u16, handler: NoHandler) -> c_int = lua_pcall;
}

// Not an index, but how many values there are to be.
at_an_index! { height:
    raw_resize() -> () = lua_settop;
}

// Where there must be a function of a script.
at_an_index! { script_function:
    raw_push_clone() -> () = lua_clonefunction;
}

impl Stack<'_> {
    /// An index that Luau may be asked for. It looks by itself whether there is a value at one of the first twenty, for
    /// which every function has room.
    #[inline]
    pub(super) fn valid(&self, index: i32) -> Option<c_int> {
        if (1..=ffi::LUA_MINSTACK).contains(&index) { Some(index) } else { self.taken(index) }
    }

    /// Pushes a string. It may be a part of one on the stack, which keeps that until Luau has copied it.
    #[inline]
    pub(super) fn raw_push_bytes(&self, bytes: &[u8]) {
        // SAFETY: as for `on_any_thread`; Luau copies so many bytes.
        unsafe { ffi::lua_pushlstring_(self.thread, bytes.as_ptr().cast(), bytes.len()) }
    }

    /// An index where there is a value.
    #[inline]
    pub(super) fn taken(&self, index: i32) -> Option<c_int> {
        (index != 0 && index.saturating_abs() <= self.raw_top()).then_some(index)
    }

    /// An index where there is a table.
    #[inline]
    fn table(&self, index: i32) -> Option<c_int> {
        (self.raw_type(index) == Some(ffi::LUA_TTABLE)).then_some(index)
    }

    /// How many values there are to be. Luau makes room for more.
    #[inline]
    fn height(&self, top: i32) -> Option<c_int> {
        Some(top.max(0))
    }

    fn at_most(&self, values: i32) -> Option<c_int> {
        Some(values.clamp(0, self.raw_top()))
    }

    fn callable(&self, arguments: i32) -> Option<c_int> {
        let is_there = arguments >= 0 && self.raw_top() > arguments;
        (is_there && self.raw_status() == ffi::LUA_OK).then_some(arguments)
    }

    fn globals(&self, _: i32) -> Option<c_int> {
        Some(GLOBALS)
    }

    fn globals_for_table(&self, _: i32) -> Option<c_int> {
        (self.kind(-1) == Kind::TABLE).then_some(GLOBALS)
    }

    fn kept(&self, reference: i32) -> Option<c_int> {
        let is_kept = self.raw_push_reference(0, reference).is_some_and(|kind| kind != ffi::LUA_TNIL);
        self.raw_resize(self.raw_top() - 1)?;
        is_kept.then_some(reference)
    }

    /// The registry, wherever it is looked for.
    #[inline]
    fn registry(&self, _: i32) -> Option<c_int> {
        Some(ffi::LUA_REGISTRYINDEX)
    }

    fn registry_for_value(&self, _: i32) -> Option<c_int> {
        (self.raw_top() >= 1).then_some(ffi::LUA_REGISTRYINDEX)
    }

    fn table_for_value(&self, index: i32) -> Option<c_int> {
        self.table(index).filter(|_| self.raw_top() >= 1)
    }

    fn table_for_entry(&self, index: i32) -> Option<c_int> {
        self.table(index).filter(|_| self.raw_top() >= 2)
    }

    fn table_for_table(&self, index: i32) -> Option<c_int> {
        self.table(index).filter(|_| self.kind(-1) == Kind::TABLE)
    }

    fn no_table_for_table(&self, index: i32) -> Option<c_int> {
        let is_table = self.table(index).is_some();
        self.taken(index).filter(|_| !is_table && self.kind(-1) == Kind::TABLE)
    }

    fn script_function(&self, index: i32) -> Option<c_int> {
        self.valid(index).filter(|&index| self.raw_is_script_function(index).is_some_and(|is| is != 0))
    }
}
