//! What the tasks of a process ask for beyond their slice.
//!
//! The isolate itself sees to time, messages and signals. What it cannot answer leaves it as an [`ExternalRequest`],
//! and comes back as a [`Reply`](super::Reply).

#[cfg(feature = "save")]
pub(crate) mod saved;

use std::any::Any;
use std::time::Duration;

use super::function_ref::FunctionRef;
use crate::types::VmId;
#[cfg(feature = "save")]
use crate::value::Arguments;
use crate::value::Value;

/// What a task asks for.
pub(crate) enum Request {
    /// To go on after a time.
    Sleep(Duration),
    /// To go on with a message.
    Receive { timeout: Option<Duration> },
    /// To go on when a signal comes.
    Signal { name: Box<[u8]>, timeout: Option<Duration> },
    /// To have functions called for the signals that are kept for them. It is the process that asks, not a task.
    CatchUp,
    /// To go on when a thread of its own process ends, of which the isolate knows nothing.
    Join { timeout: Option<Duration> },
    /// To be forgotten: the task does not wait any more.
    Cancel,
    /// To go on with a reply from outside.
    External(ExternalRequest),
}

/// What others must answer.
pub(crate) enum ExternalRequest {
    /// The game: a syscall, by its number, with the time that it may take if that is not the usual one.
    Syscall {
        number: usize,
        args: SyscallArgs,
        timeout: Option<Duration>,
        /// What it takes to make the call again, when its VM was saved and loaded before there is an answer.
        #[cfg(feature = "save")]
        again: Option<Box<Again>>,
    },
    /// The kernel, in Settle.
    Kernel(Box<KernelRequest>),
}

/// The arguments of a syscall, as its parser has made them.
pub(crate) type SyscallArgs = Box<dyn Any + Send + Sync>;

/// A syscall that can be made again.
#[cfg(feature = "save")]
#[derive(Clone, Debug)]
pub(crate) struct Again {
    pub(crate) arguments: Arguments,
    /// Also if the game has got the call.
    pub(crate) repeats: bool,
}

/// What the kernel can be asked for.
#[derive(Debug)]
pub(crate) enum KernelRequest {
    /// Start a process on the same VM.
    Spawn { program: Program, arguments: Vec<Value> },
    /// End a process of the same VM.
    Kill(u32),
    /// The processes of the VM.
    List,
    /// A process of the VM.
    Info(u32),
    /// Wait for the end of a process of the VM.
    Join { pid: u32, timeout: Option<Duration> },
    /// Have the end of a process of the VM as a message.
    Monitor(u32),
    /// Put a value into a process's mailbox.
    Send { to: Address, value: Value },
}

/// What a new process runs.
#[derive(Debug)]
pub(crate) enum Program {
    Source(Box<[u8]>),
    /// A function of the same isolate.
    Function(FunctionRef),
}

/// A process, as scripts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// `None`: the VM of the process that speaks.
    pub(crate) vm: Option<VmId>,
    pub(crate) pid: u32,
}

impl Address {
    /// How scripts of other VMs write it.
    pub(crate) fn text(vm: VmId, pid: u32) -> String {
        format!("{vm}:{pid}")
    }

    /// What [`Address::text`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (vm, pid) = text.split_once(':')?;
        Some(Self { vm: Some(vm.parse().ok()?), pid: pid.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let vm = VmId(77);
        assert_eq!(Address::parse(&Address::text(vm, 12)), Some(Address { vm: Some(vm), pid: 12 }));
        for text in ["", "12", ":1", "x:1", "1:", "1:-1", "ffffffffffffffffff:1"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
