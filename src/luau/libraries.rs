//! Making a base with libraries of the game.
//!
//! Scripts are loaded on the main thread, and `luau_load` resolves their imports in its globals. So these are the base
//! of the VM whose script is loaded, frozen, and each set of libraries has scripts of its own.

use std::ptr;

use super::bases::Base;
use super::host_functions::LibrarySet;
use super::library;
use super::state::LuauState;
use crate::types::ScriptError;

impl LuauState {
    /// The base with some libraries of the game, and what all scripts have. It is made when it is first asked for, and
    /// charged to nobody.
    ///
    /// # Errors
    ///
    /// When the state is out of memory, or a library has something that is there already.
    pub(super) fn base(&mut self, set: LibrarySet) -> Result<Base, ScriptError> {
        if let Some(base) = self.bases.find(set) {
            return Ok(base);
        }
        let (sandbox, is_first) = (self.sandbox, self.bases.is_empty());
        let host = self.context().host().clone();
        let base = self.protect(|stack| {
            debug_assert!(
                ptr::eq(stack.main_thread().address(), stack.thread()),
                "protected calls run on the main thread"
            );
            let bottom = stack.top();
            stack.push_reference(sandbox);
            let mut libraries = 0;
            for library in std::iter::once(host.for_all()).chain(host.of_set(set)) {
                // SAFETY: it lives as long as the state: the context holds it.
                unsafe { library::push_library(stack, library) };
                libraries += 1;
            }
            stack.call(libraries, 2);
            let [table, environment] = [bottom + 1, bottom + 2];
            if is_first {
                library::connect(stack, table);
            }
            library::connect_environment(stack, table, environment);
            stack.set_safe_environment(table, true);
            let base = Base { table: stack.refer_to(table), environment: stack.refer_to(environment) };
            stack.push_value(table);
            stack.set_globals();
            base
        })?;
        self.bases.insert(set, base);
        Ok(base)
    }
}
