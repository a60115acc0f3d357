//! Requests of scripts to the game and the kernel, and the way back of the game's replies.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::isolates::Isolates;
#[cfg(feature = "save")]
use crate::isolate::WaitId;
use crate::isolate::{Posted, RequestId};
use crate::luau::request::{ExternalRequest, KernelRequest, SyscallArgs};
use crate::value::Results;

/// Replies of the game that have not reached their processes. The game may give them at any time, on any thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox(Arc<Mutex<Vec<(RequestId, Result<Results, String>)>>>);

impl Inbox {
    pub(crate) fn push(&self, request: RequestId, reply: Result<Results, String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((request, reply));
    }

    pub(super) fn take(&self) -> Vec<(RequestId, Result<Results, String>)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Requests that have left their isolates.
#[derive(Debug, Default)]
pub(super) struct Requests {
    kernel: VecDeque<Posted<Box<KernelRequest>>>,
}

impl Requests {
    /// Takes what scripts have asked for since the last call, isolate after isolate. Returns the calls of so many
    /// syscalls, by their numbers. What the kernel was asked for is to be [taken](Self::next_for_kernel) one by one.
    ///
    /// While the kernel is behind, what it is asked for stays where requests are swept out that nobody waits for.
    pub(super) fn take(&mut self, isolates: &mut Isolates, syscalls: usize) -> Vec<Vec<Posted<SyscallArgs>>> {
        let mut calls: Vec<Vec<_>> = std::iter::repeat_with(Vec::new).take(syscalls).collect();
        let kernel_is_behind = !self.kernel.is_empty();
        let is_wanted = |request: &ExternalRequest| match request {
            ExternalRequest::Syscall { .. } => true,
            ExternalRequest::Kernel(_) => !kernel_is_behind,
        };
        for (i, isolate) in isolates.busy_mut() {
            isolate.take_requests(i, is_wanted, |who, request| match request {
                ExternalRequest::Syscall { number, args, .. } => calls[number].push(who.with(args)),
                ExternalRequest::Kernel(request) => self.kernel.push_back(who.with(request)),
            });
        }
        calls
    }

    /// What the kernel is asked for, with the numbers of isolates.
    #[cfg(feature = "save")]
    pub(super) fn kernel(&self) -> impl Iterator<Item = (u32, WaitId, &KernelRequest)> {
        self.kernel.iter().map(|posted| (posted.id.isolate, posted.id.wait, &*posted.request))
    }

    /// The same, by processes of one isolate.
    #[cfg(feature = "save")]
    pub(super) fn of_isolate(&self, isolate: u32) -> impl Iterator<Item = (WaitId, &KernelRequest)> {
        let of_isolate = self.kernel().filter(move |request| request.0 == isolate);
        of_isolate.map(|(_, wait, request)| (wait, request))
    }

    /// What the kernel was asked for first, of what somebody still waits for.
    pub(super) fn next_for_kernel(&mut self, isolates: &Isolates) -> Option<Posted<Box<KernelRequest>>> {
        loop {
            let posted = self.kernel.pop_front()?;
            if isolates[posted.id.isolate].is_pending(posted.id.wait) {
                return Some(posted);
            }
        }
    }
}
