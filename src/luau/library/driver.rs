//! Loops in Luau that stand behind functions which call code of scripts: it is preempted there, and can wait.

use std::borrow::Cow;
use std::ffi::CStr;
use std::sync::OnceLock;

use super::call::{Call, Failure};
use crate::luau::stack::Kind;
#[cfg(feature = "save")]
use crate::luau::stack::Stack;
use crate::script::Bytecode;

/// A chunk of ours. It has no line numbers, and its name is `[C]`: positions in errors and tracebacks are where they are
/// with Luau's own functions, but for the functions of the chunk between a callback and its caller.
pub(in crate::luau) struct Driver {
    /// Where it is in the registry when it is loaded.
    name: &'static CStr,
    source: &'static str,
    /// What is done to the source.
    edit: fn(&'static str) -> Cow<'static, str>,
    code: OnceLock<Bytecode>,
}

impl Driver {
    pub(super) const fn new(name: &'static CStr, source: &'static str) -> Self {
        Self::edited(name, source, Cow::Borrowed)
    }

    /// A variant of one, which `edit` makes.
    pub(super) const fn edited(
        name: &'static CStr,
        source: &'static str,
        edit: fn(&'static str) -> Cow<'static, str>,
    ) -> Self {
        Self { name, source, edit, code: OnceLock::new() }
    }

    /// Pushes its main function. A state loads it when it is first needed: most never do, and it would take a tenth of a
    /// fresh isolate.
    pub(super) fn push(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        if call.push_registered(self.name) == Kind::FUNCTION {
            return Ok(());
        }
        call.pop(1);
        let code =
            self.code.get_or_init(|| Bytecode::nameless(&(self.edit)(self.source)).expect("it is ours"));
        if !call.load_library(c"=[C]", code) {
            return Err(Failure::value());
        }
        call.push_value(-1);
        call.register(self.name);
        Ok(())
    }

    /// Where it is in the registry.
    #[cfg(feature = "save")]
    pub(in crate::luau) fn name(&self) -> &'static CStr {
        self.name
    }

    /// The same on the main thread, while nothing runs. `false` if it cannot be loaded.
    #[cfg(feature = "save")]
    pub(in crate::luau) fn push_on_main(&self, stack: &mut Stack<'_>) -> bool {
        if stack.push_registered(self.name) == Kind::FUNCTION {
            return true;
        }
        stack.pop(1);
        let code =
            self.code.get_or_init(|| Bytecode::nameless(&(self.edit)(self.source)).expect("it is ours"));
        let is_loaded = stack.load(c"=[C]", code);
        if is_loaded {
            stack.push_value(-1);
            stack.register(self.name);
        }
        is_loaded
    }
}
