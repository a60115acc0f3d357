//! Opening a state: libraries, sandbox, callbacks.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::LazyLock;

use bevy::platform::collections::HashMap;
use mlua::ffi;

use super::anchors::Roots;
use super::context::Context;
use super::host_functions::HostFunctions;
use super::memory::{self, Memory};
use super::prefetch::{finds_callbacks, knows_layout};
use super::shared::Shared;
use super::slice::Slice;
use super::stack::{Reference, Stack};
use super::state::LuauState;
use super::string_table::StringTable;
use super::{library, records, slice};
use crate::script::Script;
use crate::types::ScriptError;

/// Work of one collector step, in KiB: about 20 microseconds.
const GC_STEP_KIB: c_int = 64;

/// Compiled once for all states.
static SANDBOX: LazyLock<Script> =
    LazyLock::new(|| Script::new("sandbox", include_bytes!("sandbox.luau").as_slice()));

impl LuauState {
    /// Opens a sandboxed state whose garbage collector only runs when it is asked to. In one that is repeatable, tables with
    /// objects as keys have the same order in each run.
    ///
    /// # Errors
    ///
    /// When there is not enough memory.
    pub(crate) fn open(host: HostFunctions, is_repeatable: bool) -> Result<Self, ScriptError> {
        let mut state = Self::without_memory(host, is_repeatable);
        let data = (&raw mut *state.memory).cast::<c_void>();
        // SAFETY: `allocate` gets the `Memory` that it wants, which outlives the state.
        let main = unsafe { ffi::lua_newstate(memory::allocate, data) };
        if main.is_null() {
            let message = "not enough memory for a Luau state";
            return Err(ScriptError::new(message));
        }
        state.main = main;
        let callbacks = state.main().callbacks();
        // SAFETY: they live as long as the state, and nobody has a reference to them.
        unsafe { (*callbacks).userdata = state.shared.cast::<c_void>() };
        state.control_collector(ffi::LUA_GCSTOP, 0);
        if !state.protect_first(|stack| stack.open_libraries()) {
            let message = "not enough memory for a Luau state";
            return Err(ScriptError::new(message));
        }
        let sandbox = state.load(SANDBOX.name(), SANDBOX.bytecode().expect("the sandbox compiles"))?;
        let host = state.context().host().clone();
        // SAFETY: what is pushed of them lives as long as the state: the context holds them.
        let push_host_functions =
            |stack: &mut Stack<'_>| unsafe { library::push_host_functions(stack, &host) };
        state.environment_metatable =
            state.protect(|stack| build_sandbox(stack, sandbox.0, push_host_functions))?;
        state.unload(sandbox);
        state.knows_layout = knows_layout(&mut state.main());
        state.find_string_table();
        state.control_collector(ffi::LUA_GCSETSTEPSIZE, GC_STEP_KIB);
        let finds_callbacks = state.protect(finds_callbacks)?;
        // SAFETY: callbacks are found if that says so.
        unsafe { slice::install(state.main_thread(), finds_callbacks) };
        state.collect();
        Ok(state)
    }

    /// Tells the allocator where the strings of the state are.
    fn find_string_table(&mut self) {
        let is_block = |data, size| self.memory.has_block(data, size);
        // SAFETY: the layout is known if that says so. The memory goes with the state.
        let table = self.knows_layout.then(|| unsafe { StringTable::find(self.main_thread(), is_block) });
        self.memory.set_string_table(table.flatten());
    }

    /// What there is of a state before Luau's part of it.
    fn without_memory(host: HostFunctions, is_repeatable: bool) -> Self {
        let shared = Box::into_raw(Box::new(Shared::new(Context::new(host))));
        let slice = shared.cast::<Slice>().cast_const(); // which it begins with
        Self {
            main: ptr::null_mut(),
            threads: Vec::new(),
            handed_over: HashMap::default(),
            roots: Roots::default(),
            knows_layout: false,
            has_records: false,
            environment_metatable: Reference::NONE,
            protected_call: Reference::NONE,
            shared,
            // SAFETY: it lives as long as the state: see `LuauState::drop`.
            memory: Box::new(unsafe { Memory::charged_to(slice, is_repeatable) }),
            #[cfg(feature = "save")]
            image: None,
        }
    }
}

/// Runs `sandbox.luau` and puts the frozen base where the main thread's globals were. Returns the metatable of
/// environments. `sandbox` is that loaded script, and `push_host_functions` pushes a table.
fn build_sandbox(
    stack: &mut Stack<'_>,
    sandbox: Reference,
    push_host_functions: impl FnOnce(&mut Stack<'_>),
) -> Reference {
    library::replace(stack);
    stack.push_reference(sandbox);
    library::push_functions(stack);
    push_host_functions(stack);
    stack.call(2, 2);
    let environment = stack.top();
    let base = environment - 1;
    library::connect(stack, base, environment);
    records::connect(stack);
    library::explain_nil(stack);
    stack.set_safe_environment(base, true);
    // The libraries as they were are reachable from here and from the old globals only.
    stack.push_nil();
    stack.register(c"_LOADED");
    // Scripts are loaded on the main thread, and `luau_load` resolves their imports in its
    // globals: they must be the frozen base and nothing that a script can change.
    debug_assert!(ptr::eq(stack.main_thread(), stack.thread()), "protected calls run on the main thread");
    stack.push_value(base);
    stack.set_globals();
    stack.encode_pointers(pointer_keys());
    stack.refer_to(environment)
}

/// Keys with which Luau encodes the addresses that `tostring({})` shows: different in each state, so
/// that scripts do not learn where the game's memory is.
fn pointer_keys() -> [u64; 4] {
    use std::hash::{BuildHasher, RandomState};
    let hasher = RandomState::new();
    [0u64, 1, 2, 3].map(|key| hasher.hash_one(key))
}
