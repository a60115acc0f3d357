//! Programs: scripts with all modules that they can reach.
//!
//! A program with modules has *links*: a frozen table that says, for the name of each of its scripts, which function
//! each `require` there means.

use bevy::platform::collections::HashMap;

use super::bases::Base;
use super::host_functions::LibrarySet;
use super::records;
use super::stack::{Reference, Stack};
use super::state::{LuauState, MainFunction, chunk_name};
use crate::script::Script;
use crate::types::{ProcessIndex, ScriptError};

/// A script, loaded together with the modules that it can reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadedProgram {
    pub(super) main: MainFunction,
    pub(super) links: Option<Reference>,
    /// The metatable of the environments of its processes.
    pub(super) environment: Reference,
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
    /// Loads a script and the modules that it can reach, for VMs that have these libraries of the game.
    ///
    /// # Errors
    ///
    /// When one of them does not compile, or the state is out of memory.
    pub(crate) fn load_program(
        &mut self,
        script: &Script,
        libraries: LibrarySet,
    ) -> Result<LoadedProgram, ScriptError> {
        let base = self.base(libraries)?;
        let main = self.load_script(script, base)?;
        let mut bytes = bytecode_bytes(script);
        let mut links = None;
        if !script.modules().is_empty() {
            match self.link(script, base) {
                Ok((made, more)) => (links, bytes) = (Some(made), bytes + more),
                Err(error) => {
                    self.unload(main);
                    return Err(error);
                }
            }
        }
        Ok(LoadedProgram { main, links, environment: base.environment, bytes })
    }

    fn load_script(&mut self, script: &Script, base: Base) -> Result<MainFunction, ScriptError> {
        let bytecode =
            script.bytecode().map_err(|error| ScriptError::new(error.to_string()).at(error.place()))?;
        self.load(script.name(), bytecode, Some(base))
    }

    /// Forgets a program. Processes that run it are not affected.
    pub(crate) fn unload_program(&mut self, program: LoadedProgram) {
        #[cfg(feature = "save")]
        self.images.iter_mut().for_each(|(_, cache)| cache.forget_programs());
        self.unload(program.main);
        if let Some(links) = program.links {
            self.main().release(links);
        }
    }

    /// Loads the modules that a script can reach and makes the links of the program. Also tells how much
    /// bytecode they have.
    fn link(&mut self, script: &Script, base: Base) -> Result<(Reference, usize), ScriptError> {
        let modules = script.reachable_modules();
        let parts: Vec<&Script> = std::iter::once(script).chain(&modules).collect();
        // What cannot be loaded is an error where it is required: that may be inside a `pcall`.
        let modules = parts[1..].iter().map(|part| (part.address(), self.load_script(part, base))).collect();
        let links = self.protect(|stack| make_links(stack, &parts, &modules));
        for function in modules.into_values().flatten() {
            self.unload(function); // the links keep it
        }
        Ok((links?, parts[1..].iter().map(|part| bytecode_bytes(part)).sum()))
    }

    /// Ends whatever runs on `thread`, like [`LuauState::reset`], and keeps its state table for the
    /// process that starts there next.
    pub(crate) fn restart(&mut self, thread: ProcessIndex) {
        self.end_parked(thread);
        let not_started = self.handed_over.remove(&thread);
        let has_started = self.threads.get(thread.at()).is_some_and(|process| process.root.is_some());
        let mut kept = None;
        if has_started {
            kept = self.protect_with_root(thread, |_, root| records::take_state(root)).ok().flatten();
        }
        self.reset(thread);
        match (kept, not_started) {
            (Some(kept), not_started) => {
                self.handed_over.insert(thread, kept);
                not_started.into_iter().for_each(|table| self.main().release(table));
            }
            (None, Some(not_started)) => drop(self.handed_over.insert(thread, not_started)),
            (None, None) => {}
        }
    }

    /// Forgets the state table that was kept for the next process on `thread`.
    pub(super) fn forget_state(&mut self, thread: ProcessIndex) {
        if !self.handed_over.is_empty()
            && let Some(table) = self.handed_over.remove(&thread)
        {
            self.main().release(table);
        }
    }
}

fn bytecode_bytes(script: &Script) -> usize {
    script.bytecode().map_or(0, |bytecode| bytecode.as_bytes().len())
}

/// Makes the links of a program of these `parts`, of which `loaded` has the main functions. In the place of one that
/// could not be loaded is a text that says why.
fn make_links(
    stack: &mut Stack<'_>,
    parts: &[&Script],
    loaded: &HashMap<usize, Result<MainFunction, ScriptError>>,
) -> Reference {
    stack.push_table(0, 0);
    for part in parts.iter().filter(|part| !part.modules().is_empty()) {
        stack.push_bytes(&chunk_name(part.name()));
        stack.push_table(0, part.modules().len());
        for module in part.modules() {
            stack.push_bytes(module.specifier.as_bytes());
            match &loaded[&module.script.address()] {
                Ok(function) => _ = stack.push_reference(function.0),
                Err(error) => stack.push_bytes(error.message.as_bytes()),
            }
            stack.raw_set(-3);
        }
        stack.raw_set(-3);
    }
    let links = stack.refer_to(-1);
    stack.pop(1);
    links
}
