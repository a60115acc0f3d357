//! What the game registers for its scripts: host functions and syscalls.

mod add_syscall;
mod argument;
pub(crate) mod host_function;
mod library;
pub(crate) mod registry;
pub(crate) mod syscall;
mod syscall_input;

pub use add_syscall::SyscallAppExt;
pub use host_function::{HostFunction, HostFunctionAppExt};
pub use library::{GlobalsAppExt, HostLibrary, HostLibraryAppExt};
#[cfg(feature = "save")]
pub use syscall::SyscallSaveAppExt;
pub use syscall::{ReplyTo, Syscall};
pub use syscall_input::{CallInput, Calls, SyscallInput};
