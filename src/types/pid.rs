//! The numbers of processes.

use std::fmt;

/// A process's number on its VM: 1, 2, 3 and so on in the order in which processes start there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(pub(crate) std::num::NonZeroU32);

impl Pid {
    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
