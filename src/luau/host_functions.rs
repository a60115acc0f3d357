//! What the game has registered for scripts to call.

use std::any::Any;
use std::ffi::{CStr, CString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::arguments::CallArguments;
use crate::value::{Arguments, Results};

/// Gives the arguments of a syscall their type.
pub(crate) type Parser = Box<dyn Fn(Arguments) -> Result<Box<dyn Any + Send + Sync>, String> + Send + Sync>;

pub(crate) type BoxedFunction = Box<dyn Fn(&CallArguments) -> Result<Results, String> + Send + Sync>;

/// The host functions of an app, with their paths.
#[derive(Clone, Default)]
pub(crate) struct HostFunctions(Arc<Vec<(CString, Entry)>>);

/// A host function, for those who call it often.
pub(crate) type HostEntry = (CString, Entry);

/// What is behind a path.
pub(crate) enum Entry {
    Function(BoxedFunction),
    Syscall {
        /// Its number among the syscalls.
        number: usize,
        parser: Parser,
        /// Whether calls without an answer are made again when their VM was saved and loaded.
        #[cfg(feature = "save")]
        repeats: bool,
    },
}

impl Entry {
    pub(super) fn is_syscall(&self) -> bool {
        matches!(self, Self::Syscall { .. })
    }
}

#[cfg(feature = "save")]
impl Entry {
    pub(crate) fn is_repeated(&self) -> bool {
        matches!(self, Self::Syscall { repeats: true, .. })
    }
}

/// Why a host function has no result.
pub(crate) enum HostError {
    /// It says so, or its arguments were wrong.
    Error(String),
    /// It panicked, with this message.
    Panic(String),
}

impl HostFunctions {
    /// # Panics
    ///
    /// When `path` is not a name or taken, or when an isolate holds on to the functions.
    #[track_caller]
    pub(crate) fn add(&mut self, path: &str, entry: Entry) {
        let add = match entry {
            Entry::Function(_) => "add_host_function",
            Entry::Syscall { .. } => "add_syscall",
        };
        assert!(path.split('.').all(is_name), "{add}({path:?}): expected names with dots between them");
        let first = path.split('.').next().unwrap_or_default();
        assert!(
            !RESERVED.contains(&first) || (path.contains('.') && LIBRARIES.contains(&first)),
            "{add}({path:?}): `{first}` is Luau's"
        );
        for taken in self.paths().map(CStr::to_string_lossy) {
            let overlaps = |a: &str, b: &str| {
                a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            assert!(
                !overlaps(path, &taken) && !overlaps(&taken, path),
                "{add}({path:?}): there is `{taken}`"
            );
        }
        let Some(functions) = Arc::get_mut(&mut self.0) else {
            panic!("{add}({path:?}): add it before the first process starts");
        };
        functions.push((CString::new(path).unwrap_or_default(), entry));
    }

    /// The paths, in the order of their numbers.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &CStr> {
        self.0.iter().map(|(path, _)| &**path)
    }

    pub(super) fn entries(&self) -> &[HostEntry] {
        &self.0
    }

    /// The number of a syscall, and its arguments with their type.
    pub(crate) fn parse(
        (_, entry): &HostEntry,
        arguments: Arguments,
    ) -> Result<(usize, Box<dyn Any + Send + Sync>), HostError> {
        let Entry::Syscall { number, parser, .. } = entry else {
            return Err(HostError::Error("no such syscall".to_owned()));
        };
        // The arguments' types may have code of their own.
        let args = catch(|| parser(arguments))?;
        Ok((*number, args))
    }

    /// The syscall with a path.
    #[cfg(feature = "save")]
    pub(crate) fn syscall(&self, path: &[u8]) -> Option<&HostEntry> {
        self.0.iter().find(|(known, entry)| entry.is_syscall() && known.to_bytes() == path)
    }

    /// The path of a syscall.
    #[cfg(feature = "save")]
    pub(crate) fn path_of_syscall(&self, wanted: usize) -> Option<&CStr> {
        let is_it = |entry: &Entry| matches!(entry, Entry::Syscall { number, .. } if *number == wanted);
        self.0.iter().find(|(_, entry)| is_it(entry)).map(|(path, _)| &**path)
    }

    /// Calls of a syscall without an answer are made again when their VM was saved and loaded. `false` if there is none
    /// with that path, or if an isolate holds on to the functions.
    #[cfg(feature = "save")]
    pub(crate) fn repeat_syscall(&mut self, path: &str) -> bool {
        let functions = Arc::get_mut(&mut self.0).into_iter().flatten();
        let mut found = false;
        for (_, entry) in functions.filter(|(known, _)| known.to_bytes() == path.as_bytes()) {
            if let Entry::Syscall { repeats, .. } = entry {
                (*repeats, found) = (true, true);
            }
        }
        found
    }

    /// Calls a function.
    #[inline]
    pub(super) fn call(entry: &HostEntry, arguments: &CallArguments) -> Result<Results, HostError> {
        let Entry::Function(function) = &entry.1 else {
            return Err(HostError::Error("no such function".to_owned()));
        };
        catch(|| function(arguments))
    }
}

#[inline]
fn catch<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, HostError> {
    // It is the caller that ends if the function leaves something half done.
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(HostError::Error),
        Err(panic) => Err(HostError::Panic(panic_message(&*panic))),
    }
}

/// Of those, the tables that the game can add to.
const LIBRARIES: &[&str] = &[
    "bit32",
    "buffer",
    "coroutine",
    "debug",
    "integer",
    "json",
    "mailbox",
    "math",
    "os",
    "process",
    "signal",
    "string",
    "table",
    "task",
    "utf8",
    "vector",
];

/// Names that are taken in each sandbox.
const RESERVED: &[&str] = &[
    "_G",
    "_VERSION",
    "assert",
    "bit32",
    "buffer",
    "coroutine",
    "debug",
    "error",
    "getmetatable",
    "integer",
    "ipairs",
    "json",
    "mailbox",
    "math",
    "newproxy",
    "next",
    "os",
    "pairs",
    "pcall",
    "print",
    "process",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "require",
    "select",
    "setmetatable",
    "signal",
    "string",
    "table",
    "task",
    "tonumber",
    "tostring",
    "type",
    "typeof",
    "unpack",
    "utf8",
    "vector",
    "warn",
    "xpcall",
];

fn is_name(text: &str) -> bool {
    text.bytes()
        .enumerate()
        .all(|(i, byte)| byte == b'_' || byte.is_ascii_alphabetic() || (i > 0 && byte.is_ascii_digit()))
        && !text.is_empty()
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
