//! Who calls a host function.

use bevy::prelude::*;

use super::Pid;

/// Who calls a host function, which has this as its first parameter if it wants to know.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// # let mut app = App::new();
/// app.add_host_function("whoami", |caller: HostCaller| {
///     Ok::<_, String>(format!("process {} of {}", caller.pid, caller.vm))
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostCaller {
    /// The VM whose process calls.
    pub vm: Entity,
    /// The process.
    pub process: Entity,
    /// Its number on its VM.
    pub pid: Pid,
}
