//! The scripts that a Luau state has loaded.

use bevy::platform::collections::HashMap;

use crate::luau::{LibrarySet, LoadedProgram, LuauState};
use crate::script::Script;
use crate::types::ScriptError;

/// Scripts that a state keeps loaded. Beyond that it forgets them all and loads again what it needs.
const MAX_SCRIPTS: usize = 64;

/// Bytes of bytecode that a state keeps loaded, in the same way; loaded it takes several times as much.
const MAX_BYTES: usize = 512 * 1024;

/// See the [module](self).
#[derive(Default)]
pub(super) struct LoadedScripts {
    /// By address, and by the libraries of the VMs that run it.
    programs: HashMap<(usize, LibrarySet), (Script, LoadedProgram)>,
    /// How much bytecode they have, together.
    bytes: usize,
}

impl LoadedScripts {
    /// What a script is in `state`, which is always the same, for VMs that have these libraries.
    ///
    /// # Errors
    ///
    /// When the script does not compile, or the state is out of memory.
    pub(super) fn load(
        &mut self,
        state: &mut LuauState,
        script: &Script,
        libraries: LibrarySet,
    ) -> Result<LoadedProgram, ScriptError> {
        let key = (script.address(), libraries);
        if let Some(&(_, program)) = self.programs.get(&key) {
            return Ok(program);
        }
        let program = state.load_program(script, libraries)?;
        self.bytes += program.bytes;
        if self.programs.len() == MAX_SCRIPTS || self.bytes > MAX_BYTES {
            self.bytes = program.bytes;
            for (_, (_, program)) in self.programs.drain() {
                state.unload_program(program);
            }
        }
        self.programs.insert(key, (script.clone(), program));
        Ok(program)
    }
}
