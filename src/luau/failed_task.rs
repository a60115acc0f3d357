//! Tasks whose errors are to be told when their slice is over.

use super::stack::Reference;

/// A thread that has failed with an object which gives its own text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailedTask(pub(super) Reference);
