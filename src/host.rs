//! Host functions: functions of the game that scripts call.

mod argument;

use std::any::Any;
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bevy::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;

use crate::runtime::LuauRuntime;
use crate::runtime::luau::CallArguments;
use crate::syscall::Parser;
use crate::value::{Value, ValueError};

use argument::Argument;

/// What a script passes to a host function.
pub(crate) type Arguments = SmallVec<[Value; 4]>;

/// A function that [`AddHostFunction::add_host_function`] takes: of up to eight arguments that
/// [deserialize](Value::to), and with a result that [serializes](Value::from).
pub trait HostFunction<Marker>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(&self, arguments: &CallArguments) -> Result<Value, String>;
}

macro_rules! impl_host_function {
    ($($argument:ident $Argument:ident),*) => {
        impl<F, T, E, $($Argument),*> HostFunction<fn($($Argument),*) -> (T, E)> for F
        where
            F: Fn($($Argument),*) -> Result<T, E> + Send + Sync + 'static,
            T: Serialize,
            E: Display,
            $($Argument: DeserializeOwned,)*
        {
            #[inline]
            fn call(&self, arguments: &CallArguments) -> Result<Value, String> {
                let positions = &mut (1_u32..);
                $(let $argument: $Argument = argument(arguments, positions.next().unwrap_or_default())?;)*
                _ = (arguments, positions); // there may be none
                let result = self($($argument),*).map_err(|error| error.to_string())?;
                Value::from(&result).map_err(|error| error.inside("result").to_string())
            }
        }
    };
}

impl_host_function!();
impl_host_function!(a A);
impl_host_function!(a A, b B);
impl_host_function!(a A, b B, c C);
impl_host_function!(a A, b B, c C, d D);
impl_host_function!(a A, b B, c C, d D, g G);
impl_host_function!(a A, b B, c C, d D, g G, h H);
impl_host_function!(a A, b B, c C, d D, g G, h H, i I);
impl_host_function!(a A, b B, c C, d D, g G, h H, i I, j J);

/// What is not passed is nil.
#[inline]
fn argument<T: DeserializeOwned>(arguments: &CallArguments, position: u32) -> Result<T, String> {
    T::deserialize(Argument { arguments, position })
        .map_err(|error| wrong_argument(arguments, position, error))
}

#[cold]
fn wrong_argument(arguments: &CallArguments, position: u32, error: ValueError) -> String {
    if position > arguments.count() {
        format!("missing argument: {error}")
    } else {
        error.inside(format_args!("argument {position}")).to_string()
    }
}

/// Gives scripts functions of the game.
pub trait AddHostFunction {
    /// Lets all scripts call `function` under `path`: a name, or names with dots between them
    /// (`"robot.turn"`), of which all but the last are frozen tables.
    ///
    /// It is called inside the slice of the process that calls it, on any thread, several at a time: it
    /// should be quick, and cannot reach the world. An error becomes a Luau error at the place of the call.
    /// If it panics the process is killed, with [`KillReason::HostPanic`](crate::KillReason::HostPanic).
    ///
    /// ```
    /// use bevy::prelude::*;
    /// use bevy_luau_os::prelude::*;
    ///
    /// let mut app = App::new();
    /// app.add_plugins((MinimalPlugins, LuauOsPlugin::default()));
    /// app.add_host_function("map.distance", |a: [f64; 2], b: [f64; 2]| {
    ///     if a.iter().chain(&b).any(|x| x.is_nan()) {
    ///         return Err("that is nowhere");
    ///     }
    ///     Ok((a[0] - b[0]).hypot(a[1] - b[1]))
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// When the app has no [`LuauOsPlugin`](crate::LuauOsPlugin) yet, when the first process has started
    /// already, and when `path` is not a name or taken.
    fn add_host_function<Marker>(&mut self, path: &str, function: impl HostFunction<Marker>) -> &mut Self;
}

impl AddHostFunction for App {
    fn add_host_function<Marker>(&mut self, path: &str, function: impl HostFunction<Marker>) -> &mut Self {
        let Some(mut runtime) = self.world_mut().get_resource_mut::<LuauRuntime>() else {
            panic!("add_host_function({path:?}): add LuauOsPlugin first");
        };
        runtime.add_host_function(path, Box::new(move |arguments| function.call(arguments)));
        self
    }
}

pub(crate) type BoxedFunction = Box<dyn Fn(&CallArguments) -> Result<Value, String> + Send + Sync>;

/// The host functions of an app, with their paths.
#[derive(Clone, Default)]
pub(crate) struct HostFunctions(Arc<Vec<(CString, Entry)>>);

/// A host function, for those who call it often.
pub(crate) type HostEntry = (CString, Entry);

/// What is behind a path.
pub(crate) enum Entry {
    Function(BoxedFunction),
    /// With its number among the syscalls.
    Syscall(usize, Parser),
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
    /// When `path` is not a name or taken, or when a heap holds on to the functions.
    pub(crate) fn add(&mut self, path: &str, entry: Entry) {
        let add = match entry {
            Entry::Function(_) => "add_host_function",
            Entry::Syscall(..) => "add_syscall",
        };
        assert!(path.split('.').all(is_name), "{add}({path:?}): expected names with dots between them");
        let first = path.split('.').next().unwrap_or_default();
        assert!(!RESERVED.contains(&first), "{add}({path:?}): `{first}` is Luau's");
        for taken in self.paths().map(CStr::to_string_lossy) {
            let overlaps = |a: &str, b: &str| {
                a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            assert!(
                !overlaps(path, &taken) && !overlaps(&taken, path),
                "{add}({path:?}): there is `{taken}`"
            );
        }
        let functions = Arc::get_mut(&mut self.0)
            .unwrap_or_else(|| panic!("{add}({path:?}): add it before the first process starts"));
        functions.push((CString::new(path).unwrap_or_default(), entry));
    }

    /// The paths, in the order of their numbers.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &CStr> {
        self.0.iter().map(|(path, _)| &**path)
    }

    pub(crate) fn is_syscall(&self, number: usize) -> bool {
        matches!(self.0.get(number), Some((_, Entry::Syscall(..))))
    }

    /// The number of a syscall, and its arguments with their type.
    pub(crate) fn parse(
        &self,
        number: usize,
        arguments: Arguments,
    ) -> Result<(usize, Box<dyn Any + Send + Sync>), HostError> {
        let Some((_, Entry::Syscall(number, parser))) = self.0.get(number) else {
            return Err(HostError::Error("no such syscall".to_owned()));
        };
        // The arguments' types may have code of their own.
        let args = catch(|| parser(arguments))?;
        Ok((*number, args))
    }

    pub(crate) fn path(&self, number: usize) -> Cow<'_, str> {
        self.0.get(number).map_or_else(Cow::default, |(path, _)| path.to_string_lossy())
    }

    /// Where a function is for as long as these live.
    pub(crate) fn entry(&self, number: usize) -> Option<&HostEntry> {
        self.0.get(number)
    }

    /// The number of a function.
    pub(crate) fn number(&self, entry: &HostEntry) -> usize {
        self.0.iter().position(|one| std::ptr::eq(one, entry)).unwrap_or(usize::MAX)
    }

    /// Calls a function.
    #[inline]
    pub(crate) fn call(entry: &HostEntry, arguments: &CallArguments) -> Result<Value, HostError> {
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
    "ipairs",
    "mailbox",
    "math",
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
