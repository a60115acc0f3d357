//! What the game has registered for scripts to call.

use std::any::Any;
use std::ffi::{CStr, CString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::arguments::CallArguments;
#[cfg(feature = "save")]
use super::request::Again;
use super::request::ExternalRequest;
#[cfg(feature = "ecs")]
use super::world::{WorldCaller, WorldChange, WorldFunctions, WorldResults};
use crate::script::Script;
use crate::value::{Arguments, Results, Value};

/// Gives the arguments of a syscall their type.
pub(crate) type Parser = Box<dyn Fn(Arguments) -> Result<Box<dyn Any + Send + Sync>, String> + Send + Sync>;

pub(crate) type BoxedFunction = Box<dyn Fn(&CallArguments) -> Result<Results, String> + Send + Sync>;

/// The libraries of an app: what it gives to all scripts, and what it gives to those of some VMs.
#[derive(Clone)]
pub(crate) struct HostFunctions(Arc<Vec<Library>>);

/// What a game gives to scripts under one name.
#[derive(Default)]
pub(crate) struct Library {
    name: Box<str>,
    functions: Vec<HostEntry>,
    constants: Vec<(CString, Value)>,
    preludes: Vec<Script>,
}

/// The number of the library that all scripts have.
pub(crate) const FOR_ALL: usize = 0;

/// Libraries of an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LibrarySet(u64);

/// How many libraries there may be.
const MAX_LIBRARIES: usize = u64::BITS as usize;

impl LibrarySet {
    /// The same with one more.
    #[must_use]
    pub(crate) fn with(self, library: usize) -> Self {
        Self(self.0 | 1 << library)
    }

    fn has(self, library: usize) -> bool {
        self.0 & 1 << library != 0
    }
}

impl Default for HostFunctions {
    fn default() -> Self {
        Self(Arc::new(vec![Library::default()]))
    }
}

/// A host function, for those who call it often.
pub(crate) type HostEntry = (CString, Entry);

/// What is behind a path.
pub(crate) enum Entry {
    Function(BoxedFunction),
    Syscall(SyscallEntry),
    /// A function that looks at the world, with its number among those.
    #[cfg(feature = "ecs")]
    World(usize),
}

/// A syscall.
pub(crate) struct SyscallEntry {
    /// Its number among the syscalls.
    pub(crate) number: usize,
    pub(crate) parser: Parser,
    /// How long its calls wait for an answer, if that is not what is usual.
    pub(crate) timeout: Option<Duration>,
    /// Whether calls that the game has got are made again when their VM was saved and loaded.
    #[cfg(feature = "save")]
    pub(crate) repeats: bool,
}

#[cfg(feature = "save")]
impl Entry {
    fn is_repeated(&self) -> bool {
        matches!(self, Self::Syscall(SyscallEntry { repeats: true, .. }))
    }
}

/// Why a host function has no result.
pub(crate) enum HostError {
    /// It says so, or its arguments were wrong.
    Error(String),
    /// It panicked, with this message.
    Panic(String),
}

impl Library {
    pub(super) fn functions(&self) -> &[HostEntry] {
        &self.functions
    }

    pub(super) fn constants(&self) -> &[(CString, Value)] {
        &self.constants
    }

    /// What it has, by path.
    fn paths(&self) -> impl Iterator<Item = &CStr> {
        let constants = self.constants.iter().map(|(path, _)| &**path);
        self.functions.iter().map(|(path, _)| &**path).chain(constants)
    }
}

impl HostFunctions {
    /// The number of the library with a name, which is made if there is none.
    ///
    /// # Panics
    ///
    /// When there are too many, or when an isolate holds on to them.
    #[track_caller]
    pub(crate) fn library(&mut self, name: &str) -> usize {
        if let Some(number) = self.find(name) {
            return number;
        }
        let number = self.0.len();
        assert!(
            number < MAX_LIBRARIES,
            "host_library({name:?}): there are {MAX_LIBRARIES} libraries already"
        );
        self.change("host_library", name).push(Library { name: name.into(), ..Library::default() });
        number
    }

    /// The number of the library with a name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().skip(FOR_ALL + 1).position(|library| &*library.name == name).map(|at| at + FOR_ALL + 1)
    }

    /// # Panics
    ///
    /// When `path` is not a name or taken, or when an isolate holds on to the functions.
    #[track_caller]
    pub(crate) fn add(&mut self, library: usize, path: &str, entry: Entry) {
        let add = match entry {
            Entry::Function(_) => "add_host_function",
            Entry::Syscall(..) => "add_syscall",
            #[cfg(feature = "ecs")]
            Entry::World(_) => "LuauOsPlugin",
        };
        self.check(library, path, add);
        let function = (CString::new(path).unwrap_or_default(), entry);
        self.change(add, path)[library].functions.push(function);
    }

    /// # Panics
    ///
    /// The same; and when the value cannot be a constant.
    #[track_caller]
    pub(crate) fn add_constant(&mut self, library: usize, path: &str, value: Value) {
        self.check(library, path, "add_constant");
        assert!(
            is_constant(&value),
            "add_constant({path:?}): it has a buffer, which scripts could change, or an object of a script"
        );
        let constant = (CString::new(path).unwrap_or_default(), value);
        self.change("add_constant", path)[library].constants.push(constant);
    }

    /// # Panics
    ///
    /// When the script does not compile or requires something, or when an isolate holds on to the functions.
    #[track_caller]
    pub(crate) fn add_prelude(&mut self, library: usize, script: Script) {
        let name = script.name();
        if let Err(error) = script.compile() {
            panic!("add_prelude({name:?}): {error}");
        }
        assert!(script.modules().is_empty(), "add_prelude({name:?}): it cannot require modules");
        self.change("add_prelude", name)[library].preludes.push(script.clone());
    }

    /// What runs before the scripts of VMs with these libraries.
    pub(crate) fn preludes(&self, set: LibrarySet) -> impl Iterator<Item = &Script> {
        std::iter::once(self.for_all()).chain(self.of_set(set)).flat_map(|library| &library.preludes)
    }

    #[track_caller]
    fn change(&mut self, add: &str, path: &str) -> &mut Vec<Library> {
        let libraries = Arc::get_mut(&mut self.0);
        libraries.unwrap_or_else(|| panic!("{add}({path:?}): add it before the first process starts"))
    }

    #[track_caller]
    fn check(&self, library: usize, path: &str, add: &str) {
        assert!(path.split('.').all(is_name), "{add}({path:?}): expected names with dots between them");
        let first = path.split('.').next().unwrap_or_default();
        assert!(
            !RESERVED.contains(&first) || (path.contains('.') && LIBRARIES.contains(&first)),
            "{add}({path:?}): `{first}` is Luau's"
        );
        let others = self.0.iter().enumerate();
        let others = others.filter(|&(other, _)| [other, library].contains(&FOR_ALL) || other == library);
        for taken in others.flat_map(|(_, library)| library.paths()).map(CStr::to_string_lossy) {
            let overlaps = |a: &str, b: &str| {
                a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            assert!(
                !overlaps(path, &taken) && !overlaps(&taken, path),
                "{add}({path:?}): there is `{taken}`"
            );
        }
    }

    /// What all scripts have.
    pub(super) fn for_all(&self) -> &Library {
        &self.0[FOR_ALL]
    }

    /// Some of the other libraries, in the order in which they were made.
    pub(super) fn of_set(&self, set: LibrarySet) -> impl Iterator<Item = &Library> {
        self.0.iter().enumerate().filter(move |&(number, _)| set.has(number)).map(|(_, library)| library)
    }

    /// Sets how long calls of a syscall wait for an answer.
    ///
    /// # Panics
    ///
    /// When the library has no syscall with that path, or when an isolate holds on to the functions.
    #[track_caller]
    pub(crate) fn set_timeout(&mut self, library: usize, path: &str, timeout: Duration) {
        let functions = &mut self.change("set_syscall_timeout", path)[library].functions;
        let syscall = functions.iter_mut().find_map(|(name, entry)| match entry {
            Entry::Syscall(syscall) if name.to_bytes() == path.as_bytes() => Some(syscall),
            _ => None,
        });
        match syscall {
            Some(syscall) => syscall.timeout = Some(timeout),
            None => panic!("set_syscall_timeout({path:?}): there is no such syscall; add it before"),
        }
    }

    /// What a call of a syscall asks for.
    pub(crate) fn parse((_, entry): &HostEntry, arguments: Arguments) -> Result<ExternalRequest, HostError> {
        let Entry::Syscall(SyscallEntry { number, parser, timeout, .. }) = entry else {
            return Err(HostError::Error("no such syscall".to_owned()));
        };
        #[cfg(feature = "save")]
        let again = Box::new(Again { arguments: arguments.clone(), repeats: entry.is_repeated() });
        // The arguments' types may have code of their own.
        let args = catch(|| parser(arguments))?;
        Ok(ExternalRequest::Syscall {
            number: *number,
            args,
            timeout: *timeout,
            #[cfg(feature = "save")]
            again: Some(again),
        })
    }

    /// Calls a function that looks at the world.
    #[cfg(feature = "ecs")]
    pub(super) fn look(
        (_, entry): &HostEntry,
        world: &dyn WorldFunctions,
        caller: WorldCaller,
        arguments: &CallArguments,
        changes: &mut Vec<WorldChange>,
    ) -> Result<WorldResults, HostError> {
        let Entry::World(number) = entry else {
            return Err(HostError::Error("no such function".to_owned()));
        };
        // The components' types have code of their own.
        catch(|| world.call(*number, caller, arguments, changes))
    }

    /// The syscall with a path.
    #[cfg(feature = "save")]
    pub(crate) fn syscall(&self, path: &[u8]) -> Option<&HostEntry> {
        let mut functions = self.0.iter().flat_map(|library| &library.functions);
        functions.find(|(known, entry)| matches!(entry, Entry::Syscall(_)) && known.to_bytes() == path)
    }

    /// The path of a syscall.
    #[cfg(feature = "save")]
    pub(crate) fn path_of_syscall(&self, wanted: usize) -> Option<&CStr> {
        let is_it = |entry: &Entry| matches!(entry, Entry::Syscall(syscall) if syscall.number == wanted);
        let mut functions = self.0.iter().flat_map(|library| &library.functions);
        functions.find(|(_, entry)| is_it(entry)).map(|(path, _)| &**path)
    }

    /// Calls of a syscall that the game has got are made again when their VM was saved and loaded.
    ///
    /// # Panics
    ///
    /// When no library has a syscall with that path, or when an isolate holds on to the functions.
    #[cfg(feature = "save")]
    #[track_caller]
    pub(crate) fn repeat_syscall(&mut self, path: &str) {
        let libraries = self.change("repeat_syscall", path).iter_mut();
        let mut functions = libraries.flat_map(|library| &mut library.functions);
        let syscall = functions.find_map(|(name, entry)| match entry {
            Entry::Syscall(syscall) if name.to_bytes() == path.as_bytes() => Some(syscall),
            _ => None,
        });
        match syscall {
            Some(syscall) => syscall.repeats = true,
            None => panic!("repeat_syscall({path:?}): there is no such syscall; add it before"),
        }
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

/// Whether scripts of several processes may have a value.
fn is_constant(value: &Value) -> bool {
    match value {
        Value::Buffer(_) | Value::Opaque(_) => false,
        Value::Table(entries) => entries.iter().all(|(key, value)| is_constant(key) && is_constant(value)),
        _ => true,
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
    "host",
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
    "host",
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
