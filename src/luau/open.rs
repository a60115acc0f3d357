//! Opening a state: libraries, sandbox, callbacks.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::LazyLock;

use bevy::platform::collections::HashMap;
use mlua::ffi;

use super::anchors::Roots;
use super::bases::Bases;
use super::context::Context;
use super::host_functions::{HostFunctions, LibrarySet};
use super::memory::{self, Memory};
use super::objects::Objects;
use super::prefetch::{finds_callbacks, knows_layout};
use super::shared::Shared;
use super::slice::Slice;
use super::stack::{Reference, Stack};
use super::state::LuauState;
use super::string_table::StringTable;
use super::{library, records, slice};
use crate::random;
use crate::script::Script;
use crate::types::ScriptError;

/// Work of one collector step, in KiB: about 20 microseconds.
const GC_STEP_KIB: c_int = 64;

/// Compiled once for all states.
static SANDBOX: LazyLock<Script> =
    LazyLock::new(|| Script::new("sandbox", include_bytes!("sandbox.luau").as_slice()));

impl LuauState {
    /// Opens a sandboxed state whose garbage collector only runs when it is asked to. With a seed, what scripts see of
    /// addresses is the same in each run: the order of tables with objects as keys, and what `tostring` makes of objects.
    ///
    /// # Errors
    ///
    /// When there is not enough memory.
    pub(crate) fn open(host: HostFunctions, seed: Option<u64>) -> Result<Self, ScriptError> {
        let mut state = Self::without_memory(host, seed.is_some());
        let data = (&raw mut *state.memory).cast::<c_void>();
        // SAFETY: `allocate` gets the `Memory` that it wants, which outlives the state.
        let main = unsafe { ffi::lua_newstate(memory::allocate, data) };
        if main.is_null() {
            let message = "not enough memory for a Luau state";
            return Err(ScriptError::new(message));
        }
        state.main = main;
        let shared = state.shared.cast::<c_void>();
        state.main_thread().with_callbacks(|callbacks| callbacks.userdata = shared);
        state.control_collector(ffi::LUA_GCSTOP, 0);
        if !state.protect_first(|stack| stack.open_libraries()) {
            let message = "not enough memory for a Luau state";
            return Err(ScriptError::new(message));
        }
        let sandbox = state.load(SANDBOX.name(), SANDBOX.bytecode().expect("the sandbox compiles"), None)?;
        let keys = pointer_keys(seed, state.memory.base());
        state.sandbox = state.protect(|stack| build_sandbox(stack, sandbox.0, keys))?;
        state.base(LibrarySet::default())?;
        state.unload(sandbox);
        state.knows_layout = knows_layout(&mut state.main());
        state.find_string_table();
        state.objects = state.protect(Objects::known)?;
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
            objects: None,
            audit: None,
            has_records: false,
            sandbox: Reference::NONE,
            bases: Bases::default(),
            protected_call: Reference::NONE,
            shared,
            // SAFETY: it lives as long as the state: see `LuauState::drop`.
            memory: Box::new(unsafe { Memory::charged_to(slice, is_repeatable) }),
            #[cfg(feature = "save")]
            images: Vec::new(),
        }
    }
}

/// Runs `sandbox.luau`, a loaded script. Returns the function that it has returned.
fn build_sandbox(stack: &mut Stack<'_>, sandbox: Reference, pointer_keys: [u64; 4]) -> Reference {
    library::replace(stack);
    records::connect(stack);
    library::explain_nil(stack);
    library::show_entities(stack);
    stack.encode_pointers(pointer_keys);
    stack.push_reference(sandbox);
    library::push_functions(stack);
    stack.call(1, 1);
    let sandbox = stack.refer_to(-1);
    stack.pop(1);
    // The libraries as they were are reachable from here and from the old globals only.
    stack.push_nil();
    stack.register(c"_LOADED");
    sandbox
}

/// Keys with which Luau encodes the addresses that `tostring({})` shows, so that scripts do not learn where the game's
/// memory is. With a seed they repeat; otherwise they are different in each state.
///
/// An address `p` becomes `(a * p + c) ^ (b * p + d)` (`lua_encodepointer` in lapi.cpp), where `a` is made even and `b` odd.
/// Where the memory begins is taken off `c` and `d`, so that only the distance from there shows.
fn pointer_keys(seed: Option<u64>, base: usize) -> [u64; 4] {
    use std::hash::{BuildHasher, RandomState};
    let Some(seed) = seed else {
        let hasher = RandomState::new();
        return [0u64, 1, 2, 3].map(|key| hasher.hash_one(key));
    };
    let [a, b, c, d] = [0, 1, 2, 3].map(|key| random::derive(seed, ("addresses", key)));
    let (a, b, base) = (a & !1, b | 1, base as u64);
    [a, b, c.wrapping_sub(a.wrapping_mul(base)), d.wrapping_sub(b.wrapping_mul(base))]
}
