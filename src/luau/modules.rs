//! Modules of scripts, and what a process keeps when its script is loaded again.
//!
//! A program, a script with all modules that it can reach, has *links*: a frozen table that says, for
//! the name of each of its scripts, which function each `require` there means. Processes of programs
//! with modules, and processes that take over the state of an earlier version, have a *record*, a
//! table that only our own functions see: in the registry, by the process's globals, weakly.

use std::ffi::{CStr, c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr;

use bevy::platform::collections::{HashMap, HashSet};
use mlua::ffi::{self, lua_State};

use super::{LuauState, MainFunction, chunk_name};
use crate::script::Script;
use crate::types::{ProcessIndex, ScriptError};

/// Where the records are, in the registry.
const RECORDS: &CStr = c"bevy_luau_os.records";
/// In a record: the links of the process's program.
const LINKS: &CStr = c"links";
/// In a record: the modules that the process has required, by their main functions.
const INSTANCES: &CStr = c"instances";
/// In a record: the state table of the version that ran before, for `on_reload`. Also the global that
/// holds it.
const STATE: &CStr = c"state";

/// Where [`require`] has the table of instances on its stack.
const INSTANCES_INDEX: c_int = 6;

/// A table in the registry.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableRef(c_int);

/// A script, loaded together with the modules that it can reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadedProgram {
    pub(super) main: MainFunction,
    pub(super) links: Option<TableRef>,
    /// How much bytecode that is.
    pub(crate) bytes: usize,
}

impl LoadedProgram {
    /// The same program, started with another function.
    pub(crate) fn with_main(self, main: MainFunction) -> Self {
        Self { main, ..self }
    }
}

impl LuauState {
    /// Loads a script and the modules that it can reach.
    ///
    /// # Errors
    ///
    /// When one of them does not compile, or the state is out of memory.
    pub(crate) fn load_program(&mut self, script: &Script) -> Result<LoadedProgram, ScriptError> {
        let main = self.load_script(script)?;
        let mut bytes = bytecode_bytes(script);
        let mut links = None;
        if !script.modules().is_empty() {
            match self.link(script) {
                Ok((made, more)) => (links, bytes) = (Some(made), bytes + more),
                Err(error) => {
                    self.unload(main);
                    return Err(error);
                }
            }
        }
        Ok(LoadedProgram { main, links, bytes })
    }

    fn load_script(&mut self, script: &Script) -> Result<MainFunction, ScriptError> {
        let bytecode = script
            .bytecode()
            .map_err(|error| ScriptError { message: error.to_string().into(), traceback: Box::default() })?;
        self.load(script.name(), bytecode)
    }

    /// Forgets a program. Processes that run it are not affected.
    pub(crate) fn unload_program(&mut self, program: LoadedProgram) {
        self.unload(program.main);
        if let Some(TableRef(links)) = program.links {
            // SAFETY: a reference that `link` made; `lua_unref` does not throw.
            unsafe { ffi::lua_unref(self.main, links) };
        }
    }

    /// Loads the modules that a script can reach and makes the links of the program. Also tells how much
    /// bytecode they have.
    fn link(&mut self, script: &Script) -> Result<(TableRef, usize), ScriptError> {
        let mut parts = vec![script];
        let mut seen = HashSet::new();
        let mut next = 0;
        while let Some(part) = parts.get(next) {
            let modules = part.modules().iter().map(|module| &module.script);
            parts.extend(modules.filter(|module| seen.insert(module.address())).collect::<Vec<_>>());
            next += 1;
        }
        let mut functions = HashMap::new();
        let mut failure = None;
        for part in &parts[1..] {
            match self.load_script(part) {
                Ok(function) => drop(functions.insert(part.address(), function)),
                Err(error) => failure = Some(error),
            }
        }
        let links = match failure {
            Some(error) => Err(error),
            // SAFETY: the references are live, and no part is loaded more than once.
            None => self.protect(|state| unsafe { make_links(state, &parts, &functions) }),
        };
        for function in functions.into_values() {
            self.unload(function); // the links keep it
        }
        Ok((links?, parts[1..].iter().map(|part| bytecode_bytes(part)).sum()))
    }

    /// Ends whatever runs on `thread`, like [`LuauState::reset`], and keeps its state table for the
    /// process that starts there next.
    pub(crate) fn restart(&mut self, thread: ProcessIndex) {
        let not_started = self.handed_over.remove(&thread);
        let root = self.threads.get(thread.at()).map_or(ptr::null_mut(), |process| process.root);
        let mut kept = None;
        if !root.is_null() {
            // SAFETY: `root` is live and not running.
            kept = self.protect(|_| unsafe { take_state(root) }).ok().flatten();
        }
        self.reset(thread);
        match (kept, not_started) {
            (Some(kept), not_started) => {
                self.handed_over.insert(thread, kept);
                not_started.into_iter().for_each(|table| self.forget(table));
            }
            (None, Some(not_started)) => drop(self.handed_over.insert(thread, not_started)),
            (None, None) => {}
        }
    }

    /// Forgets the record of the process that runs on `thread`. Luau's weak tables hold on to values that refer to
    /// their keys, as modules do to their process's globals, so it would never go.
    pub(super) fn forget_record(&mut self, anchor_table: c_int, anchor: c_int) {
        if !self.has_records {
            return;
        }
        // What fails for want of memory changes nothing: the entry is there, so nothing is allocated.
        _ = self.protect(|state| {
            // SAFETY: 5 values of the 20 that there is room for; the anchor holds a thread.
            unsafe {
                ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, anchor_table);
                ffi::lua_rawgeti_(state, -1, anchor);
                ffi::lua_getfenv(state, -1);
                ffi::lua_rawgetfield(state, ffi::LUA_REGISTRYINDEX, RECORDS.as_ptr());
                ffi::lua_pushvalue(state, -2);
                if ffi::lua_rawget(state, -2) == ffi::LUA_TTABLE {
                    ffi::lua_pop(state, 1);
                    ffi::lua_pushvalue(state, -2);
                    ffi::lua_pushnil(state);
                    ffi::lua_rawset(state, -3);
                }
            }
        });
    }

    /// Forgets the state table that was kept for the next process on `thread`.
    pub(super) fn forget_state(&mut self, thread: ProcessIndex) {
        if !self.handed_over.is_empty()
            && let Some(table) = self.handed_over.remove(&thread)
        {
            self.forget(table);
        }
    }

    /// Gives a reference back.
    pub(super) fn forget(&mut self, TableRef(table): TableRef) {
        // SAFETY: a live reference; `lua_unref` does not throw.
        unsafe { ffi::lua_unref(self.main, table) };
    }
}

fn bytecode_bytes(script: &Script) -> usize {
    script.bytecode().map_or(0, |bytecode| bytecode.as_bytes().len())
}

/// Makes the links of a program of these `parts`.
///
/// # Safety
///
/// Inside a protected call on the main thread; `functions` must hold live references. May throw.
unsafe fn make_links(
    state: *mut lua_State,
    parts: &[&Script],
    functions: &HashMap<usize, MainFunction>,
) -> TableRef {
    // SAFETY: at most 5 values are on the stack at once, of the 20 that a protected call has room for.
    unsafe {
        ffi::lua_createtable(state, 0, 0);
        for part in parts.iter().filter(|part| !part.modules().is_empty()) {
            push_text(state, &chunk_name(part.name()));
            ffi::lua_createtable(state, 0, part.modules().len() as c_int);
            for module in part.modules() {
                push_text(state, module.specifier.as_bytes());
                let function = functions[&module.script.address()];
                ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, function.0);
                ffi::lua_rawset(state, -3);
            }
            ffi::lua_rawset(state, -3);
        }
        let links = ffi::lua_ref(state, -1);
        ffi::lua_pop(state, 1);
        TableRef(links)
    }
}

/// A reference of the state table of the process that runs on `root`: its global `state`, or, if it
/// has not taken over the one of the version before it, that one.
///
/// # Safety
///
/// Inside a protected call; `root` must be live and not running. May throw.
unsafe fn take_state(root: *mut lua_State) -> Option<TableRef> {
    // SAFETY: slots are made first, and the stack is balanced.
    unsafe {
        ffi::lua_rawcheckstack(root, 4);
        let top = ffi::lua_gettop(root);
        ffi::lua_pushvalue(root, ffi::LUA_GLOBALSINDEX);
        let mut found = ffi::lua_rawgetfield(root, -1, STATE.as_ptr()) == ffi::LUA_TTABLE;
        if !found && push_record(root) {
            found = ffi::lua_rawgetfield(root, -1, STATE.as_ptr()) == ffi::LUA_TTABLE;
        }
        let table = found.then(|| TableRef(ffi::lua_ref(root, -1)));
        ffi::lua_settop(root, top);
        table
    }
}

/// Makes the table of records.
///
/// # Safety
///
/// Inside a protected call. May throw.
pub(super) unsafe fn connect(state: *mut lua_State) {
    // SAFETY: the stack is balanced; `__mode` is the only thing in the metatable.
    unsafe {
        ffi::lua_createtable(state, 0, 0);
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_pushliteral(state, c"k");
        ffi::lua_rawsetfield(state, -2, c"__mode".as_ptr());
        ffi::lua_setmetatable(state, -2);
        ffi::lua_rawsetfield(state, ffi::LUA_REGISTRYINDEX, RECORDS.as_ptr());
    }
}

/// Makes the record of a process whose globals are on top of the stack of `thread`.
///
/// # Safety
///
/// Inside a protected call; `thread` must have room for 4 values, and the references must be live. May
/// throw.
pub(super) unsafe fn add_record(thread: *mut lua_State, links: Option<TableRef>, state: Option<TableRef>) {
    // SAFETY: by the contract; the stack is balanced.
    unsafe {
        ffi::lua_rawgetfield(thread, ffi::LUA_REGISTRYINDEX, RECORDS.as_ptr());
        ffi::lua_pushvalue(thread, -2);
        ffi::lua_createtable(thread, 0, 2);
        for (field, table) in [(LINKS, links), (STATE, state)] {
            if let Some(TableRef(table)) = table {
                ffi::lua_rawgeti_(thread, ffi::LUA_REGISTRYINDEX, table);
                ffi::lua_rawsetfield(thread, -2, field.as_ptr());
            }
        }
        ffi::lua_rawset(thread, -3);
        ffi::lua_pop(thread, 1);
    }
}

/// Pushes the record of the process that `thread` belongs to, if it has one, and nothing otherwise.
///
/// # Safety
///
/// `thread` must be live, with room for 2 values.
unsafe fn push_record(thread: *mut lua_State) -> bool {
    // SAFETY: by the contract; `connect` was called.
    unsafe {
        ffi::lua_rawgetfield(thread, ffi::LUA_REGISTRYINDEX, RECORDS.as_ptr());
        ffi::lua_pushvalue(thread, ffi::LUA_GLOBALSINDEX);
        let is_there = ffi::lua_rawget(thread, -2) == ffi::LUA_TTABLE;
        ffi::lua_remove(thread, -2);
        if !is_there {
            ffi::lua_pop(thread, 1);
        }
        is_there
    }
}

/// `require(specifier)`. Modules run as code of the process that requires them: preempted, and within its
/// limits.
pub(super) unsafe extern "C-unwind" fn require(thread: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack, which has room for 20 values; it has a continuation.
    unsafe {
        ffi::luaL_checkstring(thread, 1);
        ffi::lua_settop(thread, 1);
        let Some(caller) = requiring_script(thread) else {
            fail(thread, c"require must be called by a script's own code");
        };
        if !push_record(thread) || ffi::lua_rawgetfield(thread, 2, LINKS.as_ptr()) != ffi::LUA_TTABLE {
            fail(thread, c"the script has no modules: it must be an asset, and the path a string literal");
        }
        // Stack: specifier, record, links.
        let knows_caller = ffi::lua_rawgetfield(thread, 3, caller) == ffi::LUA_TTABLE;
        if knows_caller {
            ffi::lua_pushvalue(thread, 1);
        }
        if !knows_caller || ffi::lua_rawget(thread, 4) != ffi::LUA_TFUNCTION {
            fail(thread, c"modules are found when a script is loaded, so the path must be a string literal");
        }
        // Stack: specifier, record, links, links of the caller, main function.
        if ffi::lua_rawgetfield(thread, 2, INSTANCES.as_ptr()) != ffi::LUA_TTABLE {
            ffi::lua_pop(thread, 1);
            ffi::lua_createtable(thread, 0, 1);
            ffi::lua_pushvalue(thread, -1);
            ffi::lua_rawsetfield(thread, 2, INSTANCES.as_ptr());
        }
        ffi::lua_pushvalue(thread, 5);
        match ffi::lua_rawget(thread, 6) {
            ffi::LUA_TNIL => {}
            ffi::LUA_TTABLE => {
                ffi::lua_rawgeti_(thread, 7, 1);
                return 1;
            }
            _ => fail(thread, c"the module has not finished loading: it waits, or it failed"),
        }
        ffi::lua_settop(thread, INSTANCES_INDEX);
        ffi::lua_pushvalue(thread, 5);
        ffi::lua_pushboolean(thread, 0);
        ffi::lua_rawset(thread, INSTANCES_INDEX);
        // A function of the process: with its globals.
        ffi::lua_clonefunction(thread, 5);
        ffi::luaL_callyieldable(thread, 0, ffi::LUA_MULTRET)
    }
}

/// When a module's main function has returned: the results are above what [`require`] left.
pub(super) unsafe extern "C-unwind" fn required(thread: *mut lua_State, _: c_int) -> c_int {
    // SAFETY: the stack of `require`, which may be full of results.
    unsafe {
        if ffi::lua_gettop(thread) != INSTANCES_INDEX + 1 {
            ffi::lua_settop(thread, INSTANCES_INDEX);
            fail(thread, c"the module must return exactly one value");
        }
        ffi::luaL_checkstack(thread, 4, ptr::null());
        ffi::lua_pushvalue(thread, 5);
        // Not the value itself: it may be nil.
        ffi::lua_createtable(thread, 1, 0);
        ffi::lua_pushvalue(thread, INSTANCES_INDEX + 1);
        ffi::lua_rawseti_(thread, -2, 1);
        ffi::lua_rawset(thread, INSTANCES_INDEX);
    }
    1
}

/// Raises an error about the module whose name is the first argument.
///
/// # Safety
///
/// On the stack of [`require`], with room for four values. Throws.
unsafe fn fail(thread: *mut lua_State, reason: &CStr) -> ! {
    // SAFETY: by the contract; `%s` gets strings that end with a zero.
    unsafe {
        let specifier = ffi::lua_tostring(thread, 1);
        ffi::luaL_error(thread, c"require(\"%s\"): %s".as_ptr(), specifier, reason.as_ptr())
    }
}

/// The chunk name of the script that called `require`. It lives as long as the script's function.
///
/// # Safety
///
/// `thread` must be running [`require`].
unsafe fn requiring_script(thread: *mut lua_State) -> Option<*const c_char> {
    // The first frame is `require`'s; then there may be that of `pcall` or the like.
    for level in 1.. {
        let mut frame = MaybeUninit::<ffi::lua_Debug>::zeroed();
        // SAFETY: levels past the stack's depth are refused with 0; `lua_getinfo` fills what "s" names.
        let frame = unsafe {
            if ffi::lua_getinfo(thread, level, c"s".as_ptr(), frame.as_mut_ptr()) == 0 {
                return None;
            }
            frame.assume_init_ref()
        };
        // SAFETY: `what` is a literal.
        if unsafe { CStr::from_ptr(frame.what) } != c"C" {
            return Some(frame.source);
        }
    }
    None
}

/// If a process that took over from an earlier version of its script assigns the global `on_reload` for
/// the first time, calls it with the state table of that version. `__newindex` of environments, after
/// the assignment.
///
/// # Safety
///
/// On the stack of a C function with the arguments of `__newindex`. May throw.
pub(super) unsafe fn call_on_reload(thread: *mut lua_State) {
    // SAFETY: the indices are those of the arguments; each accessor is called for its type.
    unsafe {
        if ffi::lua_type(thread, 2) != ffi::LUA_TSTRING || ffi::lua_type(thread, 3) != ffi::LUA_TFUNCTION {
            return;
        }
        let mut length = 0;
        let name = ffi::lua_tolstring(thread, 2, &raw mut length);
        if std::slice::from_raw_parts(name.cast::<u8>(), length) != b"on_reload" || !push_record(thread) {
            return;
        }
        let record = ffi::lua_gettop(thread);
        ffi::lua_pushvalue(thread, 3);
        if ffi::lua_rawgetfield(thread, record, STATE.as_ptr()) == ffi::LUA_TTABLE {
            ffi::lua_pushnil(thread);
            ffi::lua_rawsetfield(thread, record, STATE.as_ptr());
            ffi::lua_call(thread, 1, 0);
        }
    }
}

/// # Safety
///
/// `state` must have room for a value. May throw.
unsafe fn push_text(state: *mut lua_State, text: &[u8]) {
    // SAFETY: pointer and length are those of `text`.
    unsafe { ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len()) };
}
