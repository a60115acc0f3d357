//! Copies what a process leaves behind out of its thread: results, error message, traceback.
//!
//! Nothing here runs code of the script (no `__tostring`, no `__index`), and everything is bounded.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::Write;
use std::mem::MaybeUninit;
use std::ops::RangeInclusive;
use std::ptr;

use bevy::platform::collections::HashSet;
use mlua::ffi::{self, lua_State};

use super::slice::charge_later;
use crate::value::Value;

/// Values handed over as results of one process, nested ones included.
const MAX_VALUES: usize = 1024;
/// Bytes of strings and buffers handed over as results of one process.
const MAX_BYTES: usize = 64 * 1024;
/// Bytes that are copied in the time of a safepoint.
const BYTES_COPIED: usize = 32;
/// Tables inside tables inside results.
const MAX_DEPTH: usize = 8;
/// Bytes kept of an error message.
const MAX_MESSAGE: usize = 4 * 1024;
/// Frames shown at either end of a traceback.
const TRACEBACK_FRAMES: usize = 10;

/// Stack slots that [`values`] needs: a key and a value for each level.
pub(super) const RESULT_SLOTS: c_int = 2 * (MAX_DEPTH as c_int + 1);

/// The values on the stack of a thread that has returned, or of a function: its arguments.
///
/// # Safety
///
/// `thread` must be live, have room for [`RESULT_SLOTS`] more values, and not run anything else
/// meanwhile.
pub(super) unsafe fn values<V: FromIterator<Value>>(thread: *mut lua_State) -> V {
    let mut copier = Copier::new(thread);
    // SAFETY: the indices are those of the thread's own stack.
    unsafe {
        let count = ffi::lua_gettop(thread).min(MAX_VALUES as c_int);
        (1..=count).map(|index| copier.copy(index, 0)).collect()
    }
}

/// Charges the slice that runs for the copy of a value.
///
/// # Safety
///
/// `state` must be a live thread of a state that we opened.
pub(super) unsafe fn charge_for(state: *mut lua_State, value: &Value) {
    // SAFETY: by the contract.
    unsafe { charge_later(state, (value.size() / BYTES_COPIED) as u64) };
}

/// The arguments of the running C function.
pub struct CallArguments {
    state: *mut lua_State,
}

impl CallArguments {
    /// # Safety
    ///
    /// `state` must be the running thread, in a C function that has used none of its stack, and stay so
    /// while this lives.
    pub(super) unsafe fn new(state: *mut lua_State) -> Self {
        Self { state }
    }

    pub(crate) fn count(&self) -> u32 {
        // SAFETY: by the contract of `new`.
        unsafe { ffi::lua_gettop(self.state) }.unsigned_abs()
    }

    /// An argument that is a number.
    #[inline]
    pub(crate) fn number(&self, position: u32) -> Option<f64> {
        let (state, index) = (self.state, position.cast_signed());
        // SAFETY: any positive index can be asked for its type, and a number be read as one.
        unsafe {
            let is_number = ffi::lua_type(state, index) == ffi::LUA_TNUMBER;
            is_number.then(|| ffi::lua_tonumberx(state, index, ptr::null_mut()))
        }
    }

    /// A copy of an argument, nil if it was not passed.
    pub(crate) fn get(&self, position: u32) -> Value {
        let (state, index) = (self.state, position.cast_signed());
        // SAFETY: any positive index can be asked for its type; the rest exist.
        unsafe {
            match ffi::lua_type(state, index) {
                ffi::LUA_TNONE => Value::Nil,
                _ => copy(state, index),
            }
        }
    }
}

const _: () = assert!(RESULT_SLOTS <= ffi::LUA_MINSTACK, "a C function has room for a copy");

/// # Safety
///
/// As for [`values`]; `index` must be positive and valid.
unsafe fn copy(thread: *mut lua_State, index: c_int) -> Value {
    // SAFETY: by the contract.
    unsafe { Copier::new(thread).copy(index, 0) }
}

/// The values at `indices`, if all of them can be copied; otherwise, at which one they cannot and why. What may be
/// in them is what may be in one.
///
/// # Safety
///
/// As for [`values`]; the indices must be positive and valid.
pub(super) unsafe fn messages<V: FromIterator<Value>>(
    thread: *mut lua_State,
    indices: RangeInclusive<c_int>,
) -> Result<V, (c_int, String)> {
    let mut copier = Copier::new(thread);
    // SAFETY: by the contract.
    indices.map(|index| unsafe { copier.message(index).map_err(|why| (index, why)) }).collect()
}

/// Pushes a copy of `value`. An opaque one becomes nil.
///
/// # Safety
///
/// `state` must be live. May throw, when there is not enough memory.
pub(super) unsafe fn push(state: *mut lua_State, value: &Value) {
    // SAFETY: by the contract; each level makes room for what it pushes.
    unsafe {
        ffi::lua_rawcheckstack(state, 3);
        match value {
            Value::Nil | Value::Opaque(_) => ffi::lua_pushnil(state),
            Value::Boolean(boolean) => ffi::lua_pushboolean(state, (*boolean).into()),
            Value::Number(number) => ffi::lua_pushnumber(state, *number),
            Value::Vector([x, y, z]) => ffi::lua_pushvector(state, *x, *y, *z),
            Value::String(bytes) => ffi::lua_pushlstring_(state, bytes.as_ptr().cast(), bytes.len()),
            Value::Buffer(bytes) => {
                let data = ffi::lua_newbuffer(state, bytes.len());
                ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast(), bytes.len());
            }
            Value::Table(entries) => {
                ffi::lua_createtable(state, 0, c_int::try_from(entries.len()).unwrap_or(0));
                for (key, value) in entries {
                    let is_key = match key {
                        Value::Nil | Value::Opaque(_) => false,
                        Value::Number(number) => !number.is_nan(),
                        _ => true,
                    };
                    if is_key {
                        push(state, key);
                        push(state, value);
                        ffi::lua_rawset(state, -3);
                    }
                }
            }
        }
    }
}

/// As much of `text` as `max` bytes hold.
pub(super) fn bounded(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Copies values, and charges the slice that runs for it.
struct Copier {
    thread: *mut lua_State,
    values: usize,
    bytes: usize,
    /// Tables that were copied. Each is only once: going through one can take long, even if there is
    /// little in it.
    tables: HashSet<*const c_void>,
}

impl Copier {
    fn new(thread: *mut lua_State) -> Self {
        Self { thread, values: MAX_VALUES, bytes: MAX_BYTES, tables: HashSet::default() }
    }

    /// The value at `index`, if all of it can be copied; otherwise, why not.
    ///
    /// # Safety
    ///
    /// As for [`Copier::copy`].
    unsafe fn message(&mut self, index: c_int) -> Result<Value, String> {
        // SAFETY: by the contract.
        let value = unsafe { self.copy(index, 0) };
        match value.opaque() {
            None => Ok(value),
            Some(kind @ ("string" | "buffer")) => {
                Err(format!("a {kind} in it is too long: {MAX_BYTES} bytes are copied"))
            }
            Some("table") => Err(format!(
                "a table in it occurs twice, or has too much in it: {MAX_VALUES} values, {MAX_DEPTH} levels are copied"
            )),
            Some(kind) if self.values > 0 => Err(format!("a {kind} cannot leave its process")),
            Some(_) => Err(format!("there is too much in it: {MAX_VALUES} values are copied")),
        }
    }

    /// # Safety
    ///
    /// `index` must be a valid positive index, with room for two more values per level.
    unsafe fn copy(&mut self, index: c_int, depth: usize) -> Value {
        let thread = self.thread;
        // SAFETY: `index` is valid; each accessor is called for a value of its type, so none
        // converts, allocates or throws.
        unsafe {
            let kind = ffi::lua_type(thread, index);
            if self.values == 0 {
                return Value::Opaque(type_name(thread, kind));
            }
            self.values -= 1;
            match kind {
                ffi::LUA_TNIL => Value::Nil,
                ffi::LUA_TBOOLEAN => Value::Boolean(ffi::lua_toboolean(thread, index) != 0),
                ffi::LUA_TNUMBER => Value::Number(ffi::lua_tonumber(thread, index)),
                ffi::LUA_TVECTOR => {
                    let lanes = ffi::lua_tovector(thread, index);
                    Value::Vector([*lanes, *lanes.add(1), *lanes.add(2)])
                }
                ffi::LUA_TSTRING => {
                    let mut length = 0;
                    let text = ffi::lua_tolstring(thread, index, &raw mut length);
                    self.take_bytes(text.cast(), length).map_or(Value::Opaque("string"), Value::String)
                }
                ffi::LUA_TBUFFER => {
                    let mut length = 0;
                    let data = ffi::lua_tobuffer(thread, index, &raw mut length);
                    self.take_bytes(data.cast(), length).map_or(Value::Opaque("buffer"), Value::Buffer)
                }
                ffi::LUA_TTABLE
                    if depth < MAX_DEPTH && self.tables.insert(ffi::lua_topointer(thread, index)) =>
                {
                    let mut entries = Vec::new();
                    let mut iterator = 0;
                    while self.values > 0 {
                        iterator = ffi::lua_rawiter(thread, index, iterator);
                        if iterator < 0 {
                            return Value::Table(entries);
                        }
                        let top = ffi::lua_gettop(thread);
                        entries.push((self.copy(top - 1, depth + 1), self.copy(top, depth + 1)));
                        ffi::lua_settop(thread, top - 2);
                    }
                    Value::Opaque("table")
                }
                _ => Value::Opaque(type_name(thread, kind)),
            }
        }
    }

    /// # Safety
    ///
    /// `data` must be valid for reads of `length` bytes.
    unsafe fn take_bytes(&mut self, data: *const u8, length: usize) -> Option<Box<[u8]>> {
        self.bytes = self.bytes.checked_sub(length)?;
        if length == 0 {
            return Some(Box::default());
        }
        // SAFETY: by the contract.
        Some(unsafe { std::slice::from_raw_parts(data, length) }.into())
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        let (values, bytes) = (MAX_VALUES - self.values, MAX_BYTES - self.bytes);
        // SAFETY: the thread is live: see who makes copiers.
        unsafe { charge_later(self.thread, (values + bytes / BYTES_COPIED) as u64) };
    }
}

/// # Safety
///
/// `thread` must be live and `kind` one of Luau's types.
unsafe fn type_name(thread: *mut lua_State, kind: c_int) -> &'static str {
    // SAFETY: Luau's type names are literals.
    unsafe { CStr::from_ptr(ffi::lua_typename(thread, kind)) }.to_str().unwrap_or("value")
}

/// The error value on top of a thread's stack, as bounded text. Only strings and numbers are shown:
/// turning anything else into text could run a script's `__tostring`.
///
/// # Safety
///
/// `thread` must be live, not running, with at least one value on its stack.
pub(super) unsafe fn error_message(thread: *mut lua_State) -> Box<str> {
    // SAFETY: `-1` is valid; the accessors match the type.
    unsafe {
        let text = match ffi::lua_type(thread, -1) {
            ffi::LUA_TSTRING => {
                let mut length = 0;
                let text = ffi::lua_tolstring(thread, -1, &raw mut length);
                let shown = std::slice::from_raw_parts(text.cast::<u8>(), length.min(MAX_MESSAGE));
                let mut message = String::from_utf8_lossy(shown).into_owned();
                if length > MAX_MESSAGE {
                    let _ = write!(message, "... ({length} bytes)");
                }
                message
            }
            ffi::LUA_TNUMBER => ffi::lua_tonumber(thread, -1).to_string(),
            ffi::LUA_TBOOLEAN => (ffi::lua_toboolean(thread, -1) != 0).to_string(),
            ffi::LUA_TNIL => "nil".to_owned(),
            kind => format!("(error object is a {} value)", type_name(thread, kind)),
        };
        text.into()
    }
}

/// The call stack of a thread that failed or was stopped, innermost frame first, one line each.
///
/// # Safety
///
/// `thread` must be live and not running.
pub(super) unsafe fn traceback(thread: *mut lua_State) -> Box<str> {
    let mut text = String::new();
    // SAFETY: `lua_getinfo` fills what "sln" names, pointing into live prototypes; levels past the
    // stack's depth are refused with 0.
    unsafe {
        let depth = ffi::lua_stackdepth(thread).max(0).cast_unsigned() as usize;
        for level in 0..depth {
            if level == TRACEBACK_FRAMES && depth > 2 * TRACEBACK_FRAMES {
                let _ = writeln!(text, "... ({} frames)", depth - 2 * TRACEBACK_FRAMES);
            }
            if (TRACEBACK_FRAMES..depth.saturating_sub(TRACEBACK_FRAMES)).contains(&level) {
                continue;
            }
            let mut frame = MaybeUninit::<ffi::lua_Debug>::zeroed();
            if ffi::lua_getinfo(thread, level as c_int, c"sln".as_ptr(), frame.as_mut_ptr()) == 0 {
                break;
            }
            let frame = frame.assume_init_ref();
            let _ = match (show(frame.short_src), frame.currentline) {
                (source, line @ 1..) => write!(text, "{source}:{line}"),
                (source, _) => write!(text, "{source}"),
            };
            if !frame.name.is_null() {
                let _ = write!(text, " function {}", show(frame.name));
            }
            text.push('\n');
        }
    }
    text.into()
}

/// # Safety
///
/// `text` must be null or a C string.
unsafe fn show<'a>(text: *const c_char) -> std::borrow::Cow<'a, str> {
    if text.is_null() {
        return "?".into();
    }
    // SAFETY: by the contract.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}
