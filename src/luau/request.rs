//! What scripts ask of the system beyond their own process. It is answered in Settle, isolate after isolate.

use std::time::Duration;

use bevy::prelude::*;

use super::FunctionRef;
use crate::value::Value;

/// A question that a task waits to have answered.
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
    pub(crate) vm: Option<Entity>,
    pub(crate) pid: u32,
}

impl Address {
    /// How scripts of other VMs write it.
    pub(crate) fn text(vm: Entity, pid: u32) -> String {
        format!("{:x}:{pid}", vm.to_bits())
    }

    /// What [`Address::text`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (vm, pid) = text.split_once(':')?;
        let vm = Entity::try_from_bits(u64::from_str_radix(vm, 16).ok()?)?;
        Some(Self { vm: Some(vm), pid: pid.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let vm = Entity::from_bits((3 << 32) | 77);
        assert_eq!(Address::parse(&Address::text(vm, 12)), Some(Address { vm: Some(vm), pid: 12 }));
        for text in ["", "12", ":1", "x:1", "1:", "1:-1", "ffffffffffffffffff:1"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
