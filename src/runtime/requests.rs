//! Requests of scripts to the game and the kernel, and the way back of their replies.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use smallvec::smallvec;

use super::LuauRuntime;
use crate::isolate::{Posted, RequestId};
use crate::luau::Reply;
use crate::luau::request::{ExternalRequest, KernelRequest, SyscallArgs};
use crate::value::Value;

/// Replies of the game that have not reached their processes. The game may give them at any time, on any thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox(Arc<Mutex<Vec<(RequestId, Result<Value, String>)>>>);

impl Inbox {
    pub(crate) fn push(&self, request: RequestId, reply: Result<Value, String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((request, reply));
    }

    fn take(&self) -> Vec<(RequestId, Result<Value, String>)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Requests that have left their isolates.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// How many syscalls there are.
    pub(super) syscalls: usize,
    pub(super) inbox: Inbox,
    kernel: VecDeque<Posted<Box<KernelRequest>>>,
}

impl LuauRuntime {
    /// Takes what scripts have asked for since the last call, isolate after isolate. Returns the syscalls, by their
    /// numbers; the kernel's requests are for [`LuauRuntime::next_kernel_request`].
    ///
    /// While the kernel is behind, what it is asked for stays where requests are swept out that nobody waits for.
    pub(crate) fn take_requests(&mut self) -> Vec<Vec<Posted<SyscallArgs>>> {
        let Requests { syscalls, kernel, .. } = &mut self.requests;
        let mut calls: Vec<Vec<_>> = std::iter::repeat_with(Vec::new).take(*syscalls).collect();
        let kernel_is_behind = !kernel.is_empty();
        let is_wanted = |request: &ExternalRequest| match request {
            ExternalRequest::Syscall { .. } => true,
            ExternalRequest::Kernel(_) => !kernel_is_behind,
        };
        for (i, isolate) in self.isolates.busy_mut() {
            isolate.take_requests(i, is_wanted, |who, request| match request {
                ExternalRequest::Syscall { number, args } => calls[number].push(who.with(args)),
                ExternalRequest::Kernel(request) => kernel.push_back(who.with(request)),
            });
        }
        calls
    }

    /// What the kernel was asked for first, of what somebody still waits for.
    pub(crate) fn next_kernel_request(&mut self) -> Option<Posted<Box<KernelRequest>>> {
        loop {
            let posted = self.requests.kernel.pop_front()?;
            if self.isolates[posted.id.isolate].is_pending(posted.id.wait) {
                return Some(posted);
            }
        }
    }

    /// Hands a reply to the task that waits for it.
    pub(crate) fn reply(&mut self, request: RequestId, reply: Reply) {
        self.isolates.get_mut(request.isolate).reply(request.wait, reply);
    }

    /// Hands over the replies that the game has given.
    pub(crate) fn deliver_replies(&mut self) {
        for (request, reply) in self.requests.inbox.take() {
            self.reply(request, reply.map(|value| smallvec![value]));
        }
    }
}
