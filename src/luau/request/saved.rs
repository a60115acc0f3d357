//! Requests to the kernel as they are saved, before they are answered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Address, KernelRequest, Program};
use crate::luau::FunctionRef;
use crate::save::{Bytes, SavedValues};
use crate::types::VmId;

/// A [`KernelRequest`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SavedRequest {
    Spawn {
        source: Bytes,
        arguments: SavedValues,
    },
    /// With the number of the function among those that are saved.
    SpawnFunction {
        function: u32,
        arguments: SavedValues,
    },
    Kill(u32),
    List,
    Info(u32),
    Join {
        pid: u32,
        timeout: Option<Duration>,
    },
    Monitor(u32),
    Send {
        vm: Option<u64>,
        pid: u32,
        value: SavedValues,
    },
}

impl SavedRequest {
    /// `number` gives a function its number.
    pub(crate) fn new<'a>(request: &'a KernelRequest, number: impl FnOnce(&'a FunctionRef) -> u32) -> Self {
        match request {
            KernelRequest::Spawn { program: Program::Source(source), arguments } => {
                Self::Spawn { source: (&**source).into(), arguments: arguments.iter().collect() }
            }
            KernelRequest::Spawn { program: Program::Function(function), arguments } => {
                Self::SpawnFunction { function: number(function), arguments: arguments.iter().collect() }
            }
            KernelRequest::Kill(pid) => Self::Kill(*pid),
            KernelRequest::List => Self::List,
            KernelRequest::Info(pid) => Self::Info(*pid),
            KernelRequest::Join { pid, timeout } => Self::Join { pid: *pid, timeout: *timeout },
            KernelRequest::Monitor(pid) => Self::Monitor(*pid),
            KernelRequest::Send { to, value } => {
                Self::Send { vm: to.vm.map(|id| id.0), pid: to.pid, value: std::iter::once(value).collect() }
            }
        }
    }

    /// `function` gives a function by its number.
    pub(crate) fn request(
        self,
        function: impl FnOnce(u32) -> Option<FunctionRef>,
    ) -> Result<KernelRequest, &'static str> {
        Ok(match self {
            Self::Spawn { source, arguments } => {
                KernelRequest::Spawn { program: Program::Source(source.0), arguments: arguments.values()? }
            }
            Self::SpawnFunction { function: number, arguments } => {
                let function = function(number).ok_or("there is no such function")?;
                KernelRequest::Spawn { program: Program::Function(function), arguments: arguments.values()? }
            }
            Self::Kill(pid) => KernelRequest::Kill(pid),
            Self::List => KernelRequest::List,
            Self::Info(pid) => KernelRequest::Info(pid),
            Self::Join { pid, timeout } => KernelRequest::Join { pid, timeout },
            Self::Monitor(pid) => KernelRequest::Monitor(pid),
            Self::Send { vm, pid, value } => {
                let [value] = value.exactly()?;
                KernelRequest::Send { to: Address { vm: vm.map(VmId), pid }, value }
            }
        })
    }
}
