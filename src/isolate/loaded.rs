//! The scripts that a Luau state has loaded.

use bevy::platform::collections::HashMap;

use crate::luau::{LoadedProgram, LuauState};
use crate::script::Script;
use crate::types::ScriptError;

/// Scripts that a state keeps loaded. Beyond that it forgets them all and loads again what it needs.
const MAX_SCRIPTS: usize = 64;

/// Bytes of bytecode that a state keeps loaded, in the same way; loaded it takes several times as much.
const MAX_BYTES: usize = 512 * 1024;

/// See the [module](self).
#[derive(Default)]
pub(super) struct LoadedScripts {
    /// By address.
    programs: HashMap<usize, (Script, LoadedProgram)>,
    /// How much bytecode they have, together.
    bytes: usize,
}

impl LoadedScripts {
    /// What a script is in `state`, which is always the same.
    ///
    /// # Errors
    ///
    /// When the script does not compile, or the state is out of memory.
    pub(super) fn load(
        &mut self,
        state: &mut LuauState,
        script: &Script,
    ) -> Result<LoadedProgram, ScriptError> {
        if let Some(&(_, program)) = self.programs.get(&script.address()) {
            return Ok(program);
        }
        let program = state.load_program(script)?;
        self.bytes += program.bytes;
        if self.programs.len() == MAX_SCRIPTS || self.bytes > MAX_BYTES {
            self.bytes = program.bytes;
            for (_, (_, program)) in self.programs.drain() {
                state.unload_program(program);
            }
        }
        self.programs.insert(script.address(), (script.clone(), program));
        Ok(program)
    }
}
