//! Functions on the stack: loading and calling them, comparing by their means, and who called whom.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use mlua::ffi::{self, lua_State};

use super::raw::NoHandler;
use super::{Kind, Stack};
use crate::script::Bytecode;

/// What is known of a function that has been called.
pub(in crate::luau) struct Frame<'a> {
    /// The name of its script, as it was loaded with: `=name`.
    pub(in crate::luau) source: &'a CStr,
    /// The same, as it is shown.
    pub(in crate::luau) short_source: &'a CStr,
    /// `C` for functions that are not a script's.
    pub(in crate::luau) what: &'a CStr,
    /// 0 where there is none.
    pub(in crate::luau) line: i32,
    /// Empty where there is none.
    pub(in crate::luau) name: &'a CStr,
}

/// What Luau is given to fill.
const NOTHING_KNOWN: ffi::lua_Debug = ffi::lua_Debug {
    name: ptr::null(),
    what: ptr::null(),
    source: ptr::null(),
    short_src: ptr::null(),
    linedefined: 0,
    currentline: 0,
    protoid: 0,
    bytecodeid: 0,
    nupvals: 0,
    nparams: 0,
    isvararg: 0,
    userdata: ptr::null_mut(),
    ssbuf: [0; 256],
};

/// What scripts can know of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::luau) enum Coroutine {
    /// It can be resumed.
    Suspended,
    /// It runs, or waits for one that does, or is broken.
    Running,
    Dead,
}

impl Stack<'_> {
    /// Whether there is a function that a script has, not one of ours or Luau's.
    pub(in crate::luau) fn is_script_function(&self, index: i32) -> bool {
        self.raw_is_script_function(index).is_some_and(|is| is != 0)
    }

    /// Whether a function uses local variables of others.
    pub(in crate::luau) fn has_upvalues(&mut self, index: i32) -> bool {
        // Pushes the first, if there is one.
        let has_upvalues = self.raw_push_upvalue(index, 1).is_some_and(|name| !name.is_null());
        if has_upvalues {
            self.pop(1);
        }
        has_upvalues
    }

    /// Pushes another function of the same code, with the globals of the thread. Nil if it is no script's.
    pub(in crate::luau) fn push_clone(&mut self, index: i32) {
        self.raw_push_clone(index).unwrap_or_else(|| self.push_nil());
    }

    /// Pushes the main function of a script. If it cannot be loaded, an error message and `false`. A thread that waits to
    /// be resumed loads nothing: it could not look up imports.
    pub(in crate::luau) fn load(&mut self, name: &CStr, code: &Bytecode) -> bool {
        if self.raw_status() != ffi::LUA_OK {
            self.push_bytes(b"the thread is suspended");
            return false;
        }
        let code = code.as_bytes();
        // SAFETY: `Bytecode` comes from our own compiler, which is all that `luau_load` trusts. It takes any name.
        let status =
            unsafe { ffi::luau_load(self.thread, name.as_ptr(), code.as_ptr().cast(), code.len(), 0) };
        status == ffi::LUA_OK
    }

    /// Calls the function below the topmost values with them. It leaves so many results. A thread that waits to be
    /// resumed calls nothing.
    pub(in crate::luau) fn call(&mut self, arguments: u16, results: u16) {
        self.raw_call(arguments.into(), results);
    }

    /// The same, catching errors. `false` if there was one, or nothing was called: then it is on top.
    pub(in crate::luau) fn try_call(&mut self, arguments: u16, results: u16) -> bool {
        self.raw_try_call(arguments.into(), results, NoHandler) == Some(ffi::LUA_OK)
    }

    /// Pushes the text of a value, as `tostring` makes it. May run code of a script.
    pub(in crate::luau) fn push_text(&mut self, index: i32) {
        if self.raw_status() != ffi::LUA_OK || self.raw_push_text(index, &mut 0).is_none() {
            self.push_bytes(b"nil");
        }
    }

    /// Makes the number at an index a string. `false` if there is neither.
    #[inline]
    pub(in crate::luau) fn make_string(&mut self, index: i32) -> bool {
        match self.kind(index) {
            Kind::STRING => true,
            Kind::NUMBER => self.raw_string(index, &mut 0).is_some(),
            _ => false,
        }
    }

    /// `a < b`. May run code of a script. A thread that waits to be resumed compares nothing.
    pub(in crate::luau) fn is_less(&mut self, a: i32, b: i32) -> bool {
        self.raw_status() == ffi::LUA_OK && self.raw_compare_less(a, b)
    }

    /// Makes one string of the topmost strings and numbers.
    pub(in crate::luau) fn concat(&mut self, values: u16) {
        self.raw_concat(values.into());
    }

    /// Pushes the position of a caller, `script:line: `, or an empty string.
    pub(in crate::luau) fn push_position(&mut self, level: u16) {
        self.raw_push_position(level);
    }

    /// How many functions have been called and have not returned.
    pub(in crate::luau) fn depth(&self) -> u32 {
        self.raw_depth().max(0).unsigned_abs()
    }

    /// Looks at one of them, 0 for the innermost.
    pub(in crate::luau) fn frame<R>(&self, level: u32, look: impl FnOnce(&Frame<'_>) -> R) -> Option<R> {
        let level = c_int::try_from(level).ok()?;
        self.function_info(level, look)
    }

    /// Looks at a function that runs at a level, or with level -1 at the one on top, if it is one.
    fn function_info<R>(&self, level: c_int, look: impl FnOnce(&Frame<'_>) -> R) -> Option<R> {
        let mut frame = NOTHING_KNOWN;
        // SAFETY: Luau refuses levels that there are not, and what is no function. It fills what "sln" names: numbers, and
        // null or pointers to C strings that the function or `frame` itself has.
        let is_there = unsafe { ffi::lua_getinfo(self.thread, level, c"sln".as_ptr(), &raw mut frame) != 0 };
        if !is_there {
            return None;
        }
        let [source, short_source, what, name] =
            [frame.source, frame.short_src, frame.what, frame.name].map(|text: *const c_char| {
                // SAFETY: see above. The thread is borrowed, so its functions stay.
                if text.is_null() { c"" } else { unsafe { CStr::from_ptr(text) } }
            });
        Some(look(&Frame { source, short_source, what, line: frame.currentline, name }))
    }

    /// Where the thread at an index is.
    pub(in crate::luau) fn thread_address(&self, index: i32) -> Option<*mut lua_State> {
        self.raw_thread(index).filter(|thread| !thread.is_null())
    }

    /// What others say of the thread itself.
    pub(in crate::luau) fn coroutine(&self) -> Coroutine {
        // SAFETY: the thread is live, and so is the main thread of its state.
        match unsafe { ffi::lua_costatus(self.main_address(), self.thread) } {
            ffi::LUA_COSUS => Coroutine::Suspended,
            ffi::LUA_CORUN | ffi::LUA_CONOR => Coroutine::Running,
            _ => Coroutine::Dead,
        }
    }

    /// Whether the thread has not been resumed, or has returned.
    pub(in crate::luau) fn has_not_run(&self) -> bool {
        self.raw_status() == ffi::LUA_OK
    }

    /// Pushes the thread whose stack this is.
    pub(in crate::luau) fn push_own_thread(&mut self) {
        self.raw_push_own_thread();
    }

    /// Whether the thread at an index is another than this one and has called, and not returned from, the code of the
    /// function at an index.
    pub(in crate::luau) fn runs_elsewhere(&mut self, thread: i32, function: i32) -> bool {
        let Some(thread) = self.thread_address(thread).filter(|&thread| thread != self.thread()) else {
            return false;
        };
        // SAFETY: this has the thread, so it is live. It is only looked at.
        let thread = unsafe { Stack::new(thread) };
        let source = self.source_of(function);
        let is_there = |level| thread.frame(level, |frame| frame.source == &*source);
        thread.coroutine() != Coroutine::Dead && (0..).map_while(is_there).any(|is_it| is_it)
    }

    /// The name of the script that a function is of, as it was loaded with.
    fn source_of(&mut self, function: i32) -> CString {
        self.push_value(function);
        let source = self.function_info(-1, |function| function.source.to_owned()).unwrap_or_default();
        self.pop(1);
        source
    }

    /// Luau's status of the thread.
    pub(in crate::luau) fn status(&self) -> c_int {
        self.raw_status()
    }

    /// Pushes a new thread. Returns where it is.
    pub(in crate::luau) fn push_new_thread(&mut self) -> *mut lua_State {
        self.raw_push_thread()
    }

    /// Where the main thread of the state is.
    pub(in crate::luau) fn main_address(&self) -> *mut lua_State {
        self.raw_main_thread()
    }

    /// What Luau calls on its own.
    pub(in crate::luau) fn callbacks(&self) -> *mut ffi::lua_Callbacks {
        self.raw_callbacks()
    }

    /// The address of a userdata, null if there is none.
    pub(in crate::luau) fn userdata(&self, index: i32) -> *mut c_void {
        self.raw_userdata(index).unwrap_or(ptr::null_mut())
    }

    /// Bytes of a memory category, or of all for a negative one.
    #[inline]
    pub(in crate::luau) fn total_bytes(&self, category: c_int) -> usize {
        self.raw_total_bytes(category)
    }

    /// Opens all of Luau's libraries.
    pub(in crate::luau) fn open_libraries(&mut self) {
        self.raw_open_libraries();
        // Luau has it, but opens it only where the flag `LuauIntegerLibrary` is set.
        let top = self.top();
        self.raw_open_integer_library();
        self.resize(top);
    }

    /// Has Luau encode the addresses that it shows with these keys.
    pub(in crate::luau) fn encode_pointers(&mut self, [a, b, c, d]: [u64; 4]) {
        self.raw_set_pointer_keys(a, b, c, d);
    }
}
