//! What the game registers for its scripts: host functions and syscalls.

mod argument;
pub(crate) mod host_function;
mod registry;
pub(crate) mod syscall;

pub use host_function::{HostFunction, HostFunctionAppExt};
#[cfg(feature = "save")]
pub use syscall::SyscallSaveAppExt;
pub use syscall::{ReplyTo, Syscall, SyscallAppExt};
