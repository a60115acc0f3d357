//! Host functions: functions of the game that scripts call.

use std::fmt::Display;

use bevy::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::argument::Argument;
use super::registry::registry_of;
use crate::luau::{BoxedFunction, CallArguments, FOR_ALL};
use crate::types::HostCaller;
use crate::value::{Results, ValueError};

/// A function that [`HostFunctionAppExt::add_host_function`] takes: of up to eight arguments that
/// [deserialize](crate::Value::to), and with a result that [serializes](crate::Value::of). A tuple is several results.
/// Before the arguments it may have a [`HostCaller`].
pub trait HostFunction<Marker>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(&self, arguments: &CallArguments) -> Result<Results, String>;
}

/// `$caller` is a first parameter that is no argument, if there is one.
macro_rules! impl_host_function {
    ($Marker:ty, ($($caller:ident $Caller:ident)?), $($argument:ident $Argument:ident),*) => {
        impl<F, T, E, $($Argument),*> HostFunction<$Marker> for F
        where
            F: Fn($($Caller,)? $($Argument),*) -> Result<T, E> + Send + Sync + 'static,
            T: Serialize,
            E: Display,
            $($Argument: DeserializeOwned,)*
        {
            #[inline]
            fn call(&self, arguments: &CallArguments) -> Result<Results, String> {
                let positions = &mut (1_u32..);
                $(let $caller: $Caller = arguments.caller().ok_or("no process calls")?;)?
                $(let $argument: $Argument = argument(arguments, positions.next().unwrap_or_default())?;)*
                _ = (arguments, positions); // there may be none
                let result = self($($caller,)? $($argument),*).map_err(|error| error.to_string())?;
                Results::of(&result).map_err(|error| error.inside("result").to_string())
            }
        }
    };
}

macro_rules! impl_host_functions {
    ($($argument:ident $Argument:ident),*) => {
        impl_host_function!(fn($($Argument),*) -> (T, E), (), $($argument $Argument),*);
        impl_host_function!(
            (HostCaller, fn($($Argument),*) -> (T, E)), (caller HostCaller), $($argument $Argument),*
        );
    };
}

impl_host_functions!();
impl_host_functions!(a A);
impl_host_functions!(a A, b B);
impl_host_functions!(a A, b B, c C);
impl_host_functions!(a A, b B, c C, d D);
impl_host_functions!(a A, b B, c C, d D, g G);
impl_host_functions!(a A, b B, c C, d D, g G, h H);
impl_host_functions!(a A, b B, c C, d D, g G, h H, i I);
impl_host_functions!(a A, b B, c C, d D, g G, h H, i I, j J);

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
pub trait HostFunctionAppExt {
    /// Lets all scripts call `function` under `path`: a name, or names with dots between them
    /// (`"robot.turn"`), of which all but the last are frozen tables. The first may be a table of the library, as in
    /// `"os.getenv"` or `"string.trim"`. What is there stays there, but for the functions of `os`.
    ///
    /// Add it whenever you like, before or after [`LuauOsPlugin`](crate::LuauOsPlugin), until the first process starts:
    /// what scripts find is fixed then.
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
    /// When `path` is not a name or is taken, and when the first process has started already.
    #[track_caller]
    fn add_host_function<Marker>(&mut self, path: &str, function: impl HostFunction<Marker>) -> &mut Self;
}

impl HostFunctionAppExt for App {
    #[track_caller]
    fn add_host_function<Marker>(&mut self, path: &str, function: impl HostFunction<Marker>) -> &mut Self {
        registry_of(self.world_mut()).add_function(FOR_ALL, path, boxed(function));
        self
    }
}

pub(super) fn boxed<Marker>(function: impl HostFunction<Marker>) -> BoxedFunction {
    Box::new(move |arguments: &CallArguments| function.call(arguments))
}
