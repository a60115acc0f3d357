//! Scripts: source text that is compiled once, however many processes run it.

mod reader;
mod safepoints;

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bevy::platform::collections::HashSet;
use bevy::platform::hash::FixedHasher;
use bevy::tasks::AsyncComputeTaskPool;
use thiserror::Error;

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
    /// Bytes of the longest source of all of them.
    longest_source: usize,
}

impl ScriptData {
    /// Why the script could not be loaded, if that is so. Such a script was made without a source.
    fn asset_error(&self) -> Option<&CompileError> {
        let error = self.bytecode.get()?.as_ref().err()?;
        matches!(error, CompileError::Asset { .. }).then_some(error)
    }
}

/// A script that another one can `require`.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Module {
    /// What the other script calls it.
    pub(crate) specifier: Arc<str>,
    /// With its own modules.
    pub(crate) script: Script,
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

/// Why a script has no code.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// The source is not Luau.
    #[error("{script}:{line}: {message}")]
    Syntax {
        /// The script's name.
        script: String,
        /// Where Luau's parser stopped, counted from 1.
        line: u32,
        /// What Luau's parser says.
        message: String,
    },
    /// The source starts like compiled bytecode, which Luau would run unchecked.
    #[error(
        "{script}: this is compiled bytecode (it starts with byte {first_byte:#04x}); only source text is run"
    )]
    Bytecode {
        /// The script's name.
        script: String,
        /// The byte that gave it away.
        first_byte: u8,
    },
    /// A process could not be preempted for too long.
    #[error(
        "{script}:{line}: the function that begins here has an expression with hundreds of comparisons; split it"
    )]
    NoSafepoint {
        /// The script's name.
        script: String,
        /// Where the function begins; 0 for the script itself.
        line: u32,
    },
    /// The script is an asset that could not be loaded.
    #[error("{message}")]
    Asset {
        /// The script's name.
        script: String,
        /// Why.
        message: String,
    },
}

impl Script {
    /// A script from its source, which may hold any bytes but 0 in its string literals.
    pub fn new(name: impl Into<Arc<str>>, source: impl Into<Vec<u8>>) -> Self {
        Self::from_parts(name.into(), source.into().into(), OnceLock::new(), Box::default())
    }

    fn from_parts(
        name: Arc<str>,
        source: Arc<[u8]>,
        bytecode: OnceLock<Result<Bytecode, CompileError>>,
        modules: Box<[Module]>,
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
            longest_source,
        }))
    }

    /// The same script, with the modules that it may `require`.
    pub(crate) fn with_modules(&self, modules: Vec<Module>) -> Self {
        let ScriptData { name, source, bytecode, .. } = &*self.0;
        Self::from_parts(name.clone(), source.clone(), bytecode.clone(), modules.into())
    }

    /// A script that could not be loaded: its processes fail with `message`.
    pub(crate) fn not_loaded(name: Arc<str>, message: String) -> Self {
        let error = CompileError::Asset { script: name.to_string(), message };
        Self::from_parts(name, Arc::default(), OnceLock::from(Err(error)), Box::default())
    }

    /// Bytes of the longest source, of the script or of a module that it can reach.
    pub(crate) fn longest_source(&self) -> usize {
        self.0.longest_source
    }

    /// What the script may `require`.
    pub(crate) fn modules(&self) -> &[Module] {
        &self.0.modules
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
    /// [`CompileError`], the same one each time. A process of such a script fails with it.
    pub fn compile(&self) -> Result<(), CompileError> {
        self.bytecode().map(|_| ()).map_err(Clone::clone)
    }

    pub(crate) fn bytecode(&self) -> Result<&Bytecode, &CompileError> {
        self.0.bytecode.get_or_init(|| compile(&self.0.name, &self.0.source)).as_ref()
    }

    /// Whether the script has been compiled; if not, sees to it that it will be.
    pub(crate) fn compile_in_background(&self) -> bool {
        if self.0.bytecode.get().is_some() {
            return true;
        }
        let Some(pool) = AsyncComputeTaskPool::try_get() else {
            _ = self.bytecode();
            return true;
        };
        if !self.0.compiles_in_background.swap(true, Ordering::Relaxed) {
            let script = self.clone();
            pool.spawn(async move { _ = script.bytecode() }).detach();
        }
        false
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

/// What Luau writes at the start of bytecode: a version, which is below every character of text.
const FIRST_TEXT_BYTE: u8 = b'\t';

/// Slow instructions in a row without a safepoint, beyond which a script gets some where it has none.
const LONG_STRETCH: u32 = 24;

/// Beyond this a script is refused.
const LONGEST_STRETCH: u32 = 256;

fn compile(name: &str, source: &[u8]) -> Result<Bytecode, CompileError> {
    if let Some(&first_byte) = source.first().filter(|&&byte| byte < FIRST_TEXT_BYTE) {
        return Err(CompileError::Bytecode { script: name.to_owned(), first_byte });
    }
    let compiler = mlua::chunk::Compiler::new()
        // Ours must be called: it keeps a process's globals its own.
        .add_disabled_builtin("rawset")
        // So must these: their quick paths go through whole strings.
        .add_disabled_builtin("string.sub")
        .add_disabled_builtin("tonumber");
    let compile = |compiler: mlua::chunk::Compiler| {
        let code = with_deep_stack(|| compiler.compile(source));
        let mut code = code.map_err(|error| syntax_error(name, error))?;
        let longest = safepoints::place(&mut code);
        debug_assert!(longest.is_some(), "another version of bytecode");
        Ok((code, longest.unwrap_or_default()))
    };
    let (code, longest) = compile(compiler.clone())?;
    if longest.slow <= LONG_STRETCH {
        return Ok(Bytecode(code.into()));
    }
    let (code, longest) = compile(compiler.set_coverage_level(2))?;
    if longest.slow > LONGEST_STRETCH {
        return Err(CompileError::NoSafepoint { script: name.to_owned(), line: longest.line });
    }
    Ok(Bytecode(code.into()))
}

/// Bytes. Luau's parser and compiler recurse up to 1,000 levels deep, which takes up to 4 MiB where the
/// C++ code is not optimised, as in a game's plain `dev` profile.
const COMPILER_STACK: usize = 16 << 20;

/// Calls `f` where it has [`COMPILER_STACK`]: the threads of Bevy's task pools have 2 MiB, the main thread
/// of Windows has 1 MiB, and a stack overflow would abort the game.
fn with_deep_stack<T: Send>(f: impl FnOnce() -> mlua::Result<T> + Send) -> mlua::Result<T> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("Luau compiler".to_owned()).stack_size(COMPILER_STACK);
        let thread = builder.spawn_scoped(scope, f).map_err(mlua::Error::external)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn syntax_error(name: &str, error: mlua::Error) -> CompileError {
    let text = match error {
        mlua::Error::SyntaxError { message, .. } => message,
        other => other.to_string(),
    };
    // Luau writes ":LINE: MESSAGE"; mlua takes the first colon off.
    let parsed = text
        .trim_start_matches(':')
        .split_once(": ")
        .and_then(|(line, message)| Some((line.parse().ok()?, message.to_owned())));
    let (line, message) = parsed.unwrap_or((1, text));
    CompileError::Syntax { script: name.to_owned(), line, message }
}

/// Scripts by content, so that the same text given twice is compiled once.
#[derive(Debug, Default)]
pub(crate) struct CompileCache {
    scripts: HashSet<Script>,
    /// Of source.
    bytes: usize,
}

/// Beyond this many, the cache starts anew: scripts that are still needed are compiled again.
const CACHED_SCRIPTS: usize = 4096;

/// The same for what they take: scripts start processes from source that they make up.
const CACHED_BYTES: usize = 16 << 20;

impl CompileCache {
    /// The script with this content that came first.
    pub(crate) fn intern(&mut self, script: &Script) -> Script {
        if let Some(known) = self.scripts.get(script) {
            return known.clone();
        }
        if self.scripts.len() == CACHED_SCRIPTS || self.bytes > CACHED_BYTES {
            self.scripts.clear();
            self.bytes = 0;
        }
        self.bytes += script.source().len();
        self.scripts.insert(script.clone());
        script.clone()
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn the_same_content_is_interned_once() {
        let mut cache = CompileCache::default();
        let (a, b) = (Script::new("a", "return 1"), Script::new("a", "return 1"));
        assert_eq!(cache.intern(&a).address(), cache.intern(&b).address());
        assert_ne!(cache.intern(&Script::new("b", "return 1")).address(), a.address());
        assert_ne!(cache.intern(&Script::new("a", "return 2")).address(), a.address());
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut cache = CompileCache::default();
        for i in 0..3 * CACHED_SCRIPTS {
            cache.intern(&Script::new(i.to_string(), ""));
        }
        assert!(cache.scripts.len() <= CACHED_SCRIPTS);
    }
}
