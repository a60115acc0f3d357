//! Scripts: source text that is compiled once, however many processes run it.

mod bytecode;
mod cache;
mod compile;
mod directives;
mod error;
mod given_modules;
pub(crate) mod module_path;
mod queue;
mod reader;
pub(crate) mod requires;
mod safepoints;
#[cfg(feature = "save")]
pub(crate) mod saved;
mod scanner;

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bevy::platform::collections::HashSet;
use bevy::platform::hash::FixedHasher;

pub(crate) use cache::CompileCache;
pub use error::CompileError;
pub(crate) use queue::CompileQueue;

use compile::compile;
use requires::RequireCall;

/// The source of a program, with the name under which errors and tracebacks show it.
///
/// Cloning is cheap. The source is compiled the first time a process needs it, or when
/// [`Script::compile`] is called.
///
/// ```
/// use bevy_luau_os::Script;
///
/// let script = Script::new("greet", "print('hello')");
/// assert!(script.compile().is_ok());
/// assert!(Script::new("typo", "prin(").compile().is_err());
/// ```
#[derive(Clone)]
pub struct Script(Arc<ScriptData>);

struct ScriptData {
    name: Arc<str>,
    source: Arc<[u8]>,
    /// Of name, source and modules.
    hash: u64,
    bytecode: OnceLock<Result<Bytecode, CompileError>>,
    compiles_in_background: AtomicBool,
    modules: Box<[Module]>,
    /// What the game has given it to require, of which `modules` is made.
    given: Arc<Given>,
    /// Bytes of the longest source of all of them.
    longest_source: usize,
}

impl ScriptData {
    /// Why the script could not be loaded or put together, if that is so.
    fn asset_error(&self) -> Option<&CompileError> {
        let error = self.bytecode.get()?.as_ref().err()?;
        matches!(error, CompileError::Asset { .. }).then_some(error)
    }
}

/// A script that another one can `require`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Module {
    /// What the other script calls it.
    pub(crate) specifier: Arc<str>,
    /// With its own modules.
    pub(crate) script: Script,
}

/// What the game gives to a script.
#[derive(Clone, Debug, Default)]
struct Given {
    modules: Vec<GivenModule>,
    /// Names in lower case, and the paths that they stand for.
    aliases: Vec<(String, String)>,
}

/// A module that the game gives to a script.
#[derive(Clone, Debug)]
struct GivenModule {
    /// Under which it is required.
    path: Arc<str>,
    /// Without modules of its own.
    script: Script,
    /// What it requires.
    requires: Arc<[RequireCall]>,
}

/// Code that our compiler made. Luau runs it unchecked, so nothing else may be one.
#[derive(Clone, Debug)]
pub(crate) struct Bytecode(Arc<[u8]>);

impl Bytecode {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compiles a part of the library that does not show in errors and tracebacks: no line numbers,
    /// no names.
    pub(crate) fn nameless(source: &str) -> mlua::Result<Self> {
        mlua::chunk::Compiler::new()
            .set_debug_level(0)
            .set_optimization_level(2)
            .compile(source)
            .map(|code| Self(code.into()))
    }
}

impl Script {
    /// A script from its source, which may hold any bytes but 0 in its string literals.
    pub fn new(name: impl Into<Arc<str>>, source: impl Into<Vec<u8>>) -> Self {
        Self::from_parts(name.into(), source.into().into(), OnceLock::new(), Box::default(), Arc::default())
    }

    fn from_parts(
        name: Arc<str>,
        source: Arc<[u8]>,
        bytecode: OnceLock<Result<Bytecode, CompileError>>,
        modules: Box<[Module]>,
        given: Arc<Given>,
    ) -> Self {
        let hash = FixedHasher.hash_one((&name, &source, &modules));
        let longest_module = modules.iter().map(|module| module.script.longest_source()).max();
        let longest_source = source.len().max(longest_module.unwrap_or(0));
        let compiles_in_background = AtomicBool::new(false);
        Self(Arc::new(ScriptData {
            name,
            source,
            hash,
            bytecode,
            compiles_in_background,
            modules,
            given,
            longest_source,
        }))
    }

    /// The same script, with the modules that it may `require`.
    pub(crate) fn with_modules(&self, modules: Vec<Module>) -> Self {
        let ScriptData { name, source, bytecode, .. } = &*self.0;
        Self::from_parts(name.clone(), source.clone(), bytecode.clone(), modules.into(), Arc::default())
    }

    /// A script that could not be loaded: its processes fail with `message`.
    pub(crate) fn not_loaded(name: Arc<str>, message: String) -> Self {
        let error = CompileError::Asset { script: name.to_string(), message };
        Self::from_parts(name, Arc::default(), OnceLock::from(Err(error)), Box::default(), Arc::default())
    }

    /// Bytes of the longest source, of the script or of a module that it can reach.
    pub(crate) fn longest_source(&self) -> usize {
        self.0.longest_source
    }

    /// What the script may `require`.
    pub(crate) fn modules(&self) -> &[Module] {
        &self.0.modules
    }

    /// The modules that it can reach, each once.
    pub(crate) fn reachable_modules(&self) -> Vec<Script> {
        let mut modules: Vec<Script> = Vec::new();
        let mut seen = HashSet::new();
        let mut next = 0;
        let mut part = Some(self.clone());
        while let Some(script) = part {
            let required = script.modules().iter().map(|module| &module.script);
            modules.extend(required.filter(|module| seen.insert(module.address())).cloned());
            part = modules.get(next).cloned();
            next += 1;
        }
        modules
    }

    /// The name under which errors and tracebacks show this script.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.0.name.clone()
    }

    /// The source text.
    pub fn source(&self) -> &[u8] {
        &self.0.source
    }

    /// Compiles the script, unless that has been done.
    ///
    /// # Errors
    ///
    /// [`CompileError`], the same one each time but for [`CompileError::NoThread`]. A process of such a script fails with it.
    pub fn compile(&self) -> Result<(), CompileError> {
        self.bytecode().map(|_| ())
    }

    pub(crate) fn bytecode(&self) -> Result<&Bytecode, CompileError> {
        self.bytecode_by(compile)
    }

    fn bytecode_by(
        &self,
        compile: impl FnOnce(&str, &[u8]) -> Result<Box<[u8]>, CompileError>,
    ) -> Result<&Bytecode, CompileError> {
        let known = match self.0.bytecode.get() {
            Some(known) => known,
            None => match compile(&self.0.name, &self.0.source) {
                Err(error @ CompileError::NoThread { .. }) => return Err(error),
                compiled => self.0.bytecode.get_or_init(|| compiled.map(|code| Bytecode(code.into()))),
            },
        };
        known.as_ref().map_err(Clone::clone)
    }

    /// Whether it is known what the script compiles to.
    pub(crate) fn is_compiled(&self) -> bool {
        self.0.bytecode.get().is_some()
    }

    /// Whether this is the first call of this: so that nobody queues a script twice.
    fn is_queued_now(&self) -> bool {
        !self.0.compiles_in_background.swap(true, Ordering::Relaxed)
    }

    /// Compiles a script that was queued.
    fn compile_queued(&self) {
        if self.bytecode().is_err() && !self.is_compiled() {
            self.0.compiles_in_background.store(false, Ordering::Relaxed); // there was no thread: again
        }
    }

    /// Bytes that the script takes: its source, and its bytecode if it has been compiled.
    pub(crate) fn bytes(&self) -> usize {
        let bytecode = self.0.bytecode.get().and_then(|compiled| compiled.as_ref().ok());
        self.source().len() + bytecode.map_or(0, |bytecode| bytecode.as_bytes().len())
    }

    /// A number that tells this script from all other scripts that live.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

/// Scripts are equal when their names and sources are, and those of the modules that they require.
impl PartialEq for Script {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        Arc::ptr_eq(a, b)
            || (a.hash == b.hash
                && a.name == b.name
                && a.source == b.source
                && a.modules == b.modules
                && a.asset_error() == b.asset_error())
    }
}

impl Eq for Script {}

impl Hash for Script {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({:?}, {} bytes)", self.0.name, self.0.source.len())
    }
}

#[cfg(test)]
mod tests {
    use super::compile::FIRST_TEXT_BYTE;
    use super::*;

    #[test]
    fn syntax_errors_name_the_script_and_the_line() {
        let error = Script::new("bad.luau", "local x = 1\nlocal = 2").compile().unwrap_err();
        let CompileError::Syntax { script, line, message } = &error else { panic!("{error}") };
        assert_eq!((script.as_str(), *line), ("bad.luau", 2));
        assert!(message.contains("identifier"), "{message}");
        assert!(error.to_string().starts_with("bad.luau:2: "), "{error}");
    }

    #[test]
    fn that_there_was_no_thread_is_not_remembered() {
        let script = Script::new("unlucky", "return 1");
        let no_thread =
            |name: &str, _: &[u8]| compile::with_stack(compile::NO_STACK, name, || Ok(Box::default()));
        let error = script.bytecode_by(no_thread).map(|_| ()).unwrap_err();
        assert!(matches!(&error, CompileError::NoThread { script, .. } if script == "unlucky"), "{error:?}");
        assert!(!script.is_compiled());
        assert_eq!(script.compile(), Ok(()));
        assert!(script.bytecode_by(|_, _| panic!("it is compiled")).is_ok());
        // What is wrong with the script itself is.
        let script = Script::new("wrong", "return return");
        let error = script.compile().unwrap_err();
        assert_eq!(script.bytecode_by(|_, _| panic!("it is known")).map(|_| ()), Err(error));
    }

    #[test]
    fn bytecode_is_refused_and_bytes_in_literals_are_not() {
        for first_byte in 0..FIRST_TEXT_BYTE {
            let error = Script::new("blob", [first_byte, 1, 2]).compile().unwrap_err();
            assert_eq!(error, CompileError::Bytecode { script: "blob".into(), first_byte });
        }
        let literal = b"return \"\x01\x02\xff\xfe\"".to_vec();
        assert_eq!(Script::new("literal", literal).compile(), Ok(()));
        assert_eq!(Script::new("empty", "").compile(), Ok(()));
        assert_eq!(Script::new("tab", "\treturn 1").compile(), Ok(()));
    }
}
