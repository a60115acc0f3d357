//! Opening a state: libraries, sandbox, callbacks.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::LazyLock;

use bevy::platform::collections::HashMap;
use mlua::ffi::{self, lua_State};

use super::memory::{self, Memory};
use super::prefetch::knows_layout;
use super::roots::Roots;
use super::shared::Shared;
use super::{Context, LuauState, library, modules, slice};
use crate::luau::HostFunctions;
use crate::script::Script;
use crate::types::ScriptError;

/// Work of one collector step, in KiB: about 20 microseconds.
const GC_STEP_KIB: c_int = 64;

/// Compiled once for all states.
static SANDBOX: LazyLock<Script> =
    LazyLock::new(|| Script::new("sandbox", include_bytes!("sandbox.luau").as_slice()));

impl LuauState {
    /// Opens a sandboxed state whose garbage collector only runs when it is asked to.
    ///
    /// # Errors
    ///
    /// When there is not enough memory.
    pub(crate) fn open(host: HostFunctions) -> Result<Self, ScriptError> {
        let shared = Box::into_raw(Box::new(Shared::new(Context::new(host))));
        // SAFETY: it lives as long as the state: see `LuauState::drop`.
        let mut memory = Box::new(unsafe { Memory::charged_to(&raw const (*shared).slice) });
        let data = (&raw mut *memory).cast::<c_void>();
        // SAFETY: `allocate` gets the `Memory` that it wants, which outlives the state.
        let main = unsafe { ffi::lua_newstate(memory::allocate, data) };
        if main.is_null() {
            // SAFETY: it came from a box, and nobody has it.
            drop(unsafe { Box::from_raw(shared) });
            let message = "not enough memory for a Luau state".into();
            return Err(ScriptError { message, traceback: Box::default() });
        }
        let mut state = Self {
            main,
            threads: Vec::new(),
            handed_over: HashMap::default(),
            roots: Roots::default(),
            knows_layout: false,
            has_records: false,
            environment_metatable: ffi::LUA_NOREF,
            protected_call: ffi::LUA_NOREF,
            shared,
            memory,
        };
        // SAFETY: `main` is live and not running; the functions below keep their stacks balanced.
        let status = unsafe {
            (*ffi::lua_callbacks(main)).userdata = shared.cast::<c_void>();
            ffi::lua_gc(main, ffi::LUA_GCSTOP, 0);
            ffi::lua_cpcall(main, prepare, (&raw mut state.protected_call).cast())
        };
        if status != ffi::LUA_OK {
            let message = "not enough memory for a Luau state".into();
            return Err(ScriptError { message, traceback: Box::default() });
        }
        let sandbox = state.load(SANDBOX.name(), SANDBOX.bytecode().expect("the sandbox compiles"))?;
        // What is pushed of them lives as long as the state: the context holds them.
        let host = state.context().host.clone();
        state.environment_metatable = state.protect(|main| {
            // SAFETY: see `build_sandbox`.
            unsafe { build_sandbox(main, sandbox.0, &host) }
        })?;
        state.unload(sandbox);
        // SAFETY: `main` is live, and its stack empty between calls; what is shared lives as long as the state.
        unsafe {
            state.knows_layout = knows_layout(main);
            ffi::lua_gc(main, ffi::LUA_GCSETSTEPSIZE, GC_STEP_KIB);
            slice::install(main);
        }
        state.collect();
        Ok(state)
    }
}

/// Opens the libraries and makes the function that [`LuauState::protect`] calls, whose registry
/// reference goes to where the light userdata points.
unsafe extern "C-unwind" fn prepare(state: *mut lua_State) -> c_int {
    // SAFETY: `open` passes a pointer to a `c_int`. The stack is balanced.
    unsafe {
        let protected_call = ffi::lua_touserdata(state, 1).cast::<c_int>();
        ffi::luaL_openlibs(state);
        ffi::lua_pushcfunction(state, call_closure);
        *protected_call = ffi::lua_ref(state, -1);
    }
    0
}

/// Calls the closure whose address it gets.
unsafe extern "C-unwind" fn call_closure(state: *mut lua_State) -> c_int {
    // SAFETY: only `LuauState::protect` can call this, and it passes such a pointer.
    unsafe {
        let call = ffi::lua_touserdata(state, 1).cast::<&mut dyn FnMut(*mut lua_State)>();
        (*call)(state);
    }
    0
}

/// Runs `sandbox.luau` and puts the frozen base where the main thread's globals were. Returns the
/// registry reference of the metatable of environments.
///
/// # Safety
///
/// Inside a protected call; `sandbox` is the reference of that loaded script; `host`
/// lives as long as the state. May throw.
unsafe fn build_sandbox(state: *mut lua_State, sandbox: c_int, host: &HostFunctions) -> c_int {
    // SAFETY: by the contract; indices and types are as each call wants them.
    unsafe {
        library::replace(state);
        ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, sandbox);
        ffi::lua_createtable(state, 0, library::FUNCTIONS.len() as c_int);
        for &(name, function) in library::FUNCTIONS {
            ffi::lua_pushcclosurek(state, function, name.as_ptr(), 0, None);
            ffi::lua_rawsetfield(state, -2, name.as_ptr());
        }
        for &(name, function, continuation) in library::WAITING {
            ffi::lua_pushcclosurek(state, function, name.as_ptr(), 0, Some(continuation));
            ffi::lua_rawsetfield(state, -2, name.as_ptr());
        }
        library::push_host_functions(state, host);
        ffi::lua_call(state, 2, 2);
        let environment = ffi::lua_gettop(state);
        let base = environment - 1;
        library::connect(state, base, environment);
        modules::connect(state);
        ffi::lua_setsafeenv(state, base, 1);
        // The libraries as they were are reachable from here and from the old globals only.
        ffi::lua_pushnil(state);
        ffi::lua_rawsetfield(state, ffi::LUA_REGISTRYINDEX, c"_LOADED".as_ptr());
        // Scripts are loaded on the main thread, and `luau_load` resolves their imports in its
        // globals: they must be the frozen base and nothing that a script can change.
        let main = ffi::lua_mainthread(state);
        debug_assert!(ptr::eq(main, state), "protected calls run on the main thread");
        ffi::lua_pushvalue(state, base);
        ffi::lua_replace(main, ffi::LUA_GLOBALSINDEX);
        let [a, b, c, d] = pointer_keys();
        ffi::lua_setpointerencodekey(state, a, b, c, d);
        ffi::lua_ref(state, environment)
    }
}

/// Keys with which Luau encodes the addresses that `tostring({})` shows: different in each state, so
/// that scripts do not learn where the game's memory is.
fn pointer_keys() -> [u64; 4] {
    use std::hash::{BuildHasher, RandomState};
    let hasher = RandomState::new();
    [0u64, 1, 2, 3].map(|key| hasher.hash_one(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_look_as_prefetching_wants_them() {
        let state = LuauState::open(HostFunctions::default()).expect("memory");
        assert!(state.knows_layout, "Luau has changed: look up the offsets in `prefetch`");
    }
}
