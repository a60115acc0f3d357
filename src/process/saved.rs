//! Processes that are saved and loaded.

use std::sync::Arc;

use super::{Life, Process};
use crate::isolate::Start;
use crate::runtime::ProcessHandle;
use crate::types::Pid;

impl Process {
    /// What it starts with, if it has not started.
    pub(crate) fn start(&self) -> Option<&Start> {
        self.start.as_deref()
    }

    /// The same process, which the runtime has taken on already.
    pub(crate) fn loaded(mut self, name: Option<Arc<str>>, pid: Pid, handle: ProcessHandle) -> Self {
        (self.pid, self.life, self.handle) = (Some(pid), Life::Admitted, Some(handle));
        match name {
            Some(name) => self.with_name(name),
            None => self,
        }
    }
}
