//! Numbers of tasks.

/// The number of a task: of one stay of a thread in the scheduler, or of a connection.
pub(crate) type TaskId = u32;

/// The main chunk while it never had company.
pub(crate) const MAIN: TaskId = 0;
