//! From source to bytecode.

use super::bytecode::{Layout, layout};
use super::directives::without_directives;
use super::error::CompileError;
use super::safepoints::{Stretch, place};

/// What Luau writes at the start of bytecode: a version, which is below every character of text.
pub(super) const FIRST_TEXT_BYTE: u8 = b'\t';

/// Beyond this, a function gets safepoints where it has none.
const LONG_STRETCH: Stretch = Stretch { conversions: 24, comparisons: 4, lookups: 32, cost: 240 };

/// Conversions in a row, beyond which a script is refused.
const MOST_CONVERSIONS: u32 = 256;

/// The same for comparisons, none of which is with a constant.
const MOST_COMPARISONS: u32 = 32;

/// Bytes of bytecode for each byte of source. Luau makes 10 to 20 at most where nothing is inlined or unrolled.
const BYTECODE_PER_SOURCE: usize = 64;

/// Bytes of bytecode that any script may have.
const MIN_BYTECODE: usize = 64 * 1024;

/// Compiles a source.
///
/// # Errors
///
/// [`CompileError`], the same one each time but for [`CompileError::NoThread`].
pub(super) fn compile(name: &str, source: &[u8]) -> Result<Box<[u8]>, CompileError> {
    if let Some(&first_byte) = source.first().filter(|&&byte| byte < FIRST_TEXT_BYTE) {
        return Err(CompileError::Bytecode { script: name.to_owned(), first_byte });
    }
    let source = without_directives(source);
    with_stack(COMPILER_STACK, name, || {
        let limit = source.len().saturating_mul(BYTECODE_PER_SOURCE).max(MIN_BYTECODE);
        let plain = Compiled::new(name, &source, false, limit)?;
        if !plain.stretches.iter().any(|stretch| stretch.exceeds(LONG_STRETCH)) {
            return Ok(plain.bytes.into());
        }
        let placed = Compiled::new(name, &source, true, limit)?;
        let mut functions = placed.layout.functions.iter().zip(&placed.stretches);
        if let Some((function, _)) = functions.find(|(_, stretch)| {
            stretch.conversions > MOST_CONVERSIONS || stretch.comparisons > MOST_COMPARISONS
        }) {
            return Err(CompileError::NoSafepoint { script: name.to_owned(), line: function.line });
        }
        Ok(plain.with_long_functions_of(placed).into())
    })
}

/// What the compiler wrote.
struct Compiled {
    bytes: Vec<u8>,
    layout: Layout,
    /// The longest way without a safepoint of each function.
    stretches: Vec<Stretch>,
}

impl Compiled {
    fn new(name: &str, source: &[u8], with_safepoints: bool, limit: usize) -> Result<Self, CompileError> {
        let compiler = mlua::chunk::Compiler::new()
            .set_coverage_level(if with_safepoints { 2 } else { 0 })
            // Ours must be called: they keep a process's globals its own.
            .add_disabled_builtin("rawget")
            .add_disabled_builtin("rawset")
            // So must these: their quick paths go through whole strings.
            .add_disabled_builtin("string.sub")
            .add_disabled_builtin("tonumber");
        Self::of(name, compiler.compile(source).map_err(|error| syntax_error(name, error))?, limit)
    }

    /// Of what the compiler wrote for a script.
    fn of(name: &str, mut bytes: Vec<u8>, limit: usize) -> Result<Self, CompileError> {
        if bytes.len() > limit {
            return Err(CompileError::TooLong { script: name.to_owned(), bytes: bytes.len(), limit });
        }
        let unknown = |bytes: &[u8]| CompileError::UnknownVersion {
            script: name.to_owned(),
            version: bytes.first_chunk().copied().unwrap_or_default(),
        };
        let layout = layout(&mut bytes).ok_or_else(|| unknown(&bytes))?;
        let places = layout.functions.iter().map(|function| place(&mut bytes[function.code.clone()]));
        let stretches = places.collect::<Option<_>>().ok_or_else(|| unknown(&bytes))?;
        Ok(Self { bytes, layout, stretches })
    }

    /// The same script, with the functions that are too long for their own good from a version of it that has more
    /// safepoints: those cost a little in each statement, so the others do without.
    fn with_long_functions_of(self, placed: Self) -> Vec<u8> {
        let (header, placed_header) =
            (&self.bytes[self.layout.header.clone()], &placed.bytes[placed.layout.header]);
        if header != placed_header || self.stretches.len() != placed.stretches.len() {
            return placed.bytes;
        }
        let mut mixed = header.to_vec();
        let functions = self.layout.functions.iter().zip(&placed.layout.functions);
        for ((own, other), stretch) in functions.zip(&self.stretches) {
            mixed.extend_from_slice(match stretch.exceeds(LONG_STRETCH) {
                true => &placed.bytes[other.bytes.clone()],
                false => &self.bytes[own.bytes.clone()],
            });
        }
        let end = self.layout.functions.last().map_or(self.layout.header.end, |last| last.bytes.end);
        mixed.extend_from_slice(&self.bytes[end..]); // which function is the main one
        mixed
    }
}

/// Bytes. Luau's parser and compiler recurse up to 1,000 levels deep, which takes up to 4 MiB where the
/// C++ code is not optimised, as in a game's plain `dev` profile.
const COMPILER_STACK: usize = 16 << 20;

/// More bytes than any thread can get.
#[cfg(test)]
pub(super) const NO_STACK: usize = isize::MAX.cast_unsigned() & !0xf_ffff;

/// Calls `f` on a stack of its own: the threads of Bevy's task pools have 2 MiB, the main thread of Windows has 1 MiB,
/// and a stack overflow would abort the game.
pub(super) fn with_stack<T: Send>(
    bytes: usize,
    name: &str,
    f: impl FnOnce() -> Result<T, CompileError> + Send,
) -> Result<T, CompileError> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("Luau compiler".to_owned()).stack_size(bytes);
        let thread = builder.spawn_scoped(scope, f).map_err(|error| CompileError::NoThread {
            script: name.to_owned(),
            message: error.to_string(),
        })?;
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn only_long_functions_get_safepoints_and_the_rest_stays_as_it_was() {
        let short = "local function f(a) return a + 1 end ";
        let long = format!("local function g(t, k) {} end ", "local _ = t[k] ".repeat(150));
        let source = short.to_owned() + &long + "return f, g";
        let (plain, placed) = [false, true]
            .map(|placed| Compiled::new("s", source.as_bytes(), placed, 1 << 20).unwrap())
            .into();
        let (short_bytes, rest) =
            (plain.bytes[plain.layout.functions[0].bytes.clone()].to_vec(), plain.bytes.len());
        let (long_bytes, more) =
            (placed.bytes[placed.layout.functions[1].bytes.clone()].to_vec(), placed.bytes.len());
        let mut mixed = plain.with_long_functions_of(placed);
        assert!((rest + 1..more).contains(&mixed.len()));
        let functions = layout(&mut mixed).expect("whole").functions;
        assert_eq!(functions.len(), 3);
        assert_eq!(mixed[functions[0].bytes.clone()], short_bytes);
        assert_eq!(mixed[functions[1].bytes.clone()], long_bytes);
    }

    #[test]
    fn bytecode_of_another_version_is_an_error() {
        let written = mlua::chunk::Compiler::new().compile("return 1").expect("compiles");
        assert!(Compiled::of("s", written.clone(), 1 << 20).is_ok());
        for at in [0, 1] {
            let mut other = written.clone();
            other[at] += 1;
            let version = [other[0], other[1]];
            let error = Compiled::of("s", other, 1 << 20).map(|_| ()).unwrap_err();
            assert_eq!(error, CompileError::UnknownVersion { script: "s".to_owned(), version });
            assert!(error.to_string().contains("luau0-src"), "{error}");
        }
        let damaged = Compiled::of("s", written[..written.len() / 2].to_vec(), 1 << 20).map(|_| ());
        assert!(matches!(damaged, Err(CompileError::UnknownVersion { .. })), "{damaged:?}");
    }

    #[test]
    fn what_a_script_says_to_the_compiler_has_no_effect() {
        let calls = "local function a(x) return x end
            local function b(x) return a(a(a(a(a(a(a(a(x)))))))) end
            local function c(x) return b(b(b(b(b(b(b(b(x)))))))) end
            local function d(x) return c(c(c(c(c(c(c(c(x)))))))) end
            local function e(x) return d(d(d(d(d(d(d(d(x)))))))) end
            return e(e(e(e(e(e(e(e(1))))))))";
        let plain = compile("bomb", calls.as_bytes()).expect("compiles");
        let began = Instant::now();
        for head in
            ["--!optimize 2\n", "--!native\n", "@native function n() end ", "@[native] function n() end "]
        {
            let code = compile("bomb", (head.to_owned() + calls).as_bytes()).expect("compiles");
            assert!(code.len() < plain.len() + 200, "{head}: {} bytes", code.len());
        }
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
